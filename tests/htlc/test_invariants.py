"""Each invariant holds for what is right, and names what is wrong."""

import pytest
from msgspec.structs import replace

from htlc import invariants
from htlc.agreement import Role
from htlc.contract import Htlc, Status
from htlc.events import Decided, Decision, Event, Opened, Proposed, Reason, Restored
from htlc.invariants import Effect, FinalNotice, Head, Holding, Shown, Violation
from htlc.leg import LegStatus
from htlc.settlement import Settlement
from htlc.units import AccountId, AssetId, Duration, Instant, LegId, MemberId, Quantity
from tests.htlc.samples import (
    CSD,
    ID,
    RTGS,
    anchored,
    anchored_htlc,
    contract,
    htlc,
    key_of,
    two_key,
)

COMMIT = Decided(decision=Decision.COMMIT, reason=Reason.ALL_LOCKED)
CANCEL = Decided(decision=Decision.CANCEL, reason=Reason.REFUSED)
SECU, CASH = LegId("SECU"), LegId("CASH")


def numbers(violations: tuple[Violation, ...]) -> list[int]:
    assert all(violation.what for violation in violations)
    return [violation.invariant for violation in violations]


def executed(state: Settlement, n: int) -> Htlc:
    return contract(state, n, Status.EXECUTED, key_of(state, n, Role.EXECUTION))


def cancelled(state: Settlement, n: int) -> Htlc:
    return contract(state, n, Status.CANCELLED, key_of(state, n, Role.CANCELLATION))


def test_1_legs_that_end_alike_or_have_not_ended_are_well() -> None:
    state = two_key()
    for held in (
        [executed(state, 0), executed(state, 1)],
        [cancelled(state, 0), cancelled(state, 1)],
        [executed(state, 0), contract(state, 1)],
        [cancelled(state, 0), None],
    ):
        assert invariants.one_end(state.agreed, held) == ()


def test_1_one_leg_executed_and_another_gone_back_is_one_legged() -> None:
    state = htlc()
    refunded = contract(state, 1, Status.CANCELLED, None)
    for back in (refunded, cancelled(state, 1)):
        (violation,) = invariants.one_end(state.agreed, [executed(state, 0), back])
        assert violation.invariant == 1
        assert "SECU executed" in violation.what and "CASH" in violation.what


def test_1_a_contract_on_other_terms_is_not_a_leg() -> None:
    state = two_key()
    back = cancelled(state, 1)
    foreign = replace(back, terms=replace(back.terms, quantity=Quantity(1)))
    assert invariants.one_end(state.agreed, [executed(state, 0), foreign]) == ()


@pytest.mark.parametrize(
    "status", [LegStatus.CANCELLED, LegStatus.REFUNDED, LegStatus.UNLOCKED, LegStatus.FOREIGN]
)
def test_1_what_a_gateway_knows_is_judged_alike(status: LegStatus) -> None:
    assert numbers(invariants.one_known_end(ID, {SECU: LegStatus.EXECUTED, CASH: status})) == [1]
    assert invariants.one_known_end(ID, {SECU: LegStatus.LOCKED, CASH: status}) == ()
    both = {SECU: LegStatus.EXECUTED, CASH: LegStatus.LOCKED}
    assert invariants.one_known_end(ID, both) == ()


def holding(account: str, available: int, locked: int = 0, *, counter: bool = False) -> Holding:
    return Holding(
        ledger=RTGS,
        asset=AssetId("EUR"),
        account=AccountId(account),
        available=available,
        locked=locked,
        counter=counter,
    )


def test_2_balances_and_the_counter_account_sum_to_zero() -> None:
    issuer = holding("issuer", -100, counter=True)
    assert invariants.conserved([issuer, holding("buyer", 60, 40)]) == ()
    assert numbers(invariants.conserved([issuer, holding("buyer", 60, 41)])) == [2]
    assert numbers(invariants.conserved([issuer, holding("buyer", 60)])) == [2]


def test_2_no_holder_is_negative() -> None:
    issuer = holding("issuer", -100, counter=True)
    assert numbers(invariants.conserved([issuer, holding("a", 101), holding("b", -1)])) == [2]
    assert numbers(invariants.conserved([issuer, holding("a", 101), holding("b", 0, -1)])) == [2]


def test_2_assets_and_ledgers_do_not_make_up_for_each_other() -> None:
    elsewhere = replace(holding("b", -1, counter=True), ledger=CSD)
    assert numbers(invariants.conserved([holding("a", 1), elsewhere])) == [2, 2]


def test_2_what_is_locked_is_locked_in_contracts() -> None:
    state = two_key()
    held, account = contract(state, 1), holding("buyer", 0, 100)
    assert invariants.locked_is_backed([account], [(RTGS, held)]) == ()
    assert numbers(invariants.locked_is_backed([account], [])) == [2]
    assert numbers(invariants.locked_is_backed([account], [(RTGS, executed(state, 1))])) == [2]
    assert numbers(invariants.locked_is_backed([], [(RTGS, held)])) == [2]


def test_3_the_two_keys_of_one_pair_never_meet_those_of_two_pairs_may() -> None:
    state = two_key()
    assert invariants.keys_apart(state.agreed, [executed(state, 0), executed(state, 1)]) == ()
    assert numbers(invariants.keys_apart(state.agreed, [executed(state, 0), cancelled(state, 1)]))
    state = anchored()
    assert invariants.keys_apart(state.agreed, [executed(state, 0), cancelled(state, 1)]) == ()


