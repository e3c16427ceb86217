"""The checks have teeth: each error planted here is one that somebody could make, and is caught
within the number of lives that is stated. One that survives fails the build."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from gateway.simulation import faults, outages, settings, swarm
from gateway.simulation.campaign import played
from gateway.simulation.faults import Scripted, When
from gateway.simulation.outages import Claimed
from gateway.simulation.settings import Life
from gateway.simulation.trace import What
from htlc import contract, coordinator, invariants, keys
from htlc.agreement import Agreement, Role
from htlc.clocks import Clock
from htlc.commands import Unlock
from htlc.contract import Refusal
from htlc.explorer import Explorer
from htlc.settlement import Settlement
from htlc.swap import LockProtocol
from htlc.units import Instant
from tests.htlc import planted, samples
from tests.htlc.samples import key_of

Plant = pytest.MonkeyPatch
TWO_KEY, ANCHORED, HTLC = LockProtocol


def caught(
    within: int,
    protocol: LockProtocol,
    draw: Callable[[int], Life] | None = None,
    excused: str = "nothing",
) -> str:
    """What the first life that shows the error says of it."""
    for seed in range(within):
        life = draw(seed) if draw else swarm.draw(seed, protocol)
        if wrong := [what for what in played(life)[1] if not what.startswith(excused)]:
            return wrong[0]
    raise AssertionError(f"the planted error survived {within} lives")


def last_instant(seed: int) -> Life:
    """The party that holds the secret claims in its last instants; then all is down as long as
    the window allows."""
    return outages.life(seed, 1.0, Claimed.LAST)


def restored(seed: int) -> Life:
    """A restore that loses records, in the middle of it."""
    drawn = swarm.draw(seed, TWO_KEY)
    moment = When(what=What.DECIDED, detail="COMMIT", later=seed % 20)
    restore = Scripted(moment=moment, fault=faults.Restore(lost=1 + seed % 3, outage=20))
    return replace(drawn, plan=(*drawn.plan, restore))


def beyond(seed: int) -> Life:
    """Everything is down for much longer than the expiries allow for, and answers are lost."""
    return outages.life(seed, 6.0, Claimed.ANY_TIME)


def audited(seed: int) -> Life:
    """Both legs on one ledger: blocks of several leaves. Every seed is audited."""
    drawn = swarm.draw(seed * 25, TWO_KEY)
    setting = replace(drawn.setting, legs=settings.ONE_LEDGER, offsets=(0,), poor=())
    return Life(setting=replace(setting, trades=3))


@dataclass(frozen=True)
class Tooth:
    """A planted error, and within how many lives of which kind it must be caught."""

    error: Callable[[Plant], None]
    protocol: LockProtocol
    within: int
    draw: Callable[[int], Life] | None = None
    excused: str = "nothing"  # how the violations begin that are to be expected all the same


TEETH = (
    Tooth(planted.equal_expiries, HTLC, 30, last_instant),
    Tooth(planted.a_window_one_outage_too_short, HTLC, 30, last_instant),
    Tooth(planted.executions_before_the_decision, TWO_KEY, 10),
    Tooth(planted.both_keys_of_a_pair, TWO_KEY, 10),
    Tooth(planted.one_hash_on_anchor_and_followers, ANCHORED, 700),
    Tooth(planted.followers_before_the_anchor, ANCHORED, 100),
    Tooth(planted.silence_taken_for_absence, TWO_KEY, 500),
    Tooth(planted.answers_called_final_too_early, TWO_KEY, 20),
    Tooth(planted.a_refusal_taken_for_a_failure, HTLC, 200, beyond, excused="1: "),
    Tooth(planted.no_lock_by, TWO_KEY, 300),
    Tooth(planted.two_decisions, TWO_KEY, 10),
    Tooth(planted.sent_before_it_is_durable, TWO_KEY, 10),
    Tooth(planted.an_old_epoch_goes_on, TWO_KEY, 900, restored),
    Tooth(planted.no_margin, HTLC, 20),
    Tooth(planted.a_cancellation_accepted_after_commit, TWO_KEY, 200),
    Tooth(planted.a_cancellation_overlooked, TWO_KEY, 300),
    Tooth(planted.the_wall_clock_for_the_ledgers_time, HTLC, 400),
    Tooth(planted.an_estimate_that_gives_up_a_claim, HTLC, 200),
    Tooth(planted.a_replay_applied_twice, TWO_KEY, 50),
    Tooth(planted.a_batch_told_one_off, TWO_KEY, 100),
    Tooth(planted.a_payout_to_whoever_asks, TWO_KEY, 50),
    Tooth(planted.a_notice_sent_twice, TWO_KEY, 2),
    Tooth(planted.a_notice_before_the_end_is_durable, TWO_KEY, 20),
    Tooth(planted.leaves_in_another_order, TWO_KEY, 5, audited),
    Tooth(planted.a_node_that_passes_for_a_leaf, TWO_KEY, 2, audited),
    Tooth(planted.a_leaf_without_its_side, TWO_KEY, 2, audited),
)


@pytest.mark.parametrize("tooth", TEETH, ids=lambda tooth: tooth.error.__name__)
def test_a_planted_error_is_caught(plant: Plant, tooth: Tooth) -> None:
    tooth.error(plant)
    assert caught(tooth.within, tooth.protocol, tooth.draw, tooth.excused)


def test_both_locks_of_the_vault_left_open_are_caught_by_what_ledgers_hold(plant: Plant) -> None:
    """Behind `may_show` the judge of the world looks at keys, contracts and balances."""
    planted.a_vault_that_does_not_ask(plant)
    plant.setattr(invariants, "keys_follow_decisions", lambda *_: ())
    planted.executions_before_the_decision(plant)
    assert caught(100, TWO_KEY).startswith(("1: ", "3: "))


# ------------------------------------------------------------------ caught by exhaustive search


def found_by_search(state: Settlement) -> bool:
    explorer = Explorer(state.swap, state.agreed, lambda n, role: key_of(state, n, role))
    return any(
        invariants.one_end(explorer.agreement, explorer.held(world)) for world in explorer.explore()
    )


def test_the_search_finds_an_execution_before_the_decision(plant: Plant) -> None:
    planted.executions_before_the_decision(plant)
    assert found_by_search(samples.two_key())


def test_the_search_finds_both_keys_of_a_pair(plant: Plant) -> None:
    planted.both_keys_of_a_pair(plant)
    assert found_by_search(samples.two_key())


def test_the_search_finds_followers_executed_while_the_anchor_is_only_locked(plant: Plant) -> None:
    plant.setattr(Agreement, "revealers", property(lambda self: tuple(range(len(self.legs)))))
    with pytest.raises(AssertionError, match="not yet allowed"):
        found_by_search(samples.anchored_htlc())
    plant.setattr(coordinator, "may_show", lambda *_: True)
    assert found_by_search(samples.anchored_htlc())


# ------------------------------------------------------------------ caught at one instant


@pytest.mark.parametrize("function", ["execute", "lock", "refund"])
def test_a_boundary_of_the_contract_off_by_one_is_caught(plant: Plant, function: str) -> None:
    """`<=` for `<`, at the exact instant that the README's diagram of the contract tells."""
    right = getattr(contract, function)
    step = 1 if function == "refund" else -1
    assert_boundaries_hold()
    plant.setattr(contract, function, lambda *args: right(*args[:-1], args[-1] + step))
    with pytest.raises(AssertionError):
        assert_boundaries_hold()


