"""Rule 17: what is done with what was open and undecided when a journal came back that may lack
records."""

from collections.abc import Callable

import pytest

from htlc.agreement import Role
from htlc.commands import Command, Lock, Look, Record, Unlock
from htlc.coordinator import decide, evolve
from htlc.events import Decided, Decision, Reason, Restored
from htlc.settlement import Phase, Settlement
from tests.htlc.samples import (
    NOW,
    absent,
    anchored,
    backstop,
    cancelled,
    clocks,
    decided,
    executed,
    htlc,
    locked,
    refunded,
    tell,
    two_key,
)


def owed(state: Settlement, at: int = NOW + 10) -> tuple[Command, ...]:
    return decide(state, clocks(state, at))


def restored(state: Settlement) -> Settlement:
    return evolve(state, Restored(epoch=2))


def decision(state: Settlement, at: int = NOW + 10) -> Decision | None:
    found = [c.event.decision for c in owed(state, at) if isinstance(c, Record)]
    return found[0] if found else None


def test_rule_17_a_decision_that_is_there_stands() -> None:
    for verdict in Decision:
        state = decided(locked(two_key()), verdict)
        assert restored(state) == state


def test_rule_17_anchored_goes_on_at_once() -> None:
    assert owed(restored(anchored())) == (Lock(leg=0), Lock(leg=1))
    assert decision(locked(restored(anchored()))) is Decision.COMMIT


def test_rule_17_htlc_shows_no_first_key_follows_an_executed_leg_else_lets_expire() -> None:
    state = locked(restored(htlc()))
    assert decision(state) is Decision.CANCEL
    state = decided(state, Decision.CANCEL, Reason.RESTORED)
    assert owed(state) == (Look(leg=0), Look(leg=1))
    followed = executed(state, 1)
    assert followed.phase is Phase.EXECUTING
    assert isinstance(owed(followed)[0], Unlock)
    gone = refunded(refunded(state, 1), 0)
    assert gone.phase is Phase.CANCELLED


def test_rule_17_two_key_follows_an_executed_leg_and_one_opened_back_with_its_key() -> None:
    assert decision(executed(restored(two_key()), 0)) is Decision.COMMIT
    assert decision(cancelled(restored(two_key()), 0)) is Decision.CANCEL


def test_rule_17_two_key_with_a_leg_finally_absent_is_cancelled() -> None:
    state = locked(restored(two_key()), 1)
    assert decision(state) is None
    assert decision(absent(state, 0)) is Decision.CANCEL
    assert decision(tell(state, 0, None, final=False)) is None
    assert decision(absent(state, 0, at=99_999)) is Decision.CANCEL


def test_rule_17_frozen_is_thawed_by_a_key_or_by_operators() -> None:
    state = locked(restored(two_key()))
    assert state.frozen
    assert decision(executed(state, 1)) is Decision.COMMIT
    by_operators = evolve(state, Decided(decision=Decision.COMMIT, reason=Reason.OPERATORS))
    assert not by_operators.frozen
    assert owed(by_operators) == tuple(Unlock(leg=n, role=Role.EXECUTION) for n in (0, 1))


def test_rule_17_with_a_backstop_it_is_treated_as_htlc() -> None:
    state = locked(restored(backstop()))
    assert not state.frozen and decision(state) is Decision.CANCEL
    state = decided(state, Decision.CANCEL, Reason.RESTORED)
    assert executed(state, 0).phase is Phase.EXECUTING
    assert refunded(refunded(state, 0), 1).phase is Phase.CANCELLED


@pytest.mark.parametrize("make", [backstop, anchored, htlc])
def test_rule_17_nothing_but_a_plain_two_key_settlement_is_ever_frozen(
    make: Callable[[], Settlement],
) -> None:
    assert not locked(restored(make())).frozen
    assert not locked(two_key()).frozen
    assert not locked(restored(two_key()), 0).frozen
    assert locked(restored(two_key())).frozen


def test_rule_17_a_cancel_after_a_restore_says_why() -> None:
    state = restored(locked(two_key(), 0))
    state = tell(state, 1, None, state.agreed.legs[1].terms.lock_by)
    (record,) = [c for c in owed(state) if isinstance(c, Record)]
    assert (record.event.decision, record.event.reason) == (Decision.CANCEL, Reason.RESTORED)
