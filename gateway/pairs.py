"""Two matched instructions, and what each of their settlement attempts means to both sides.

A pair has 0..n attempts; an attempt is one settlement with its own id, keys and journal. SETTLED
ends the pair; an attempt that was cancelled or rejected ends alone, the pair stays pending with the
reason and is tried again. Every status that one side is told has its mirror for the other.
"""

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Final, Protocol

import msgspec

from gateway.ids import new_id
from gateway.journal import Notice
from gateway.stages import Stage
from htlc.contract import Refusal
from htlc.events import Decided
from htlc.leg import LegState
from htlc.settlement import Settlement
from htlc.swap import Amount, Party, Swap, dvp
from htlc.units import SettlementId
from protocols.iso20022 import render
from protocols.iso20022.advice import (
    Confirmation,
    Matching,
    MatchingStatus,
    Outbound,
    Processing,
    ProcessingStatus,
    References,
    SettlementStatus,
    Settling,
    StatusAdvice,
    TransactionDetails,
)
from protocols.iso20022.advice import Reason as AdviceReason
from protocols.iso20022.codes import CancellationReason, HtlcReason, PendingReason
from protocols.iso20022.fx import FxTrade
from protocols.iso20022.header import Related
from protocols.iso20022.instruction import SettlementInstruction
from protocols.iso20022.lock_block import LockBlock, LockStatus

SECURITIES: Final = 0
CASH: Final = 1
"""The legs of a DvP, in the order of `htlc.swap.dvp`."""

CDLR: Final = PendingReason.CDLR

_encoder = msgspec.json.Encoder()


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One instruction of a pair: ours for it, whose, and what replies to it relate to."""

    id: str
    member: str
    related: Related
    instruction: SettlementInstruction

    @property
    def reference(self) -> str:
        """Our reference of the instruction in messages (`MktInfrstrctrTxId`, 35 characters)."""
        return self.id.replace("-", "")


class Addressee(Protocol):
    """Who is told something, and about which of its messages."""

    @property
    def member(self) -> str: ...

    @property
    def related(self) -> Related: ...


Told = list[tuple[Addressee, Outbound]]


class Instructed(Addressee, Protocol):
    """One side of a pair, whatever it has instructed."""

    @property
    def id(self) -> str: ...

    @property
    def reference(self) -> str: ...

    @property
    def instruction(self) -> SettlementInstruction | FxTrade: ...


Blocks = Callable[[int, LockStatus], LockBlock | None]
"""The terms of a leg's lock as a message tells them, for parties who speak of locks."""

_LASTING: Final = {
    # deliverer's code, receiver's code, proprietary code, the leg and lock state told (spec 4.6)
    Stage.FIRST_LOCKED: (CDLR, CDLR, HtlcReason.SLCK, SECURITIES, LockStatus.LOCKED),
    Stage.SECOND_LOCKED: (CDLR, CDLR, HtlcReason.CLCK, CASH, LockStatus.LOCKED),
    Stage.ALL_LOCKED: (CDLR, CDLR, HtlcReason.HLKD, CASH, LockStatus.LOCKED),
    Stage.SECOND_PAID: (CDLR, PendingReason.AWSH, HtlcReason.CCLM, CASH, LockStatus.CLAIMED),
    Stage.FIRST_PAID: (PendingReason.AWMO, CDLR, None, SECURITIES, LockStatus.CLAIMED),
}


