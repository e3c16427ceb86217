"""The checks have teeth: each error planted here is one that somebody could make, and is caught."""

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from htlc import clocks, contract, coordinator, invariants, keys, leg, schedule
from htlc.agreement import Agreement, Role
from htlc.clocks import Clocks
from htlc.commands import Command, Unlock
from htlc.contract import Answer
from htlc.events import Event
from htlc.explorer import Explorer
from htlc.leg import LegState, LegStatus
from htlc.schedule import Schedule
from htlc.settlement import Settlement
from htlc.swap import LockProtocol, Swap
from htlc.units import Instant
from tests.htlc import samples, world_replica
from tests.htlc.samples import key_of
from tests.htlc.test_lives import BEYOND, DVP, HOSTILE, PARTY, WITHIN, lives
from tests.htlc.world import Faults, World
from tests.htlc.world_replica import Replica

Plant = pytest.MonkeyPatch


def caught_in_lives(
    count: int,
    protocol: LockProtocol,
    faults: Faults,
    swap: Swap = DVP,
    excused: frozenset[int] = frozenset(),
) -> str:
    """What the first life that shows the error says; empty if none does."""
    try:
        for _, world in lives(count, swap, protocol, faults):
            if found := [v for v in world.violations() if v.invariant not in excused]:
                return found[0].what
            if len(world.phases) > 1:
                return "replicas differ"
    except AssertionError as error:
        return str(error) or "an assertion of the core"
    return ""


def caught_by_search(state: Settlement) -> bool:
    explorer = Explorer(state.swap, state.agreed, lambda n, role: key_of(state, n, role))
    return any(
        invariants.one_end(explorer.agreement, explorer.held(world)) for world in explorer.explore()
    )


def test_equal_expiries_are_caught(plant: Plant) -> None:
    drawn = schedule.draw

    def equal(*args: Any, **kwargs: Any) -> Schedule:
        plan = drawn(*args, **kwargs)
        return replace(plan, expires_at=(min(plan.expires_at),) * len(plan.expires_at))

    plant.setattr(schedule, "draw", equal)
    plant.setattr(schedule, "faults", lambda *_, **__: ())
    # Random faults hardly find it; aimed at the instant that matters, they do.
    last = replace(WITHIN, late_claim=True, crash=0.7, decision_outage=0)
    assert "executed" in caught_in_lives(100, LockProtocol.HTLC, last, PARTY)


def test_an_execution_before_the_decision_is_caught(plant: Plant) -> None:
    locking = coordinator._locking

    def eager(state: Settlement, now: Clocks) -> Iterator[Command]:
        yield from locking(state, now)
        for n, known in enumerate(state.legs):
            if known.status is LegStatus.LOCKED:
                yield Unlock(leg=n, role=Role.EXECUTION)

    plant.setattr(coordinator, "_locking", eager)
    assert caught_in_lives(200, LockProtocol.TWO_KEY, HOSTILE) == "the vault refuses"
    plant.setattr(world_replica, "may_show", lambda *_: True)
    assert caught_in_lives(200, LockProtocol.TWO_KEY, HOSTILE)
    assert caught_by_search(samples.two_key())


def test_both_keys_of_a_pair_released_is_caught(plant: Plant) -> None:
    executions = coordinator._executions

    def both(state: Settlement, now: Clocks) -> Iterator[Command]:
        yield from executions(state, now)
        for n, known in enumerate(state.legs):
            if known.status is LegStatus.LOCKED:
                yield Unlock(leg=n, role=Role.CANCELLATION)

    plant.setattr(coordinator, "_executions", both)
    assert caught_in_lives(50, LockProtocol.TWO_KEY, HOSTILE) == "the vault refuses"
    plant.setattr(world_replica, "may_show", lambda *_: True)
    assert caught_in_lives(200, LockProtocol.TWO_KEY, HOSTILE)
    assert caught_by_search(samples.two_key())


