"""The checks have teeth: each error planted here is one that somebody could make, and is caught
within the number of lives that is stated. One that survives fails the build."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace

import gateway.simulation.ledger
import gateway.simulation.replica
import gateway.vault
from gateway.simulation import faults, outages, settings, swarm
from gateway.simulation.campaign import played
from gateway.simulation.faults import Scripted, When
from gateway.simulation.journal import Journal
from gateway.simulation.outages import Claimed
from gateway.simulation.replica import Replica
from gateway.simulation.settings import Life
from gateway.simulation.trace import What
from gateway.simulation.world import World
from gateway.swaps import SwapOrigin
from htlc import clocks, contract, coordinator, invariants, keys, leg, schedule
from htlc.agreement import Agreement, Pair, Role
from htlc.clocks import Clock, Clocks
from htlc.commands import Command, Unlock
from htlc.contract import Answer, Refusal
from htlc.events import Decided, Decision
from htlc.explorer import Explorer
from htlc.leg import LegState, LegStatus
from htlc.schedule import Schedule
from htlc.settlement import Phase, Settlement
from htlc.swap import LockProtocol
from htlc.units import Duration, Instant
from ledgers import block, book, merkle
from ledgers.book import Effect, Kind
from tests.htlc import samples
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


# ------------------------------------------------------------------ each caught by random lives


def equal_expiries(plant: Plant) -> None:
    drawn = schedule.draw

    def equal(*args: Any, **kwargs: Any) -> Schedule:
        plan = drawn(*args, **kwargs)
        return replace(plan, expires_at=(min(plan.expires_at),) * len(plan.expires_at))

    plant.setattr(schedule, "draw", equal)
    plant.setattr(schedule, "faults", lambda *_, **__: ())


def a_window_one_outage_too_short(plant: Plant) -> None:
    window = schedule.window
    plant.setattr(schedule, "window", lambda i, j, recovery: window(i, j, Duration(0)))


def executions_before_the_decision(plant: Plant) -> None:
    locking = coordinator._locking

    def eager(state: Settlement, now: Clocks) -> Iterator[Command]:
        yield from locking(state, now)
        for n, known in enumerate(state.legs):
            if known.status is LegStatus.LOCKED:
                yield Unlock(leg=n, role=Role.EXECUTION)

    plant.setattr(coordinator, "_locking", eager)


def both_keys_of_a_pair(plant: Plant) -> None:
    executions = coordinator._executions

    def both(state: Settlement, now: Clocks) -> Iterator[Command]:
        yield from executions(state, now)
        for n, known in enumerate(state.legs):
            if known.status is LegStatus.LOCKED:
                yield Unlock(leg=n, role=Role.CANCELLATION)

    plant.setattr(coordinator, "_executions", both)


def a_vault_that_does_not_ask(plant: Plant) -> None:
    plant.setattr(gateway.vault, "may_show", lambda *_: True)


def one_hash_on_anchor_and_followers(plant: Plant) -> None:
    """The anchor's public key would open the followers: whoever sees it decides alone."""
    derive = gateway.vault.Vault._derive

    def same(self: Any, settlement: Any, pair: Pair, role: Role) -> bytes:
        return derive(self, settlement, Pair.LEGS, role)

    plant.setattr(gateway.vault.Vault, "_derive", same)


def followers_before_the_anchor(plant: Plant) -> None:
    plant.setattr(Agreement, "revealers", property(lambda self: tuple(range(len(self.legs)))))
    plant.setattr(keys, "_may_execute", lambda state, leg: state.decision is Decision.COMMIT)


def silence_taken_for_absence(plant: Plant) -> None:
    deliver = World._deliver

    def absent(self: World, replica: Replica, life: int, name: Any, tasks: Any) -> None:
        ledger = self.ledgers[name]
        if not ledger.up and tasks:
            told = Answer(at=ledger.read(self.now))
            replica.hear(life, name, [(task, told) for task in tasks])
        deliver(self, replica, life, name, tasks)

    plant.setattr(World, "_deliver", absent)


def answers_called_final_too_early(plant: Plant) -> None:
    plant.setattr(gateway.simulation.ledger.Ledger, "_is_final", lambda *_: True)


def a_refusal_taken_for_a_failure(plant: Plant) -> None:
    learn = leg.learn

    def deaf(known: LegState, agreed: Any, answer: Answer) -> LegState:
        return known if answer.refusal else learn(known, agreed, answer)

    plant.setattr(coordinator, "learn", deaf)


def no_lock_by(plant: Plant) -> None:
    """A ledger that takes a lock however late: absence is never final, and yet believed."""
    plant.setattr(contract, "lock", lambda terms, at: right_lock(terms, Instant(0)))


right_lock = contract.lock