class MatchedPair(Protocol):
    """What every kind of pair knows of itself: how to say what becomes of it to its two sides.
    Reason codes go in the order of the sides."""

    @property
    def id(self) -> str: ...

    @property
    def members(self) -> frozenset[str]: ...

    @property
    def settlement_date(self) -> date: ...

    @property
    def sides(self) -> Sequence[tuple[Instructed, Instructed]]:
        """Each side with its counterparty."""
        ...

    def reasons(self, state: Settlement, decided: Decided) -> tuple[str, str]:
        """Why an attempt did not settle."""
        ...

    def told_pending(self, codes: Sequence[str], now: int, text: str | None = None) -> Told: ...

    def told_settled(self, state: Settlement) -> Told: ...

    def told_cancelled(
        self, now: int, code: CancellationReason = CancellationReason.CANI
    ) -> Told: ...

    def told_lasting(self, stage: Stage, now: int, blocks: Blocks) -> Told:
        """Its locks stand so, and have for a while."""
        ...

    def told_selected(self, now: int) -> Told:
        """Its settlement date has come, its first attempt begins."""
        ...


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Two securities instructions that match."""

    id: str
    deliver: Side
    receive: Side

    @property
    def sides(self) -> tuple[tuple[Side, Side], tuple[Side, Side]]:
        """Each side with its counterparty."""
        return ((self.deliver, self.receive), (self.receive, self.deliver))

    @property
    def members(self) -> frozenset[str]:
        return frozenset((self.deliver.member, self.receive.member))

    @property
    def settlement_date(self) -> date:
        return self.deliver.instruction.settlement_date

    def reasons(self, state: Settlement, decided: Decided) -> tuple[str, str]:
        deliverer, receiver = why_pending(state, decided)
        return (str(deliverer.value), str(receiver.value))

    def told_pending(self, codes: Sequence[str], now: int, text: str | None = None) -> Told:  # noqa: ARG002
        return [
            (side, pending(side, other, PendingReason(code), text))
            for (side, other), code in zip(self.sides, codes, strict=True)
        ]

    def told_settled(self, state: Settlement) -> Told:
        effective_at = ended_at(state)
        return [
            (
                side,
                Confirmation(
                    references=references(side, other),
                    instruction=side.instruction,
                    settled_amount=self.deliver.instruction.amount,
                    effective_at=effective_at,
                ),
            )
            for side, other in self.sides
        ]

    def told_cancelled(
        self,
        now: int,  # noqa: ARG002
        code: CancellationReason = CancellationReason.CANI,
    ) -> Told:
        return [(side, cancelled(side, other, code)) for side, other in self.sides]

    def told_lasting(self, stage: Stage, now: int, blocks: Blocks) -> Told:  # noqa: ARG002
        deliverer, receiver, proprietary, leg, lock = _LASTING[stage]
        block = blocks(leg, lock)
        return [
            (side, pending(side, other, code, htlc=proprietary, lock=block))
            for (side, other), code in zip(self.sides, (deliverer, receiver), strict=True)
        ]

    def told_selected(self, now: int) -> Told:  # noqa: ARG002
        return []  # a custodian hears of its locks only when they last

    def other(self, side: Side) -> Side:
        """The counterparty of a side."""
        return self.receive if side.id == self.deliver.id else self.deliver


Holding = tuple[str, str, str]
"""A ledger, an account on it, and an asset."""


class Amounts(msgspec.Struct, frozen=True, kw_only=True):
    """What a pair moves, in integers, and from which accounts to which (reference data)."""

    securities: Amount
    cash: Amount
    seller: tuple[Party, Party]  # on the securities ledger, on the cash ledger
    buyer: tuple[Party, Party]

    @property
    def needs(self) -> tuple[Holding, ...]:
        """What the payers must hold."""
        securities, cash = self.securities, self.cash
        return (
            (securities.ledger, self.seller[SECURITIES].account, securities.asset),
            (cash.ledger, self.buyer[CASH].account, cash.asset),
        )

    def swap(self, id: SettlementId) -> Swap:
        """The swap of an attempt: securities against the deliverer's amount (the matched one)."""
        seller, buyer = self.seller, self.buyer
        drawn = dvp(
            id,
            seller=seller[SECURITIES],
            buyer=buyer[SECURITIES],
            securities=self.securities,
            cash=self.cash,
        )
        secu, cash = drawn.legs
        cash = msgspec.structs.replace(cash, payer=buyer[CASH], payee=seller[CASH])
        return msgspec.structs.replace(drawn, legs=(secu, cash))


