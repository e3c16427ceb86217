"""Estimated ledger times, and when it is worth asking again."""

import itertools

import pytest
from msgspec.structs import replace

from htlc.clocks import Clock, passed, rests, wake_at
from htlc.contract import Refusal
from htlc.coordinator import decide, propose
from htlc.events import Decided, Decision, Proposed, Reason
from htlc.leg import LegState, LegStatus
from htlc.settlement import Phase, Settlement
from htlc.units import Duration, Instant
from tests.htlc.samples import (
    CSD,
    NOW,
    RTGS,
    SHORT_BACKSTOP,
    absent,
    anchored,
    cancelled,
    changed,
    committed,
    cross_swap,
    decided,
    dvp_swap,
    executed,
    htlc,
    locked,
    two_key,
)


def test_a_clock_counts_at_its_latest_and_an_unheard_one_says_nothing() -> None:
    now = {CSD: Clock(at=Instant(100), skew=Duration(5))}
    assert passed(now, CSD, Instant(105)) is True
    assert passed(now, CSD, Instant(106)) is False
    assert passed(now, RTGS, Instant(0)) is None


def test_an_open_settlement_wakes_at_commit_by_and_a_proposal_without_one_never() -> None:
    assert wake_at(two_key()) == wake_at(locked(two_key())) == two_key().agreed.commit_by
    assert wake_at(propose(Proposed(swap=dvp_swap()))) is None


def test_while_unwinding_it_wakes_when_an_absent_leg_can_no_longer_be_locked() -> None:
    state = decided(absent(two_key(), 0), Decision.CANCEL)
    assert wake_at(state) == state.agreed.legs[0].terms.lock_by
    assert wake_at(decided(locked(two_key()), Decision.CANCEL)) is None


def test_after_commit_it_wakes_at_the_next_expiry_of_a_locked_leg() -> None:
    state = committed(htlc())
    first, then = (state.agreed.legs[n].terms.expires_at for n in (1, 0))
    assert wake_at(state) == first
    assert wake_at(executed(state, 1)) == then
    assert wake_at(executed(state, 1, 0)) is None


def test_once_committed_commit_by_wakes_nobody_any_more() -> None:
    swap = changed(dvp_swap(), commit_by=Instant(1_500))
    assert wake_at(two_key(swap)) == 1_500
    assert wake_at(committed(two_key(swap))) is None


def test_what_has_ended_never_wakes() -> None:
    state = cancelled(decided(locked(two_key()), Decision.CANCEL), 0, 1)
    assert state.ended and wake_at(state) is None
    assert wake_at(decided(propose(Proposed(swap=dvp_swap())), Decision.CANCEL)) is None


COMMIT = Decided(decision=Decision.COMMIT, reason=Reason.ALL_LOCKED)
KNOWN = [LegState(status=status) for status in LegStatus] + [
    LegState(status=LegStatus.ABSENT, refusal=Refusal.INSUFFICIENT_BALANCE)
]
KINDS = ("Lock", "Unlock")


@pytest.mark.parametrize(
    ("opened", "resting"),
    [
        (two_key(), 23),
        (two_key(cross_swap()), 135),
        (two_key(limits=SHORT_BACKSTOP), 0),
        (anchored(), 0),
        (htlc(), 0),
    ],
)
def test_where_a_settlement_rests_it_owes_nothing_that_was_not_asked(
    opened: Settlement, resting: int
) -> None:
    """Every state that the legs of an open settlement can be in, whatever is under way."""
    clocks = {leg.ledger: Clock(at=NOW) for leg in opened.agreed.legs}
    found = set()
    for legs in itertools.product(KNOWN, repeat=len(opened.legs)):
        for phase, kinds in itertools.product(
            (Phase.LOCKING, Phase.EXECUTING, Phase.UNWINDING),
            itertools.product((None, *KINDS), repeat=len(legs)),
        ):
            decided = COMMIT if phase is Phase.EXECUTING else None
            state = replace(opened, phase=phase, legs=legs, decided=decided)
            asked = {(n, kind) for n, kind in enumerate(kinds) if kind is not None}
            if rests(state, asked):
                owed = {(command.leg, type(command).__name__) for command in decide(state, clocks)}
                assert owed <= asked, (phase, legs)
                found.add((phase, legs, kinds))
    assert len(found) == resting


def test_who_asked_for_a_cancellation_does_not_wait_for_ledgers() -> None:
    state = replace(two_key(), cancel_ordered=True)
    assert not rests(state, {(0, "Lock"), (1, "Lock")})
    assert rests(two_key(), {(0, "Lock"), (1, "Lock")})
