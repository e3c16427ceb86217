"""Two matched instructions, and what each of their settlement attempts means to both sides.

A pair has 0..n attempts; an attempt is one settlement with its own id, keys and journal. SETTLED
ends the pair; an attempt that was cancelled or rejected ends alone, the pair stays pending with the
reason and is tried again. Every status that one side is told has its mirror for the other.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Final, Protocol

import msgspec

from gateway.amounts import CASH, SECURITIES
from gateway.ids import new_id
from gateway.journal import Notice
from gateway.stages import Stage
from htlc.contract import Refusal
from htlc.events import Decided
from htlc.leg import LegState
from htlc.settlement import Settlement
from htlc.units import SettlementId, Value
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
from protocols.iso20022.codes import (
    CancellationReason,
    FailingReason,
    HtlcReason,
    PendingReason,
)
from protocols.iso20022.fx import FxTrade
from protocols.iso20022.header import Related
from protocols.iso20022.instruction import SettlementInstruction
from protocols.iso20022.lock_block import LockBlock, LockStatus

NORMAL: Final = "0004"
"""The priority of an instruction that names none (TARGET2-Securities: 0001 reserved, 0002 top, 0003
high, 0004 normal)."""

_encoder = msgspec.json.Encoder()


class Side(Value, frozen=True, kw_only=True):
    """One instruction of a pair: ours for it, whose, and what replies to it relate to."""

    id: str
    member: str
    related: Related
    instruction: SettlementInstruction
    entered_at: int

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


class MatchedSide(Addressee, Protocol):
    """One side of a pair, whatever it is a pair of."""

    @property
    def id(self) -> str: ...

    @property
    def reference(self) -> str: ...

    @property
    def instruction(self) -> SettlementInstruction | FxTrade: ...

    @property
    def entered_at(self) -> int: ...


Blocks = Callable[[int, LockStatus], LockBlock | None]
"""The terms of a leg's lock as a message tells them, for parties who speak of locks."""

_CDLR: Final = PendingReason.CDLR

_LASTING: Final = {
    # deliverer's code, receiver's code, proprietary code, the leg and lock state told (spec 4.6)
    Stage.FIRST_LOCKED: (_CDLR, _CDLR, HtlcReason.SLCK, SECURITIES, LockStatus.LOCKED),
    Stage.SECOND_LOCKED: (_CDLR, _CDLR, HtlcReason.CLCK, CASH, LockStatus.LOCKED),
    Stage.ALL_LOCKED: (_CDLR, _CDLR, HtlcReason.HLKD, CASH, LockStatus.LOCKED),
    Stage.SECOND_PAID: (_CDLR, PendingReason.AWSH, HtlcReason.CCLM, CASH, LockStatus.CLAIMED),
    Stage.FIRST_PAID: (PendingReason.AWMO, _CDLR, None, SECURITIES, LockStatus.CLAIMED),
}


class MatchedPair(Protocol):
    """What every kind of pair knows of itself: how to say what becomes of it to its two sides.
    Reason codes go in the order of the sides."""

    @property
    def id(self) -> str: ...

    @property
    def members(self) -> frozenset[str]: ...

    @property
    def market_reference(self) -> str:
        """Ours, by which messages about the whole of it are linked (35 characters)."""
        ...

    @property
    def settlement_date(self) -> date: ...

    @property
    def instruction(self) -> SettlementInstruction | FxTrade:
        """One side's, for what both agree on: the assets, and so the ledgers."""
        ...

    @property
    def sides(self) -> Sequence[tuple[MatchedSide, MatchedSide]]:
        """Each side with its counterparty."""
        ...

    @property
    def priority(self) -> str:
        """Four digits, 0001 first: which of several is tried first."""
        ...

    def reasons(self, state: Settlement, decided: Decided) -> tuple[str, str]:
        """Why an attempt did not settle."""
        ...

    def told_pending(
        self, codes: Sequence[str], now: int, *, failing: bool, text: str | None = None
    ) -> Told:
        """Why it does not settle; `failing`: its settlement date is over."""
        ...

    def told_lasting(self, stage: Stage, now: int, blocks: Blocks) -> Told:
        """Its locks stand so, and have for a while."""
        ...

    def told_settled(self, state: Settlement) -> Told: ...

    def told_cancelled(self, now: int, *, by_system: bool) -> Told:
        """By both sides or an authority, or because its time is over."""
        ...

    def told_selected(self, now: int) -> Told:
        """Its settlement date has come, its first attempt begins."""
        ...


class Pair(Value, frozen=True, kw_only=True):
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
    def market_reference(self) -> str:
        return self.deliver.reference

    @property
    def settlement_date(self) -> date:
        return self.deliver.instruction.settlement_date

    def reasons(self, state: Settlement, decided: Decided) -> tuple[str, str]:
        deliverer, receiver = why_pending(state, decided)
        return (str(deliverer.value), str(receiver.value))

    @property
    def instruction(self) -> SettlementInstruction:
        return self.deliver.instruction

    @property
    def priority(self) -> str:
        deliver, receive = self.deliver.instruction.priority, self.receive.instruction.priority
        return min(deliver or NORMAL, receive or NORMAL)  # the more urgent of the two

    def told_pending(
        self,
        codes: Sequence[str],
        now: int,  # noqa: ARG002
        *,
        failing: bool,
        text: str | None = None,
    ) -> Told:
        return [*self.told_waiting(codes, failing=failing, text=text)]

    def told_waiting(
        self, codes: Sequence[str], *, failing: bool, text: str | None
    ) -> Iterator[tuple[Side, StatusAdvice]]:
        """`told_pending`, for those to whom it is told beside something else."""
        for (side, other), code in zip(self.sides, codes, strict=True):
            yield side, pending(side, other, code, failing=failing, text=text)

    def told_lasting(self, stage: Stage, now: int, blocks: Blocks) -> Told:  # noqa: ARG002
        deliverer, receiver, proprietary, leg, lock = _LASTING[stage]
        block = blocks(leg, lock)
        codes = (str(deliverer.value), str(receiver.value))
        return [
            (side, pending(side, other, code, failing=False, htlc=proprietary, lock=block))
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

    def told_cancelled(self, now: int, *, by_system: bool) -> Told:  # noqa: ARG002
        code = CancellationReason.CANS if by_system else CancellationReason.CANI
        return [(side, cancelled(side, other, code)) for side, other in self.sides]

    def told_selected(self, now: int) -> Told:  # noqa: ARG002
        return []  # a custodian hears of its locks only when they last

    def other(self, side: Side) -> Side:
        """The counterparty of a side."""
        return self.receive if side.id == self.deliver.id else self.deliver


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
        definition=render.definition(message, {} if about is None else about.emits),
        related=None if about is None else about.stored,
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
    code: str,
    *,
    failing: bool,
    text: str | None = None,
    htlc: HtlcReason | None = None,
    lock: LockBlock | None = None,
) -> StatusAdvice:
    """Matched, and settlement is pending, or failing, for this reason."""
    status = Settling.FAILING if failing else Settling.PENDING
    reason = FailingReason(code) if failing else PendingReason(code)
    return StatusAdvice(
        references=references(side, other),
        matching=MatchingStatus(status=Matching.MATCHED),
        settlement=SettlementStatus(status=status, reasons=(AdviceReason.of(reason, htlc, text),)),
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
