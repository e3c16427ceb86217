"""Estimated ledger times, and the instants at which it is worth asking again."""

from htlc.clocks import Clock, passed, wake_at
from htlc.coordinator import propose
from htlc.events import Decision, Proposed
from htlc.units import Duration, Instant
from tests.htlc.samples import (
    CSD,
    RTGS,
    absent,
    cancelled,
    changed,
    committed,
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