def test_3_an_executed_leg_had_every_leg_locked_as_agreed() -> None:
    state = two_key()
    assert invariants.all_were_locked(state.agreed, [contract(state, 0), None]) == ()
    assert invariants.all_were_locked(state.agreed, [executed(state, 0), contract(state, 1)]) == ()
    assert numbers(invariants.all_were_locked(state.agreed, [executed(state, 0), None])) == [3]
    other = contract(state, 1)
    other = replace(other, terms=replace(other.terms, quantity=Quantity(1)))
    assert numbers(invariants.all_were_locked(state.agreed, [executed(state, 0), other])) == [3]


def journal(state: Settlement, *events: Event) -> tuple[Event, ...]:
    return (Proposed(swap=state.swap), Opened(agreement=state.agreed), *events)


@pytest.mark.parametrize(
    ("decided", "role", "records", "well"),
    [
        (COMMIT, Role.EXECUTION, 3, True),
        (COMMIT, Role.EXECUTION, 2, False),  # before it was written
        (COMMIT, Role.CANCELLATION, 3, False),
        (CANCEL, Role.CANCELLATION, 3, True),
        (CANCEL, Role.CANCELLATION, 2, False),
        (CANCEL, Role.EXECUTION, 3, False),
    ],
)
def test_3_a_key_was_shown_after_its_decision(
    decided: Decided, role: Role, records: int, well: bool
) -> None:
    state = two_key()
    shown = [Shown(leg=0, role=role, records=records)]
    found = invariants.keys_follow_decisions(state.agreed, journal(state, decided), shown)
    assert numbers(found) == ([] if well else [3])


def test_3_a_follower_may_be_opened_either_way_but_not_undecided() -> None:
    state = anchored_htlc()
    for role in Role:
        for records, expected in ((3, []), (2, [3])):
            shown = [Shown(leg=0, role=role, records=records)]
            found = invariants.keys_follow_decisions(state.agreed, journal(state, COMMIT), shown)
            assert numbers(found) == expected


def effect(id: str, kind: str) -> Effect:
    return Effect(ledger=CSD, id=id, kind=kind)


def test_4_each_effect_happens_once_and_a_contract_ends_once() -> None:
    life = [effect("a", "lock"), effect("a", "execute"), effect("b", "lock"), effect("t", "issue")]
    assert invariants.once(life) == ()
    assert numbers(invariants.once([*life, effect("t", "issue")])) == [4]
    assert numbers(invariants.once([*life, effect("a", "cancel")])) == [4]
    assert numbers(invariants.once([*life, effect("a", "refund")])) == [4]


def test_5_a_lock_is_resolved_in_time_by_its_own_ledger() -> None:
    state = two_key()
    held = [contract(state, 0), cancelled(state, 1)]
    late = state.agreed.commit_by + 50

    def found(at: int) -> list[int]:
        now = [Instant(at), Instant(99_999)]
        return numbers(invariants.resolved_in_time(state.agreed, held, now, Duration(50)))

    assert found(late - 1) == [] and found(late) == [5]


def test_5_what_only_a_clock_opens_is_due_at_its_expiry_and_followers_with_their_anchor() -> None:
    state = anchored_htlc()
    expiry = state.agreed.legs[1].terms.expires_at
    assert [invariants.due_by(state.agreed, n) for n in (0, 1)] == [expiry, expiry]
    state = anchored()
    assert [invariants.due_by(state.agreed, n) for n in (0, 1)] == [state.agreed.commit_by] * 2
    state = htlc()
    assert [invariants.due_by(state.agreed, n) for n in (0, 1)] == [
        leg.terms.expires_at for leg in state.agreed.legs
    ]


def test_6_a_journal_in_order() -> None:
    state = two_key()
    assert invariants.journal_in_order(journal(state)) == ()
    assert invariants.journal_in_order(journal(state, COMMIT)) == ()
    assert invariants.journal_in_order((Proposed(swap=state.swap), CANCEL)) == ()


def test_6_a_journal_out_of_order_is_named() -> None:
    state = two_key()
    proposed, opened = journal(state)
    for wrong in (
        (),
        (opened, proposed),
        (proposed, proposed, opened),
        (proposed, opened, opened),
        (proposed, opened, CANCEL, COMMIT),
        (proposed, COMMIT),
        (proposed, COMMIT, opened),
    ):
        assert numbers(invariants.journal_in_order(wrong))


def test_6_a_restore_excuses_only_what_was_undecided() -> None:
    state = two_key()
    assert not invariants.restored(journal(state, COMMIT))
    assert not invariants.restored(journal(state, COMMIT, Restored(epoch=2)))
    assert invariants.restored(journal(state, Restored(epoch=2), COMMIT))


def test_6_one_final_notice_per_party() -> None:
    seller = FinalNotice(instruction="I1", party=MemberId("SELLER"))
    buyer = FinalNotice(instruction="I1", party=MemberId("BUYER"))
    assert invariants.one_final_notice([seller, buyer], [buyer, seller]) == ()
    assert numbers(invariants.one_final_notice([seller, buyer], [seller])) == [6]
    assert numbers(invariants.one_final_notice([seller], [seller, seller])) == [6]
    assert numbers(invariants.one_final_notice([], [seller])) == [6]


def test_7_registries_at_one_height_have_one_root() -> None:
    heads = [Head(node=n, height=7, root=b"r") for n in ("DE", "FR")]
    assert invariants.same_roots([*heads, Head(node="IT", height=8, root=b"s")]) == ()
    assert numbers(invariants.same_roots([*heads, Head(node="IT", height=7, root=b"s")])) == [7]


def test_7_what_is_issued_is_what_is_held() -> None:
    isin = AssetId("DE0001102580")
    assert invariants.issued_is_held({isin: 100}, [(isin, 60), (isin, 40)]) == ()
    assert numbers(invariants.issued_is_held({isin: 100}, [(isin, 60)])) == [7]
    assert numbers(invariants.issued_is_held({}, [(isin, 1)])) == [7]
