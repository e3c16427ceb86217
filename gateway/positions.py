"""Position messages: what a securities leg does to the position that it stands in, told to the
registry (semt.013, .014, .015) and to the owner of the account (.014, .015).

They say what the journal knows: each is made from a change of a settlement and goes out in the
transaction of the journal entry that records the change, so it is there exactly if that is. A
message is for members that asked for it (`position_messages`): custodians hear of their trades by
sese.024 and sese.025 anyway.

The instruction to lock goes out with OPEN. The one to release or to move goes out with its
confirmation: until a ledger has told the end of a lock, the gateway's intention is no fact.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

from gateway.directory import Directory
from gateway.journal import Notice
from gateway.live import Advice, Origin
from gateway.lock_blocks import lock_block
from gateway.pair_origin import PairOrigin
from gateway.pairs import notice_to
from htlc.agreement import AgreedLeg
from htlc.contract import Refusal
from htlc.leg import LegState, LegStatus
from htlc.settlement import Settlement
from protocols.iso20022.codes import PositionReason
from protocols.iso20022.instruction import QuantityType
from protocols.iso20022.lexical import bic11, from_units
from protocols.iso20022.lock_block import LedgerEvent, LockStatus
from protocols.iso20022.positions import (
    Position,
    PositionConfirmation,
    PositionInstruction,
    PositionMessage,
    PositionStatus,
    Posting,
)

_SHOWN: Final = {
    Posting.LOCK: LockStatus.LOCKED,
    Posting.RELEASE: LockStatus.REFUNDED,
    Posting.MOVE: LockStatus.CLAIMED,
}
_ENDS: Final = {
    LegStatus.EXECUTED: Posting.MOVE,
    LegStatus.CANCELLED: Posting.RELEASE,
    LegStatus.REFUNDED: Posting.RELEASE,
}
_REASONS: Final = {
    Refusal.INSUFFICIENT_BALANCE: PositionReason.LACK,
    Refusal.ACCOUNT_BLOCKED: PositionReason.BLOC,
    Refusal.TOO_LATE: PositionReason.LATE,
}


def postings(before: LegStatus, after: LegStatus) -> tuple[Posting, ...]:
    """What has happened to a position between two things that are known of its leg: one that ends
    between two looks was locked meanwhile."""
    end = _ENDS.get(after)
    was_locked = before is LegStatus.LOCKED or before in _ENDS
    locked = (
        () if was_locked or (after is not LegStatus.LOCKED and end is None) else (Posting.LOCK,)
    )
    return locked if end is None or before in _ENDS else (*locked, end)


class PositionMessages:
    """Makes them, for the members that want them."""

    def __init__(self, directory: Directory, *, now: Callable[[], int]) -> None:
        self._directory = directory
        self._now = now
        self._readers = frozenset(
            bic for bic, member in directory.members.items() if member.position_messages
        )

    def beside(self, origin: Origin, reference: str | None) -> Origin:
        """An origin whose settlement is told of here as well; `reference` is the market's for it
        (without one, the settlement's own id)."""
        return PositionOrigin(origin, self, reference) if self._readers else origin

    def told(self, before: Settlement, after: Settlement, reference: str | None) -> list[Notice]:
        """The messages of a change."""
        if after.agreement is None:
            return []
        known = before.legs or (LegState(),) * len(after.legs)
        market = reference or after.swap.id.replace("-", "")
        notices: list[Notice] = []
        for n, agreed in enumerate(after.agreed.legs):
            if self._directory.ledgers[agreed.ledger].kind == "securities":
                changes = self._changes(before, after, n, known[n].status, market)
                notices += self._notices(agreed, changes, after)
        return notices

    def _notices(
        self, agreed: AgreedLeg, changes: Iterator[PositionMessage], after: Settlement
    ) -> Iterator[Notice]:
        registry = self._directory.ledgers[agreed.ledger].depository or ""
        for message in changes:
            owner = () if isinstance(message, PositionInstruction) else (agreed.payer,)
            for to in sorted({bic11(bic) for bic in (registry, *owner)} & self._readers):
                yield notice_to(to, message, self._now(), about=None, settlement=after.swap.id)

    def _changes(
        self, before: Settlement, after: Settlement, n: int, known: LegStatus, market: str
    ) -> Iterator[PositionMessage]:
        agreed, state = after.agreed.legs[n], after.legs[n]
        if before.agreement is None:
            yield self._instruction(after, n, Posting.LOCK, market)
        decided = after.decided
        if before.decided is None and decided is not None and decided.leg == agreed.terms.leg:
            reason = _REASONS.get(decided.refusal or Refusal.CONFLICT, PositionReason.OTHR)
            yield PositionStatus(
                id=_id(agreed, Posting.LOCK), market_tx=market, reason=reason.value
            )
        for posting in postings(known, state.status):
            if posting is not Posting.LOCK:
                yield self._instruction(after, n, posting, market)
            yield self._confirmation(after, n, posting, market)

    def _instruction(
        self, after: Settlement, n: int, posting: Posting, market: str
    ) -> PositionInstruction:
        agreed = after.agreed.legs[n]
        return PositionInstruction(
            id=_id(agreed, posting),
            market_tx=market,
            position=self._position(agreed),
            posting=posting,
            settlement_date=datetime.fromtimestamp(self._now() // 10**9, UTC).date(),
            payee_account=agreed.terms.payee if posting is Posting.MOVE else None,
            lock=lock_block(after.agreed, n, LockStatus.PROPOSED),
        )

    def _confirmation(
        self, after: Settlement, n: int, posting: Posting, market: str
    ) -> PositionConfirmation:
        """Of a lock the time is when its ledger was read; of an end, when it happened."""
        agreed, state = after.agreed.legs[n], after.legs[n]
        ended = state.ended_at if posting is not Posting.LOCK else None
        at = state.at if ended is None else ended
        event = LedgerEvent(ledger=agreed.ledger, lock=agreed.terms.id, at=at)
        return PositionConfirmation(
            id=_id(agreed, posting),
            market_tx=market,
            position=self._position(agreed),
            posting=posting,
            effective_at=at,
            lock=lock_block(after.agreed, n, _SHOWN[posting], event),
        )

    def _position(self, agreed: AgreedLeg) -> Position:
        terms = agreed.terms
        asset = self._directory.asset(agreed.ledger, terms.asset)
        return Position(
            owner=agreed.payer,
            account=terms.payer,
            isin=terms.asset,
            quantity_type=QuantityType(asset.quantity_type),
            quantity=from_units(terms.quantity, asset.scale),
        )


class PositionOrigin:
    """Tells of positions beside what another origin tells (`live.Origin`)."""

    def __init__(self, origin: Origin, messages: PositionMessages, reference: str | None) -> None:
        self.origin = origin
        self._messages = messages
        self._reference = reference

    def advise(self, before: Settlement, after: Settlement) -> Advice:
        advice = self.origin.advise(before, after)
        told = self._messages.told(before, after, self._reference)
        return msgspec.structs.replace(advice, notices=(*advice.notices, *told))

    def ended(self, state: Settlement) -> None:
        self.origin.ended(state)


def pair_origin(origin: Origin) -> PairOrigin | None:
    """What tells of the pair itself, with or without positions beside it; None of agreed swaps."""
    inner = origin.origin if isinstance(origin, PositionOrigin) else origin
    return inner if isinstance(inner, PairOrigin) else None


def _id(agreed: AgreedLeg, posting: Posting) -> str:
    """One for each posting of a contract: 32 digits and a letter (Max35Text)."""
    return agreed.terms.id.replace("-", "") + posting.value[0].upper()
