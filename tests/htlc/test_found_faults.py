"""Faults that reading and searching found in the core: each test failed before its repair."""

import pytest
from msgspec.structs import replace

from htlc import schedule
from htlc.agreement import Agreement, Pair, Role, draw_up
from htlc.commands import Look, Record, Unlock
from htlc.contract import Refusal
from htlc.coordinator import decide, evolve
from htlc.events import Decision, Learned, Reason, Restored
from htlc.keys import may_show
from htlc.leg import LegState, LegStatus
from htlc.settlement import Phase, Settlement
from htlc.swap import LockProtocol, PartySecret, check
from htlc.units import Duration, Instant
from tests.htlc import samples
from tests.htlc.samples import (
    KEYS,
    LATENCY,
    LIMITS,
    NOW,
    absent,
    agreement,
    anchored,
    backstop,
    cancelled,
    changed,
    clocks,
    decided,
    dvp_swap,
    executed,
    locked,
    profile,
    profiles,
    two_key,
    with_secret,
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


def test_a_leader_paid_by_two_legs_gets_one_first_leg_and_a_window_before_the_other() -> None:
    """Whoever dies between its claims needs the window for the second one as well."""
    hub = samples.hub_swap()
    plan = schedule.draw(
        hub.legs,
        [LATENCY] * 4,
        hub.legs[1].payer.member,
        recovery=LIMITS.recovery,
        first_claim_by=Instant(0),
    )
    paid_to_leader = sorted(plan.expires_at[n] for n in (0, 2))
    step = schedule.window(LATENCY, LATENCY, LIMITS.recovery)
    assert paid_to_leader[1] - paid_to_leader[0] == step
    one_tick_less = list(plan.expires_at)
    one_tick_less[2] = Instant(one_tick_less[2] - 1)
    (fault,) = schedule.faults(
        hub.legs, [LATENCY] * 4, hub.legs[1].payer.member, one_tick_less, recovery=LIMITS.recovery
    )
    assert fault.field == "legs[2].expires_at"


def test_the_margin_of_a_backstop_covers_the_claim_on_the_slowest_other_ledger() -> None:
    slow = replace(LATENCY, delivery=Duration(400), skew=Duration(50))
    agreed = agreement(
        dvp_swap(),
        LockProtocol.TWO_KEY,
        ledgers=profiles(dvp_swap(), rtgs=profile(latency=slow)),
        limits=replace(samples.BACKSTOP, backstop=Duration(5_000)),
    )
    assert agreed.legs[0].margin == LATENCY.claim + LIMITS.recovery + 400 + 50
    three = agreement(
        samples.cross_swap(),
        LockProtocol.TWO_KEY,
        ledgers=profiles(samples.cross_swap(), rtgs=profile(latency=slow)),
        limits=replace(samples.BACKSTOP, backstop=Duration(5_000)),
    )
    assert [leg.margin for leg in three.legs] == [
        *(leg.margin for leg in agreed.legs),
        agreed.legs[0].margin,
    ]
    assert agreed.legs[1].margin == slow.claim + LIMITS.recovery + LATENCY.delivery + LATENCY.skew


def test_a_backstop_nearer_than_its_margin_is_refused() -> None:
    def drawn(backstop: int) -> object:
        swap = changed(dvp_swap(), protocol=LockProtocol.TWO_KEY)
        limits = replace(samples.BACKSTOP, backstop=Duration(backstop))
        return draw_up(swap, profiles(swap), limits, KEYS.lock)

    margin = LATENCY.claim + LIMITS.recovery + LATENCY.delivery + LATENCY.skew
    assert isinstance(drawn(margin + 1), Agreement)
    refused = drawn(margin)
    assert isinstance(refused, tuple)
    assert [fault.field for fault in refused] == ["backstop", "backstop"]


def test_an_expiry_asked_for_on_an_anchor_with_two_keys_is_refused_not_dropped() -> None:
    swap = dvp_swap()
    legs = (replace(swap.legs[0], expires_at=Instant(9_999)), swap.legs[1])
    swap = changed(swap, legs=legs, protocol=LockProtocol.ANCHORED)
    refused = draw_up(swap, profiles(swap), LIMITS, KEYS.lock)
    assert isinstance(refused, tuple)
    assert [fault.field for fault in refused] == ["legs[0].expires_at"]


def test_broken_with_a_lost_anchor_still_opens_its_followers_back() -> None:
    """A follower that was executed without its anchor is our error or a fraud; the other owner
    is not trapped because of it."""
    swap = samples.cross_swap()
    state = decided(locked(anchored(swap)), Decision.CANCEL, Reason.CANCEL_ACCEPTED)
    state = executed(cancelled(state, 0), 1)
    assert state.phase is Phase.BROKEN
    assert unlocks(state) == [Unlock(leg=2, role=Role.CANCELLATION)]


def test_an_executed_leg_under_cancel_is_followed_with_the_key_it_has_shown() -> None:
    """Two operators resolved a frozen settlement the wrong way; while nothing has gone back yet
    all legs can still end the same way. The vault itself opens nothing against the journal."""
    state = locked(evolve(two_key(), Restored(epoch=2)))
    state = executed(decided(state, Decision.CANCEL, Reason.OPERATORS), 0)
    assert state.phase is Phase.EXECUTING
    key = KEYS.keys[Pair.LEGS, Role.EXECUTION]
    assert unlocks(state) == [Unlock(leg=1, role=Role.EXECUTION, key=key)]
    assert not may_show(state, 1, Role.EXECUTION)


def test_a_cancelled_leg_under_commit_is_followed_with_the_key_it_has_shown() -> None:
    """The other way round; before, nothing was owed for ever, and nobody was paged."""
    state = locked(evolve(two_key(), Restored(epoch=2)))
    state = cancelled(decided(state, Decision.COMMIT, Reason.OPERATORS), 0)
    assert state.phase is Phase.UNWINDING
    key = KEYS.keys[Pair.LEGS, Role.CANCELLATION]
    assert unlocks(state) == [Unlock(leg=1, role=Role.CANCELLATION, key=key)]
    assert not may_show(state, 1, Role.CANCELLATION)


def test_an_overloaded_ledger_has_told_nothing() -> None:
    """It refused to look, so that no contract is shown does not mean that there is none."""
    state = two_key()
    late = state.agreed.legs[0].terms.lock_by + 1
    assert absent(state, 0, late, refusal=Refusal.OVERLOADED) == state


@pytest.mark.parametrize("status", [LegStatus.ABSENT, LegStatus.UNSEEN])
def test_a_journalled_fact_from_the_same_ledger_time_never_unlocks_a_leg(
    status: LegStatus,
) -> None:
    """A ledger whose clock goes in blocks says "absent" and "locked" at one and the same time."""
    state = locked(two_key(), 0, at=NOW + 1)
    state = evolve(state, Learned(leg=0, known=LegState(status=status, at=Instant(NOW + 1))))
    assert state.legs[0].status is LegStatus.LOCKED


def test_a_journalled_fact_is_taken_unless_something_better_is_known() -> None:
    def recalled(state: Settlement, status: LegStatus, at: int) -> LegState:
        event = Learned(leg=0, known=LegState(status=status, at=Instant(at)))
        return evolve(state, event).legs[0]

    early, late = NOW + 1, NOW + 9
    assert recalled(two_key(), LegStatus.LOCKED, early).status is LegStatus.LOCKED
    assert recalled(absent(two_key(), 0, at=early), LegStatus.LOCKED, early).at == early
    known = locked(two_key(), 0, at=early)
    assert recalled(known, LegStatus.EXECUTED, early).status is LegStatus.EXECUTED
    assert recalled(known, LegStatus.CANCELLED, late).status is LegStatus.CANCELLED
    assert recalled(known, LegStatus.ABSENT, late) == known.legs[0]
    heard_later = absent(two_key(), 0, at=late)
    assert recalled(heard_later, LegStatus.UNSEEN, early) == heard_later.legs[0]
    gone = cancelled(locked(two_key()), 0, at=early)
    assert recalled(gone, LegStatus.LOCKED, late) == gone.legs[0]


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_digest_of_another_length_is_refused_since_no_key_can_open_it(length: int) -> None:
    swap = with_secret(dvp_swap(), samples.BUYER)
    assert check(swap, legs_max=8) == ()
    assert swap.secret is not None
    secret = PartySecret(
        holder=swap.secret.holder, function=swap.secret.function, digest=bytes(length)
    )
    (fault,) = check(changed(swap, secret=secret), legs_max=8)
    assert fault.field == "secret.digest"
