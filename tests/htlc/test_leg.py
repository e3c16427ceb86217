"""What is known of a leg keeps all that its ledger told: when, how it ended, why not."""

from msgspec.structs import replace

from htlc.agreement import Role
from htlc.contract import Refusal, Status
from htlc.coordinator import evolve, propose
from htlc.events import Decided, Decision, Proposed, Reason, Restored
from htlc.keys import may_show
from htlc.leg import EXECUTED, FINISHED, GOING, LegState, LegStatus, ends, unlocked
from htlc.settlement import Phase
from htlc.units import Instant
from tests.htlc import samples
from tests.htlc.samples import NOW, absent, cancelled, contract, executed, locked, tell, two_key


def test_an_ended_leg_keeps_when_it_ended_and_the_key_that_is_public_now() -> None:
    state = executed(samples.committed(two_key()), 0, at=NOW + 7)
    key = samples.key_of(state, 0, Role.EXECUTION)
    ended = LegState(
        status=LegStatus.EXECUTED, at=Instant(NOW + 7), ended_at=Instant(NOW + 7), key=key
    )
    assert state.legs[0] == ended


def test_a_leg_that_went_back_without_a_key_was_refunded_by_the_clock() -> None:
    state = locked(samples.htlc())
    refunded = tell(state, 0, contract(state, 0, Status.CANCELLED, None, NOW + 9), NOW + 9)
    assert refunded.legs[0].status is LegStatus.REFUNDED
    assert cancelled(locked(two_key()), 0).legs[0].status is LegStatus.CANCELLED


def test_a_leg_that_was_never_locked_keeps_why_and_when_that_was_certain() -> None:
    state = absent(two_key(), 0, NOW + 1, Refusal.INSUFFICIENT_BALANCE)
    lock_by = state.agreed.legs[0].terms.lock_by
    late = absent(state, 0, lock_by)
    assert late.legs[0] == LegState(
        status=LegStatus.UNLOCKED, at=lock_by, refusal=Refusal.INSUFFICIENT_BALANCE
    )


def test_a_foreign_contract_is_a_conflict_with_its_time() -> None:
    state = two_key()
    other = contract(state, 0)
    other = replace(other, terms=replace(other.terms, leg="OTHER"))
    assert tell(state, 0, other, NOW + 3).legs[0] == LegState(
        status=LegStatus.FOREIGN, at=Instant(NOW + 3), refusal=Refusal.CONFLICT
    )


def test_a_cancel_opens_a_backstop_or_a_restored_settlement_and_not_one_that_is_both() -> None:
    restored = samples.decided(
        evolve(locked(two_key(), 0), Restored(epoch=2)), Decision.CANCEL, Reason.RESTORED
    )
    assert may_show(restored, 0, Role.CANCELLATION)
    plain = samples.decided(locked(samples.backstop()), Decision.CANCEL, Reason.CANCEL_ACCEPTED)
    assert may_show(plain, 0, Role.CANCELLATION)
    both = evolve(locked(samples.backstop()), Restored(epoch=2))
    both = samples.decided(both, Decision.CANCEL, Reason.CANCEL_ACCEPTED)
    assert not may_show(both, 0, Role.CANCELLATION), "a lost COMMIT may be on its way"


def test_a_withdrawn_proposal_keeps_its_decision() -> None:
    proposed = propose(Proposed(swap=samples.dvp_swap()))
    decision = Decided(decision=Decision.CANCEL, reason=Reason.COMMIT_BY_PASSED)
    ended = evolve(proposed, decision)
    assert (ended.phase, ended.decided) == (Phase.CANCELLED, decision)


def test_a_leg_is_going_on_or_executed_or_finished_without() -> None:
    assert sorted((*GOING, EXECUTED, *FINISHED)) == sorted(LegStatus)
    legs = [LegState(status=status) for status in LegStatus]
    assert ends(legs) == (1, len(FINISHED), len(GOING))


def test_what_is_still_to_be_locked_and_what_is_amiss() -> None:
    refused = Refusal.INSUFFICIENT_BALANCE
    for status in LegStatus:
        missing = [1] if status in (LegStatus.UNSEEN, LegStatus.ABSENT) else []
        first, leg = LegState(status=LegStatus.LOCKED), LegState(status=status)
        assert unlocked([first, leg]) == (missing, not missing and status is not LegStatus.LOCKED)
        again = replace(leg, refusal=refused)  # a lock that is there was not refused in the end
        assert unlocked([first, again]) == ([], status is not LegStatus.LOCKED)