def assert_boundaries_hold() -> None:
    terms = samples.htlc().agreed.legs[0].terms
    held = contract.lock(terms, Instant(terms.lock_by - 1))
    assert isinstance(held, contract.Htlc)
    assert contract.lock(terms, terms.lock_by) is Refusal.TOO_LATE
    expires_at, key = terms.expires_at, key_of(samples.htlc(), 0, Role.EXECUTION)
    assert expires_at is not None
    assert isinstance(contract.execute(held, key, Instant(expires_at - 1)), contract.Htlc)
    assert contract.execute(held, key, expires_at) is Refusal.EXPIRED
    assert contract.refund(held, Instant(expires_at - 1)) is Refusal.NOT_EXPIRED
    assert isinstance(contract.refund(held, expires_at), contract.Htlc)


def test_a_key_for_anyone_who_asks_is_caught(plant: Plant) -> None:
    """`keys.may_show` is the second lock of the vault: alone it must hold as well."""
    state = samples.locked(samples.two_key())
    assert not keys.may_show(state, 0, Role.EXECUTION)
    plant.setattr(keys, "_may_execute", lambda *_: True)
    assert keys.may_show(state, 0, Role.EXECUTION)


def test_a_clock_that_is_not_believed_to_be_fast_is_caught(plant: Plant) -> None:
    """An estimate counts at its latest: one tick decides."""

    def committed_at(at: int) -> bool:
        state = samples.locked(samples.htlc())
        first = state.agreed.legs[1]
        assert first.terms.expires_at is not None
        limit = first.terms.expires_at - first.margin
        state = samples.committed(samples.htlc())
        return Unlock(leg=1, role=Role.EXECUTION) in coordinator.decide(
            state, samples.clocks(state, limit + at, skew=5)
        )

    assert committed_at(-6) and not committed_at(-5)
    plant.setattr(Clock, "latest", property(lambda self: self.at))
    assert committed_at(-5)


@pytest.fixture
def plant(monkeypatch: Plant) -> Plant:
    return monkeypatch
