"""A journal and the ledgers that fit each other have no violation; each kind that does not has."""

import pytest
from msgspec.structs import replace

from htlc import reconciliation
from htlc.agreement import Role
from htlc.contract import Htlc, Status
from htlc.events import Decided, Decision, Reason
from htlc.leg import LegState, LegStatus
from htlc.settlement import Settlement
from htlc.units import Quantity
from tests.htlc.samples import anchored, anchored_party, contract, htlc_party, key_of, two_key

COMMIT = Decided(decision=Decision.COMMIT, reason=Reason.ALL_LOCKED)


def executed(state: Settlement, n: int) -> Htlc:
    return contract(state, n, Status.EXECUTED, key_of(state, n, Role.EXECUTION))


def cancelled(state: Settlement, n: int) -> Htlc:
    return contract(state, n, Status.CANCELLED, key_of(state, n, Role.CANCELLATION))


def refunded(state: Settlement, n: int) -> Htlc:
    return contract(state, n, Status.CANCELLED, None)


def foreign(held: Htlc) -> Htlc:
    return replace(held, terms=replace(held.terms, quantity=Quantity(1)))


LOCKED = LegState(status=LegStatus.LOCKED)

FITS = {
    LegStatus.UNSEEN: {"none", "locked", "executed", "cancelled", "refunded", "foreign"},
    LegStatus.ABSENT: {"none", "locked", "executed", "cancelled", "refunded", "foreign"},
    LegStatus.LOCKED: {"locked", "executed", "cancelled", "refunded"},
    LegStatus.EXECUTED: {"executed"},
    LegStatus.CANCELLED: {"cancelled"},
    LegStatus.REFUNDED: {"refunded"},
    LegStatus.UNLOCKED: {"none"},
    LegStatus.FOREIGN: {"foreign"},
}


@pytest.mark.parametrize("learned", list(LegStatus))
@pytest.mark.parametrize("held", sorted(FITS[LegStatus.UNSEEN]))
def test_what_was_learned_is_what_is_held_or_was_before(learned: LegStatus, held: str) -> None:
    state = two_key()
    held_0 = {
        "none": None,
        "locked": contract(state, 0),
        "executed": executed(state, 0),
        "cancelled": cancelled(state, 0),
        "refunded": refunded(state, 0),
        "foreign": foreign(contract(state, 0)),
    }[held]
    legs = [LegState(status=learned), LOCKED]
    found = reconciliation.held_as_learned(state.agreed, legs, [held_0, contract(state, 1)])
    assert len(found) == (held not in FITS[learned])
    assert all(f"leg SECU was learned {learned}" in violation.what for violation in found)


def test_followers_do_what_the_anchor_did_and_not_before() -> None:
    state = anchored()  # the anchor is leg 0
    locked = contract(state, 0)
    follow = reconciliation.followers_follow
    for anchor, follower in (
        (executed(state, 0), executed(state, 1)),
        (executed(state, 0), contract(state, 1)),
        (cancelled(state, 0), cancelled(state, 1)),
        (None, cancelled(state, 1)),
        (locked, contract(state, 1)),
        (locked, None),
        (locked, foreign(executed(state, 1))),
    ):
        assert follow(state.agreed, [anchor, follower]) == ()
    for anchor, follower in (
        (locked, executed(state, 1)),
        (None, executed(state, 1)),
        (cancelled(state, 0), executed(state, 1)),
        (locked, cancelled(state, 1)),
    ):
        (violation,) = follow(state.agreed, [anchor, follower])
        assert violation.invariant == 3
    assert follow(two_key().agreed, [locked, executed(two_key(), 1)]) == ()


def test_the_keys_of_the_vault_are_told_from_a_partys_own() -> None:
    state = two_key()
    shown = reconciliation.shown_on_ledgers(
        state.agreed, [executed(state, 0), cancelled(state, 1)], [COMMIT]
    )
    assert [(key.leg, key.role, key.records) for key in shown] == [
        (0, Role.EXECUTION, 1),
        (1, Role.CANCELLATION, 1),
    ]
    open_legs = [contract(state, 0), refunded(state, 1)]
    assert reconciliation.shown_on_ledgers(state.agreed, open_legs, []) == ()
    own = htlc_party()
    both = [executed(own, 0), executed(own, 1)]
    assert reconciliation.shown_on_ledgers(own.agreed, both, []) == ()
    mixed = anchored_party()  # its anchor is leg 0
    (vault,) = reconciliation.shown_on_ledgers(
        mixed.agreed, [executed(mixed, 0), executed(mixed, 1)], []
    )
    assert vault.leg == 1
