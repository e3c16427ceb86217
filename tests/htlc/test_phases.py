"""Each arrow of the settlement's phases, and the five of LOCKING in their order."""

import itertools
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from htlc.agreement import Role
from htlc.clocks import wake_at
from htlc.commands import Lock, Look, Open, Record, Refund, Unlock
from htlc.contract import Refusal, Status
from htlc.coordinator import decide, evolve, propose
from htlc.events import (
    CancelRequested,
    Consented,
    Decided,
    Decision,
    Learned,
    Opened,
    Proposed,
    Reason,
    Restored,
    SecretHanded,
)
from htlc.leg import LegState, LegStatus
from htlc.settlement import Phase, Settlement
from htlc.units import Instant, MemberId
from tests.htlc.samples import (
    BUYER,
    NOW,
    SECRET,
    absent,
    agreement,
    anchored,
    anchored_htlc,
    anchored_party,
    backstop,
    cancelled,
    changed,
    clocks,
    committed,
    contract,
    cross_swap,
    decided,
    dvp_swap,
    executed,
    htlc,
    htlc_party,
    key_of,
    locked,
    refunded,
    tell,
    two_key,
)

AUTHORITY = MemberId("CENTRALBANK")


def record(state: Settlement, at: int = NOW + 10) -> tuple[Decision, Reason] | None:
    """The decision that is owed, if one is."""
    found = [c.event for c in decide(state, clocks(state, at)) if isinstance(c, Record)]
    assert len(found) <= 1
    return (found[0].decision, found[0].reason) if found else None


def ordered(state: Settlement) -> Settlement:
    return evolve(state, CancelRequested(by=AUTHORITY, ordered=True))


# ------------------------------------------------------------------ PROPOSED


def test_proposed_waits_for_the_consent_of_every_payer_then_opens() -> None:
    swap = dvp_swap()
    state = propose(Proposed(swap=swap))
    for member in swap.payers:
        assert decide(state, clocks(state, NOW)) == ()
        state = evolve(state, Consented(member=member))
    assert decide(state, clocks(state, NOW)) == (Open(),)
    assert evolve(state, Opened(agreement=agreement(swap))).phase is Phase.LOCKING


def test_one_payer_alone_may_withdraw_a_proposal() -> None:
    state = propose(Proposed(swap=dvp_swap(), consents=tuple(dvp_swap().payers)))
    state = evolve(state, CancelRequested(by=BUYER.member))
    assert state.cancellable
    assert record(state) == (Decision.CANCEL, Reason.CANCEL_ACCEPTED)
    state = decided(state, Decision.CANCEL)
    assert state.phase is Phase.CANCELLED and state.never_locked and state.ended
    assert decide(state, {}) == ()


def test_a_proposal_ends_when_its_commit_by_has_passed_and_says_when_to_look() -> None:
    state = propose(Proposed(swap=changed(dvp_swap(), commit_by=Instant(2_000))))
    assert wake_at(state) == 2_000
    assert record(state, 1_999) is None
    assert record(state, 2_000) == (Decision.CANCEL, Reason.COMMIT_BY_PASSED)


# ------------------------------------------------------------------ LOCKING, its five arrows


def test_first_arrow_an_executed_leg_is_followed_whatever_else_is_true() -> None:
    """Before the restore, before the refusal, before commit_by."""
    for make in (two_key, htlc_party):
        state = absent(executed(make(), 0), 1, refusal=Refusal.INSUFFICIENT_BALANCE)
        state = evolve(ordered(state), Restored(epoch=2))
        assert record(state, 9_999) == (Decision.COMMIT, Reason.EXECUTED_ON_LEDGER)


def test_first_arrow_with_an_anchor_only_the_anchor_counts() -> None:
    assert record(executed(anchored_party(), 0)) == (Decision.COMMIT, Reason.EXECUTED_ON_LEDGER)
    assert record(executed(anchored_party(), 1)) is None