def test_no_answer_taken_for_absence_is_caught(plant: Plant) -> None:
    deliver = World.deliver

    def silence_is_absence(
        self: World, replica: Replica, life: int, command: Any, key: bytes | None
    ) -> None:
        ledger = self.ledgers[self.agreement.legs[command.leg].ledger]
        if ledger.down():
            replica.hear(life, command.leg, Answer(at=ledger.now))
        deliver(self, replica, life, command, key)

    plant.setattr(World, "deliver", silence_is_absence)
    assert caught_in_lives(400, LockProtocol.TWO_KEY, HOSTILE)


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
    assert contract.lock(terms, terms.lock_by) is contract.Refusal.TOO_LATE
    expires_at, key = terms.expires_at, key_of(samples.htlc(), 0, Role.EXECUTION)
    assert expires_at is not None
    assert isinstance(contract.execute(held, key, Instant(expires_at - 1)), contract.Htlc)
    assert contract.execute(held, key, expires_at) is contract.Refusal.EXPIRED
    assert contract.refund(held, Instant(expires_at - 1)) is contract.Refusal.NOT_EXPIRED
    assert isinstance(contract.refund(held, expires_at), contract.Htlc)


def test_a_follower_executed_while_the_anchor_is_only_locked_is_caught(plant: Plant) -> None:
    plant.setattr(Agreement, "revealers", property(lambda self: tuple(range(len(self.legs)))))
    with pytest.raises(AssertionError, match="not yet allowed"):
        caught_by_search(samples.anchored_htlc())
    plant.setattr(coordinator, "may_show", lambda *_: True)
    assert caught_by_search(samples.anchored_htlc())


def test_a_refusal_taken_for_a_failure_is_caught(plant: Plant) -> None:
    learn = leg.learn

    def deaf(known: LegState, agreed: Any, answer: Answer) -> LegState:
        return known if answer.refusal else learn(known, agreed, answer)

    plant.setattr(coordinator, "learn", deaf)
    one_legged = frozenset({1})  # to be expected beyond the budget; what never ends is not
    silent = replace(BEYOND, crash=0.0, ledger_outages=0.9, ledger_outage=4_000)
    assert "no end" in caught_in_lives(200, LockProtocol.HTLC, silent, excused=one_legged)


def test_a_decision_after_another_one_is_caught(plant: Plant) -> None:
    def append(self: world_replica.Journal, sequence: int, event: Event) -> bool:
        self.events.append(event)
        return True

    plant.setattr(world_replica.Journal, "append", append)
    assert caught_in_lives(400, LockProtocol.TWO_KEY, HOSTILE)


def test_a_command_sent_before_its_record_is_durable_is_caught(plant: Plant) -> None:
    """Rule 1 and the order of writing: act on a decision, then die before it is written."""

    def careless(self: Replica, event: Event) -> None:
        self.state = coordinator.evolve(self.state, event)
        self.world.at(15, lambda: self.world.journal.events.append(event))
        self.asked.clear()

    plant.setattr(Replica, "append", careless)
    assert caught_in_lives(100, LockProtocol.TWO_KEY, replace(HOSTILE, cancel=0.6))


def test_a_margin_that_is_not_asked_for_is_caught(plant: Plant) -> None:
    plant.setattr(coordinator, "_margin_left", lambda *_: True)
    assert caught_in_lives(1_000, LockProtocol.HTLC, WITHIN)


def test_a_key_for_anyone_who_asks_is_caught(plant: Plant) -> None:
    """`keys.may_show` is the second lock of the vault: alone it must hold as well."""
    state = samples.locked(samples.two_key())
    assert not keys.may_show(state, 0, Role.EXECUTION)
    plant.setattr(keys, "_may_execute", lambda *_: True)
    assert keys.may_show(state, 0, Role.EXECUTION)


@pytest.fixture
def plant(monkeypatch: Plant) -> Plant:
    return monkeypatch


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
    plant.setattr(clocks.Clock, "latest", property(lambda self: self.at))
    assert committed_at(-5)