def minor_units(text: str, scale: int) -> int:
    """Canonical decimal text in the smallest unit; its digits were checked at intake."""
    units = Decimal(text).scaleb(scale)
    assert units == units.to_integral_value(), "excess digits are refused at intake"
    return int(units)


def notice(
    side: Addressee, message: Outbound, now: int, settlement: SettlementId | None = None
) -> Notice:
    """A message for the mailbox of a side, in answer to what it sent."""
    return notice_to(side.member, message, now, about=side.related, settlement=settlement)


def notice_to(
    member: str,
    message: Outbound,
    now: int,
    *,
    about: Related | None,
    settlement: SettlementId | None = None,
) -> Notice:
    """A message for a member's mailbox; `about` is what of its own it answers, if anything."""
    return Notice(
        member=member,
        id=new_id(),
        definition=render.definition(message),
        related=None if about is None else _encoder.encode(about).decode(),
        created_at=now,
        settlement=settlement,
        content=_encoder.encode(message).decode(),
    )


def references(side: Side, other: Side | None = None) -> References:
    return References(
        account_owner_tx=side.instruction.transaction_id,
        market_tx=side.reference,
        counterparty_market_tx=None if other is None else other.reference,
        common_id=side.instruction.common_id,
    )


def pending(
    side: Side,
    other: Side,
    code: PendingReason,
    text: str | None = None,
    *,
    htlc: HtlcReason | None = None,
    lock: LockBlock | None = None,
) -> StatusAdvice:
    """Matched, and settlement is pending for this reason."""
    return StatusAdvice(
        references=references(side, other),
        matching=MatchingStatus(status=Matching.MATCHED),
        settlement=SettlementStatus(
            status=Settling.PENDING, reasons=(AdviceReason.of(code, htlc, text),)
        ),
        details=TransactionDetails.of(side.instruction),
        lock=lock,
    )


def cancelled(side: Side, other: Side | None, code: CancellationReason) -> StatusAdvice:
    """Cancelled, finally; without a counterparty where it was not matched."""
    return StatusAdvice(
        references=references(side, other),
        processing=ProcessingStatus(status=Processing.CANCELLED, reasons=(AdviceReason.of(code),)),
        details=TransactionDetails.of(side.instruction),
    )


_MIRRORED: Final[dict[tuple[int, Refusal], tuple[PendingReason, PendingReason]]] = {
    # (leg, refusal) -> what the deliverer is told, what the receiver is told (spec 4.6)
    (SECURITIES, Refusal.INSUFFICIENT_BALANCE): (PendingReason.LACK, PendingReason.CLAC),
    (CASH, Refusal.INSUFFICIENT_BALANCE): (PendingReason.CMON, PendingReason.MONY),
    (SECURITIES, Refusal.ACCOUNT_BLOCKED): (PendingReason.BLOC, PendingReason.OTHR),
    (CASH, Refusal.ACCOUNT_BLOCKED): (PendingReason.OTHR, PendingReason.BLOC),
}


def why_pending(state: Settlement, decided: Decided) -> tuple[PendingReason, PendingReason]:
    """The deliverer's and the receiver's reason after an attempt that did not settle."""
    names = [leg.leg for leg in state.swap.legs]
    leg = names.index(decided.leg) if decided.leg in names else SECURITIES
    if decided.refusal is None:
        return (PendingReason.PRSY, PendingReason.PRSY)
    return _MIRRORED.get((leg, decided.refusal), (PendingReason.OTHR, PendingReason.OTHR))


def ended_at(state: Settlement) -> int:
    """When a settled settlement became so: ledger time of its last leg."""
    return max(_ended_at(leg) for leg in state.legs)


def _ended_at(leg: LegState) -> int:
    assert leg.ended_at is not None, "an executed contract knows when"
    return leg.ended_at