def two_decisions(plant: Plant) -> None:
    plant.setattr(gateway.simulation.journal, "_decides", lambda _: False)
    append = Journal.append

    def anywhere(self: Journal, id: Any, sequence: int, events: Any, **rest: Any) -> bool:
        if any(isinstance(event, Decided) for event in events):
            sequence = len(self.entries[id]) + 1
        return append(self, id, sequence, events, **rest)

    plant.setattr(Journal, "append", anywhere)
    plant.setattr(coordinator, "_decided", either_way)


def either_way(state: Settlement, event: Decided) -> Settlement:
    """Without its assertion: the first line of defence is the journal."""
    phase = Phase.EXECUTING if event.decision is Decision.COMMIT else Phase.UNWINDING
    return replace(state, decided=event, phase=phase)


def sent_before_it_is_durable(plant: Plant) -> None:
    """Acts on a decision, and writes it a little later, if it still can."""
    append = Replica._append

    def careless(self: Replica, id: Any, case: Any, events: Any) -> bool:
        if not any(isinstance(event, Decided) for event in events):
            return append(self, id, case, events)
        life = self.life
        for event in events:
            case.state = coordinator.evolve(case.state, event)
        case.asked.clear()

        def write() -> None:
            if life == self.life and id in self.cases:
                sequence = len(self.world.journal.entries[id]) + 1
                self.world.journal.append(id, sequence, events, epoch=self.epoch)

        self.world.at(15, write)
        return True

    plant.setattr(Replica, "_append", careless)


def an_old_epoch_goes_on(plant: Plant) -> None:
    """A restored journal takes what a replica from before the restore decides."""
    append = Journal.append

    def timeless(self: Journal, id: Any, sequence: int, events: Any, **rest: Any) -> bool:
        return append(self, id, sequence, events, **(rest | {"epoch": self.epoch}))

    plant.setattr(Journal, "append", timeless)
    plant.setattr(coordinator, "_restored", lambda state: state)


def no_margin(plant: Plant) -> None:
    plant.setattr(coordinator, "_margin_left", lambda *_: True)


def a_cancellation_accepted_after_commit(plant: Plant) -> None:
    executions = coordinator._executions

    def late(state: Settlement, now: Clocks) -> Iterator[Command]:
        if state.cancel_accepted:
            for n, known in enumerate(state.legs):
                if known.status is LegStatus.LOCKED:
                    yield Unlock(leg=n, role=Role.CANCELLATION)
        else:
            yield from executions(state, now)

    plant.setattr(coordinator, "_executions", late)
    plant.setattr(gateway.vault, "may_show", lambda *_: True)


def a_cancellation_overlooked(plant: Plant) -> None:
    plant.setattr(Settlement, "cancel_accepted", property(lambda _: False))


def the_wall_clock_for_the_ledgers_time(plant: Plant) -> None:
    """The gateway decides by its own clock, of which nobody promised anything: it is behind."""

    def behind(state: Settlement, now: Clocks) -> tuple[Command, ...]:
        own = {name: Clock(at=Instant(clock.at - 400)) for name, clock in now.items()}
        return coordinator.decide(state, own)

    plant.setattr(gateway.simulation.replica, "decide", behind)


def an_estimate_that_gives_up_a_claim(plant: Plant) -> None:
    """Rule 10: only the ledger's own answer may."""
    executions = coordinator._executions

    def hasty(state: Settlement, now: Clocks) -> Iterator[Command]:
        for command in executions(state, now):
            if isinstance(command, Unlock):
                agreed = state.agreed.legs[command.leg]
                expires_at = agreed.terms.expires_at or Instant(1 << 62)
                if clocks.passed(now, agreed.ledger, Instant(expires_at - 300)):
                    continue
            yield command

    plant.setattr(coordinator, "_executions", hasty)


# ------------------------------------------------------------------ ledgers, mailbox, blocks


def a_replay_applied_twice(plant: Plant) -> None:
    def forgetful(known: Any, operation: Any, at: Any) -> Any:
        fresh = replace(known, status=contract.Status.LOCKED, key=None, ended_at=None)
        return right_ended(fresh, operation, at)

    plant.setattr(book, "_ended", forgetful)


right_ended = book._ended


def a_batch_told_one_off(plant: Plant) -> None:
    apply_all = book.apply_all

    def shifted(*args: Any) -> tuple[list[Answer], list[Effect]]:
        answers, effects = apply_all(*args)
        return answers[-1:] + answers[:-1], effects

    plant.setattr(gateway.simulation.ledger, "apply_all", shifted)


def a_payout_to_whoever_asks(plant: Plant) -> None:
    right = book._contract_effect

    def wrong(kind: Kind, htlc: Any, by: Any, at: Any) -> Effect:
        effect = right(kind, htlc, by, at)
        return replace(effect, credit=htlc.terms.payee) if kind is Kind.CANCEL else effect

    plant.setattr(book, "_contract_effect", wrong)