def test_second_arrow_a_restored_two_key_settlement_with_all_locked_is_frozen() -> None:
    state = ordered(locked(evolve(two_key(), Restored(epoch=2))))
    assert state.frozen
    assert record(state) is None and record(state, 99_999) is None
    assert decide(state, clocks(state, NOW)) == (Look(leg=0), Look(leg=1))


def test_third_arrow_all_locked_in_time_and_not_cancelled_commits() -> None:
    for make in (two_key, anchored, anchored_htlc, htlc, backstop):
        state = locked(make())
        assert record(state) == (Decision.COMMIT, Reason.ALL_LOCKED), make
        assert evolve(state, Decided(decision=Decision.COMMIT, reason=Reason.ALL_LOCKED)).phase is (
            Phase.EXECUTING
        )


def test_third_arrow_is_not_taken_on_the_tick_of_commit_by() -> None:
    for make in (two_key, anchored, anchored_htlc, htlc, backstop):
        state = locked(make())
        commit_by = state.agreed.commit_by
        assert record(state, commit_by - 1) == (Decision.COMMIT, Reason.ALL_LOCKED), make
        assert record(state, commit_by) == (Decision.CANCEL, Reason.COMMIT_BY_PASSED), make


def test_third_arrow_is_not_taken_with_a_leg_unheard_absent_or_not_final() -> None:
    state = locked(two_key(), 0)
    assert record(state) is None
    assert record(absent(state, 1)) is None
    assert record(tell(state, 1, contract(state, 1), final=False)) is None


def test_third_arrow_is_not_taken_without_the_time_of_the_ledger_of_leg_0() -> None:
    assert decide(locked(two_key()), {}) == (Look(leg=0),)
    assert decide(locked(htlc()), {}) == (Look(leg=0), Look(leg=1))
    assert decide(locked(htlc(), 1), {}) == (Lock(leg=0),)


@pytest.mark.parametrize(
    "refusal", [Refusal.INSUFFICIENT_BALANCE, Refusal.ACCOUNT_BLOCKED, Refusal.TERMS_REFUSED]
)
def test_fourth_arrow_a_lasting_refusal_cancels_and_is_told(refusal: Refusal) -> None:
    state = absent(locked(two_key(), 0), 1, refusal=refusal)
    (command,) = decide(state, clocks(state, NOW + 10))
    assert isinstance(command, Record)
    assert command.event == Decided(
        decision=Decision.CANCEL,
        reason=Reason.REFUSED,
        leg=state.agreed.legs[1].terms.leg,
        refusal=refusal,
    )


@pytest.mark.parametrize("refusal", [Refusal.OVERLOADED, Refusal.UNKNOWN_CONTRACT])
def test_fourth_arrow_a_transient_refusal_is_tried_again(refusal: Refusal) -> None:
    state = absent(locked(two_key(), 0), 1, refusal=refusal)
    assert decide(state, clocks(state, NOW + 10)) == (Lock(leg=1),)


def test_fourth_arrow_a_refused_lock_that_is_there_after_all_is_locked() -> None:
    """A duplicate was accepted: a refusal is not final, a contract is."""
    state = absent(locked(two_key(), 0), 1, refusal=Refusal.INSUFFICIENT_BALANCE)
    assert record(locked(state, 1)) == (Decision.COMMIT, Reason.ALL_LOCKED)


def test_fourth_arrow_a_finished_leg_cancels() -> None:
    state = locked(two_key(), 0)
    late = absent(state, 1, at=state.agreed.legs[1].terms.lock_by)
    assert record(late) == (Decision.CANCEL, Reason.LEG_FINISHED)
    assert record(refunded(locked(htlc()), 1)) == (Decision.CANCEL, Reason.LEG_FINISHED)


def test_fifth_arrow_a_cancellation_of_all_parties_or_an_authority_cancels_else_none() -> None:
    one = evolve(two_key(), CancelRequested(by=BUYER.member))
    assert not one.cancel_accepted and record(one) is None
    assert ordered(one).cancel_accepted
    assert evolve(ordered(one), CancelRequested(by=BUYER.member)).cancel_accepted
    both = evolve(one, CancelRequested(by=MemberId("SELLER")))
    assert record(both) == (Decision.CANCEL, Reason.CANCEL_ACCEPTED)
    assert record(ordered(two_key())) == (Decision.CANCEL, Reason.CANCEL_ACCEPTED)


