"""Faults that reading and searching found in the core: each test failed before its repair."""

from htlc.agreement import Role
from htlc.commands import Look, Record, Unlock
from htlc.coordinator import decide, evolve
from htlc.events import Decision, Reason, Restored
from htlc.keys import may_show
from htlc.leg import LegStatus
from htlc.settlement import Phase, Settlement
from htlc.swap import Swap
from htlc.units import LedgerId
from tests.htlc import samples
from tests.htlc.samples import (
    NOW,
    absent,
    amount,
    backstop,
    clocks,
    decided,
    locked,
    party,
    two_key,
)


def unlocks(state: Settlement, at: int = NOW + 20) -> list[Unlock]:
    return [c for c in decide(state, clocks(state, at)) if isinstance(c, Unlock)]


def test_restored_legs_with_a_backstop_are_left_to_expire_not_opened_back() -> None:
    """A COMMIT may have been lost and an execution may be on its way: a cancellation key now
    could meet it, one leg each."""
    state = evolve(locked(backstop()), Restored(epoch=2))
    state = decided(state, Decision.CANCEL, Reason.RESTORED)
    assert state.phase is Phase.UNWINDING
    assert unlocks(state) == []
    assert not may_show(state, 0, Role.CANCELLATION)
    assert {type(c) for c in decide(state, clocks(state, NOW + 20))} == {Look}


def test_a_restore_forgets_that_a_leg_was_absent() -> None:
    """The answer is older than what the journal may have lost: the lock, and a COMMIT."""
    state = evolve(absent(two_key(), 0), Restored(epoch=2))
    state = locked(state, 1)
    assert not any(isinstance(c, Record) for c in decide(state, clocks(state, NOW + 20)))
    assert state.legs[0].status is LegStatus.UNSEEN


def test_commit_by_is_watched_after_a_restart_while_another_ledger_is_silent() -> None:
    """Leg 0 is known to be locked, so nothing is asked of its ledger, and its time, by which the
    settlement must be given up, was never heard by this process."""
    state = locked(two_key(), 0)
    assert Look(leg=0) in decide(state, {})


def hub_swap() -> Swap:
    hub, one, two = party("HUB"), party("ONE"), party("TWO")
    return Swap(
        id=samples.ID,
        legs=(
            amount(LedgerId("a"), "A").leg("IN1", one, hub),
            amount(LedgerId("b"), "B").leg("OUT1", hub, one),
            amount(LedgerId("c"), "C").leg("IN2", two, hub),
            amount(LedgerId("d"), "D").leg("OUT2", hub, two),
        ),
    )