def a_notice_sent_twice(plant: Plant) -> None:
    advise = SwapOrigin.advise

    def again(self: SwapOrigin, before: Settlement, after: Settlement) -> Any:
        advice = advise(self, before, after)
        return replace(advice, notices=advice.notices * 2)

    plant.setattr(SwapOrigin, "advise", again)


def a_notice_before_the_end_is_durable(plant: Plant) -> None:
    """Told by whoever knows, not by the journal: two replicas both tell it."""
    append = Journal.append

    def loose(self: Journal, id: Any, sequence: int, events: Any, **rest: Any) -> bool:
        done = append(self, id, sequence, events, **rest)
        if not done and rest.get("notices"):
            self._notices[id, -sequence] = tuple(rest["notices"])
        return done

    plant.setattr(Journal, "append", loose)


def leaves_in_another_order(plant: Plant) -> None:
    root = merkle.root
    plant.setattr(merkle, "root", lambda hashes: root(sorted(hashes)))


def a_node_that_passes_for_a_leaf(plant: Plant) -> None:
    plant.setattr(merkle, "LEAF_PREFIX", merkle.NODE_PREFIX)


def a_leaf_without_its_side(plant: Plant) -> None:
    plant.setattr(block, "SIDES", dict.fromkeys(book.SIDES, book.SIDES[Kind.LOCK]))


@dataclass(frozen=True)
class Tooth:
    """A planted error, and within how many lives of which kind it must be caught."""

    error: Callable[[Plant], None]
    protocol: LockProtocol
    within: int
    draw: Callable[[int], Life] | None = None
    excused: str = "nothing"  # how the violations begin that are to be expected all the same


TEETH = (
    Tooth(equal_expiries, HTLC, 30, last_instant),
    Tooth(a_window_one_outage_too_short, HTLC, 30, last_instant),
    Tooth(executions_before_the_decision, TWO_KEY, 10),
    Tooth(both_keys_of_a_pair, TWO_KEY, 10),
    Tooth(one_hash_on_anchor_and_followers, ANCHORED, 700),
    Tooth(followers_before_the_anchor, ANCHORED, 100),
    Tooth(silence_taken_for_absence, TWO_KEY, 500),
    Tooth(answers_called_final_too_early, TWO_KEY, 20),
    Tooth(a_refusal_taken_for_a_failure, HTLC, 200, beyond, excused="1: "),
    Tooth(no_lock_by, TWO_KEY, 300),
    Tooth(two_decisions, TWO_KEY, 10),
    Tooth(sent_before_it_is_durable, TWO_KEY, 10),
    Tooth(an_old_epoch_goes_on, TWO_KEY, 900, restored),
    Tooth(no_margin, HTLC, 20),
    Tooth(a_cancellation_accepted_after_commit, TWO_KEY, 200),
    Tooth(a_cancellation_overlooked, TWO_KEY, 300),
    Tooth(the_wall_clock_for_the_ledgers_time, HTLC, 400),
    Tooth(an_estimate_that_gives_up_a_claim, HTLC, 200),
    Tooth(a_replay_applied_twice, TWO_KEY, 50),
    Tooth(a_batch_told_one_off, TWO_KEY, 100),
    Tooth(a_payout_to_whoever_asks, TWO_KEY, 50),
    Tooth(a_notice_sent_twice, TWO_KEY, 2),
    Tooth(a_notice_before_the_end_is_durable, TWO_KEY, 20),
    Tooth(leaves_in_another_order, TWO_KEY, 5, audited),
    Tooth(a_node_that_passes_for_a_leaf, TWO_KEY, 2, audited),
    Tooth(a_leaf_without_its_side, TWO_KEY, 2, audited),
)


@pytest.mark.parametrize("tooth", TEETH, ids=lambda tooth: tooth.error.__name__)
def test_a_planted_error_is_caught(plant: Plant, tooth: Tooth) -> None:
    tooth.error(plant)
    assert caught(tooth.within, tooth.protocol, tooth.draw, tooth.excused)


def test_both_locks_of_the_vault_left_open_are_caught_by_what_ledgers_hold(plant: Plant) -> None:
    """Behind `may_show` the judge of the world looks at keys, contracts and balances."""
    a_vault_that_does_not_ask(plant)
    plant.setattr(invariants, "keys_follow_decisions", lambda *_: ())
    executions_before_the_decision(plant)
    assert caught(100, TWO_KEY).startswith(("1: ", "3: "))


# ------------------------------------------------------------------ caught by exhaustive search


def found_by_search(state: Settlement) -> bool:
    explorer = Explorer(state.swap, state.agreed, lambda n, role: key_of(state, n, role))
    return any(
        invariants.one_end(explorer.agreement, explorer.held(world)) for world in explorer.explore()
    )


def test_the_search_finds_an_execution_before_the_decision(plant: Plant) -> None:
    executions_before_the_decision(plant)
    assert found_by_search(samples.two_key())


def test_the_search_finds_both_keys_of_a_pair(plant: Plant) -> None:
    both_keys_of_a_pair(plant)
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