def test_fifth_arrow_comes_before_commit_when_all_is_locked() -> None:
    assert record(ordered(locked(two_key()))) == (Decision.CANCEL, Reason.CANCEL_ACCEPTED)


# ------------------------------------------------------------------ EXECUTING


def test_executing_to_settled_when_every_leg_is_executed() -> None:
    state = executed(committed(two_key()), 0)
    assert state.phase is Phase.EXECUTING
    state = executed(state, 1)
    assert state.phase is Phase.SETTLED and decide(state, {}) == () and wake_at(state) is None


def test_executing_to_unwinding_when_the_anchor_is_lost() -> None:
    state = refunded(committed(anchored_htlc()), 1)
    assert state.phase is Phase.UNWINDING and state.decision is Decision.COMMIT
    assert decide(state, {}) == (Unlock(leg=0, role=Role.CANCELLATION),)
    assert cancelled(state, 0).phase is Phase.CANCELLED


@pytest.mark.parametrize("make", [htlc, backstop])
def test_executing_to_unwinding_when_a_leg_is_refunded_and_none_executed(
    make: Callable[[], Settlement],
) -> None:
    state = refunded(committed(make()), 1)
    assert state.phase is Phase.UNWINDING
    assert not any(isinstance(c, Unlock) for c in decide(state, clocks(state, NOW)))
    assert refunded(state, 0).phase is Phase.CANCELLED


# ------------------------------------------------------------------ UNWINDING


def test_unwinding_to_executing_when_the_anchor_is_executed_after_all() -> None:
    """CANCEL is journalled, and the party showed its secret: the followers follow the anchor."""
    state = executed(decided(locked(anchored_party()), Decision.CANCEL), 0)
    assert state.phase is Phase.EXECUTING
    assert decide(state, {}) == (Unlock(leg=1, role=Role.EXECUTION),)
    assert executed(state, 1).phase is Phase.SETTLED


def test_unwinding_to_executing_when_an_htlc_leg_is_executed_after_all() -> None:
    state = executed(decided(locked(htlc_party()), Decision.CANCEL), 0)
    assert state.phase is Phase.EXECUTING
    assert decide(state, {}) == (Unlock(leg=1, role=Role.EXECUTION, key=SECRET),)


def test_unwinding_to_cancelled_only_when_every_leg_is_finished() -> None:
    state = cancelled(decided(locked(two_key()), Decision.CANCEL), 0)
    assert state.phase is Phase.UNWINDING
    state = cancelled(state, 1)
    assert state.phase is Phase.CANCELLED and not state.never_locked


def test_cancelled_is_reported_as_rejected_when_nothing_was_ever_locked() -> None:
    assert not two_key().never_locked
    state = decided(two_key(), Decision.CANCEL, Reason.REFUSED)
    for n in (0, 1):
        assert not state.ended
        state = absent(state, n, at=state.agreed.legs[n].terms.lock_by)
    assert state.phase is Phase.CANCELLED and state.never_locked


# ------------------------------------------------------------------ BROKEN


def test_broken_keeps_working_for_what_can_still_be_saved() -> None:
    """Three legs of `htlc`: one executed, one refunded, and the third is still claimed."""
    state = refunded(executed(committed(htlc(cross_swap())), 2), 1)
    assert state.phase is Phase.BROKEN and not state.ended
    (claim,) = decide(state, clocks(state, NOW))
    assert isinstance(claim, Unlock) and claim.leg == 0 and claim.key is not None
    late = state.agreed.legs[0].terms.expires_at
    assert late is not None
    assert decide(locked(state, 0, at=late), {}) == (Refund(leg=0),)
    assert decide(executed(state, 0), {}) == ()


# ------------------------------------------------------------------ what experience taught


