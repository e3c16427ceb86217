"""What a gateway's journal and the ledgers say of one settlement, held against each other: more of
`invariants`, as pure functions.

The two are read one after the other, so while a settlement is under way each may be a step ahead
of the other. What is found here is certain once it is still there when both have been read again.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from htlc.agreement import Agreement, Role
from htlc.contract import Htlc, Status
from htlc.events import Event
from htlc.invariants import Contracts, Shown, Violation
from htlc.leg import LegState, LegStatus
from htlc.swap import LockProtocol


def followers_follow(agreement: Agreement, contracts: Contracts) -> tuple[Violation, ...]:
    """3. `anchored`: no follower is executed before the anchor is, nor opened back with a key while
    the anchor can still be executed (rule 7)."""
    if agreement.anchor is None:
        return ()
    held = contracts[agreement.anchor]
    anchor = None if held is None else held.status
    return tuple(
        Violation(
            invariant=3,
            what=f"{agreement.settlement}: leg {leg.terms.leg} {follower.status}, "
            f"the anchor {anchor or 'absent'}",
        )
        for n, (leg, follower) in enumerate(zip(agreement.legs, contracts, strict=True))
        if n != agreement.anchor and follower is not None and follower.terms == leg.terms
        if (follower.status is Status.EXECUTED and anchor is not Status.EXECUTED)
        or (follower.status is Status.CANCELLED and anchor is Status.LOCKED)
    )


def shown_on_ledgers(
    agreement: Agreement, contracts: Contracts, journal: Sequence[Event]
) -> tuple[Shown, ...]:
    """The keys of the vault that ledgers have seen, each held against the whole journal: what no
    decision in it allows was never allowed. A party's own secret is its own affair."""
    return tuple(
        Shown(
            leg=n,
            role=Role.EXECUTION if held.status is Status.EXECUTED else Role.CANCELLATION,
            records=len(journal),
        )
        for n, (leg, held) in enumerate(zip(agreement.legs, contracts, strict=True))
        if held is not None and held.key is not None and held.terms == leg.terms
        if not (held.status is Status.EXECUTED and _held_by_party(agreement, n))
    )


def _held_by_party(agreement: Agreement, n: int) -> bool:
    if agreement.holder is None:
        return False
    return agreement.protocol is LockProtocol.HTLC or n == agreement.anchor


_HELD: Final[Mapping[LegStatus, tuple[Status | None, bool]]] = {
    # what was learned -> the contract's status, and whether a key has ended it
    LegStatus.EXECUTED: (Status.EXECUTED, True),
    LegStatus.CANCELLED: (Status.CANCELLED, True),
    LegStatus.REFUNDED: (Status.CANCELLED, False),
    LegStatus.UNLOCKED: (None, False),
}


def held_as_learned(
    agreement: Agreement, legs: Sequence[LegState], contracts: Contracts
) -> tuple[Violation, ...]:
    """6. What a journal has learned of its legs is what the ledgers hold, or held before: only
    final answers are facts, so nothing of it can have changed but a lock that has ended since."""
    return tuple(
        Violation(
            invariant=6,
            what=f"{agreement.settlement}: leg {leg.terms.leg} was learned {state.status}, "
            f"its ledger has {_spoken(held)}",
        )
        for leg, state, held in zip(agreement.legs, legs, contracts, strict=True)
        if not _is_held(state.status, held, held is not None and held.terms == leg.terms)
    )


def _is_held(learned: LegStatus, held: Htlc | None, as_agreed: bool) -> bool:
    match learned:
        case LegStatus.UNSEEN | LegStatus.ABSENT:
            return True
        case LegStatus.LOCKED:
            return as_agreed
        case LegStatus.FOREIGN:
            return held is not None and not as_agreed
        case _:
            found = (None, False) if held is None else (held.status, held.key is not None)
            return found == _HELD[learned] and (held is None or as_agreed)


def _spoken(held: Htlc | None) -> str:
    if held is None:
        return "no contract"
    return f"{held.status}{' without a key' if held.key is None else ''}"