def test_a_lost_claim_answer_is_learned_from_the_refusal() -> None:
    """The claim was carried out, its answer lost; the refund that is asked for later is refused
    with ALREADY_EXECUTED, and that refusal is the fact that was missing."""
    from tests.htlc.samples import contract

    state = executed(committed(htlc()), 1)
    expires_at = state.agreed.legs[0].terms.expires_at
    assert expires_at is not None
    state = locked(state, 0, at=expires_at)
    assert decide(state, {}) == (Refund(leg=0),)
    held = contract(state, 0, Status.EXECUTED, key_of(state, 0, Role.EXECUTION), expires_at - 9)
    state = tell(state, 0, held, expires_at + 1, refusal=Refusal.ALREADY_EXECUTED)
    assert state.phase is Phase.SETTLED


def test_committed_and_every_claim_late_is_cancelled() -> None:
    state = committed(htlc())
    expiries = [leg.terms.expires_at or 0 for leg in state.agreed.legs]
    for n in (1, 0):
        state = locked(state, n, at=expiries[n])
        assert Refund(leg=n) in decide(state, clocks(state, max(expiries)))
        state = refunded(state, n, at=expiries[n])
    assert state.phase is Phase.CANCELLED and state.decision is Decision.COMMIT


def test_a_lock_that_arrives_late_is_opened_back() -> None:
    """It was thought absent, and a duplicate on its way was accepted just before `lock_by`."""
    state = decided(absent(two_key(), 0), Decision.CANCEL)
    lock_by = state.agreed.legs[0].terms.lock_by
    assert wake_at(state) == lock_by
    assert decide(state, clocks(state, lock_by - 1)) == (Unlock(leg=1, role=Role.CANCELLATION),)
    assert Look(leg=0) in decide(state, clocks(state, lock_by))
    state = locked(state, 0, at=lock_by)
    assert Unlock(leg=0, role=Role.CANCELLATION) in decide(state, {})


def test_an_answer_overtaken_on_its_way_changes_nothing() -> None:
    state = locked(two_key(), 0, at=NOW + 5)
    assert absent(state, 0, at=NOW + 3).legs == state.legs
    assert locked(executed(state, 0), 0) == executed(state, 0)


def test_a_handed_secret_is_used_and_a_withheld_one_watched_for() -> None:
    state = committed(anchored_party())
    assert decide(state, clocks(state, NOW)) == (Look(leg=0),)
    state = evolve(state, SecretHanded(by=BUYER.member))
    assert decide(state, clocks(state, NOW)) == (Unlock(leg=0, role=Role.EXECUTION),)


def test_a_proposals_commit_by_is_an_instant_of_the_ledger_of_its_first_leg() -> None:
    state = propose(Proposed(swap=changed(dvp_swap(), commit_by=Instant(2_000))))
    first, second = (leg.ledger for leg in state.swap.legs)
    early, late = clocks(state, 1_999), clocks(state, 2_000)
    assert Record in map(type, decide(state, {first: late[first], second: early[second]}))
    assert Record not in map(type, decide(state, {first: early[first], second: late[second]}))


@pytest.mark.parametrize(
    "opened", [two_key(), backstop(), anchored(), htlc(), two_key(cross_swap())]
)
def test_the_phase_that_what_is_known_leads_to_leads_no_further(opened: Settlement) -> None:
    """Every state that the legs of a decided settlement can be in."""
    led = set()
    for statuses in itertools.product(LegStatus, repeat=len(opened.legs)):
        legs = tuple(LegState(status=status) for status in statuses)
        for decision in Decision:
            state = decided(replace(opened, legs=legs), decision)
            led.add((decision, state.phase))
            for n, leg in enumerate(legs):  # told once more, it changes nothing
                assert evolve(state, Learned(leg=n, known=leg)) == state
    going = {Phase.EXECUTING, Phase.UNWINDING}
    ends = {Phase.SETTLED, Phase.CANCELLED, Phase.BROKEN}
    assert led == {(decision, phase) for decision in Decision for phase in going | ends}
