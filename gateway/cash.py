"""The cash legs of a pair: what becomes of the money, told beside what becomes of the trade.

The payer is told the status of its payment (pacs.002), whether it ordered it (pacs.009) or gave the
gateway a power of attorney; both sides are told what was booked (camt.054), once, in the journal
entry that first holds the final execution of the leg. Pure: changes of a settlement in, values out.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from gateway.amounts import CASH
from gateway.fx_pairs import FxPair, FxSide
from gateway.ids import as_version_4
from gateway.journal import PaymentEnd
from gateway.lock_blocks import lock_block
from gateway.pair_origin import CashAdvice
from gateway.pairs import MatchedPair, Pair, Side, Told
from gateway.stages import Stage
from htlc.contract import Refusal
from htlc.events import Decision, Reason
from htlc.leg import FINISHED, LegStatus
from htlc.settlement import Phase, Settlement
from protocols.iso20022.codes import PaymentReason
from protocols.iso20022.header import Related
from protocols.iso20022.instruction import CreditDebit
from protocols.iso20022.lock_block import LockBlock, LockStatus
from protocols.iso20022.payment import (
    CashEntry,
    PaymentOrder,
    PaymentReferences,
    PaymentStatus,
    TransactionStatus,
)
from protocols.iso20022.statements import BankTransaction

LOCKED: Final = "HTLC-LOCKED"
"""Proprietary reason of PDNG: no standard one says that money is locked."""


class Ordered(msgspec.Struct, frozen=True, kw_only=True):
    """A payment order as it is kept; what it is told relates to its own message."""

    id: str
    member: str
    related: Related
    order: PaymentOrder


class CashLeg(msgspec.Struct, frozen=True, kw_only=True):
    """One leg in money: its number in the swap, who pays whom, what."""

    number: int
    payer: Side | FxSide
    payee: Side | FxSide
    amount: str
    currency: str
    kind: BankTransaction
    isin: str | None = None


def cash_legs(pair: MatchedPair) -> tuple[CashLeg, ...]:
    """What a pair pays: the deliverer's amount for securities, each side's gift in an exchange."""
    if isinstance(pair, FxPair):
        return tuple(
            CashLeg(
                number=number,
                payer=payer,
                payee=payee,
                amount=payer.instruction.sells.amount,
                currency=payer.instruction.sells.currency,
                kind=BankTransaction.FOREIGN_EXCHANGE,
            )
            for number, (payer, payee) in enumerate(pair.sides)
        )
    assert isinstance(pair, Pair), "securities or currencies"
    matched = pair.deliver.instruction
    if matched.amount is None or matched.currency is None:
        return ()
    return (
        CashLeg(
            number=CASH,
            payer=pair.receive,
            payee=pair.deliver,
            amount=matched.amount,
            currency=matched.currency,
            kind=BankTransaction.SECURITIES,
            isin=matched.isin,
        ),
    )


class CashLegs:
    """Tells what becomes of the money in one attempt of a pair (`pair_origin.CashTeller`).

    `orders` are by the payer's instruction; where there is none, a power of attorney pays."""

    def __init__(self, pair: MatchedPair, orders: Mapping[str, Ordered]) -> None:
        self._legs = cash_legs(pair)
        self._orders = orders
        blocks = [side.instruction.lock for side, _ in pair.sides]
        blocks += [ordered.order.lock for ordered in orders.values()]
        #: The swap's id as the parties say it; who says nothing of locks is told nothing of them.
        self._swap_id = next((block.swap_id for block in blocks if block is not None), None)

    def advise(self, before: Settlement, after: Settlement, *, news: bool) -> CashAdvice:
        """What the change means; `news`: the sides are told a reason that they do not know yet."""
        told: Told = []
        ends: list[PaymentEnd] = []
        for leg in self._legs:
            ordered = self._orders.get(leg.payer.id)
            for to, message in self._leg(leg, ordered, before, after, news=news):
                told.append((to, message))
                final = isinstance(message, PaymentStatus) and message.status.is_final
                if final and ordered is not None:
                    settled = message.status is TransactionStatus.SETTLED  # type: ignore[union-attr]
                    state = "SETTLED" if settled else "REJECTED"
                    ends.append(PaymentEnd(payment=ordered.id, state=state))
        return CashAdvice(told=tuple(told), ends=tuple(ends))

    def _leg(
        self,
        leg: CashLeg,
        ordered: Ordered | None,
        before: Settlement,
        after: Settlement,
        *,
        news: bool,
    ) -> Iterator[tuple["Ordered | Side | FxSide", PaymentStatus | CashEntry]]:
        was, now = _status(before, leg.number), _status(after, leg.number)
        to = ordered or leg.payer
        if now is LegStatus.EXECUTED and was is not now:
            yield to, self.settled(leg, after)
            yield leg.payer, self._entry(leg, after, leg.payer, CreditDebit.DBIT)
            yield leg.payee, self._entry(leg, after, leg.payee, CreditDebit.CRDT)
        elif now is LegStatus.LOCKED and was is not now and ordered is not None:
            yield to, self.locked(leg, after)
        if (code := _rejection(leg, before, after)) is not None and (news or ordered is not None):
            yield to, self._rejected(leg, after, code)

    def lasting(self, stage: Stage, state: Settlement) -> Told:
        """A payment under a power of attorney is locked, or decided and not yet claimed, for a
        while. One that was ordered is told its lock in any case, with the journal. Said at every
        stage at which it is so; `gateway.lasting` tells it once."""
        told: Told = []
        for leg in self._legs:
            ordered = self._orders.get(leg.payer.id)
            if _status(state, leg.number) is not LegStatus.LOCKED:
                continue
            if state.decision is Decision.COMMIT:
                told.append((ordered or leg.payer, self.claiming(leg, state)))
            elif ordered is None and stage in _LOCKED[leg.number]:
                told.append((leg.payer, self.locked(leg, state)))
        return told

    # ------------------------------------------------------------------ messages

    def locked(self, leg: CashLeg, state: Settlement) -> PaymentStatus:
        agreed = state.agreed.legs[leg.number]
        text = f"Cash locked on ledger {agreed.ledger}"
        return self._status(
            leg,
            state,
            TransactionStatus.LOCKED,
            proprietary=LOCKED,
            text=text,
            lock=self.block(state, leg.number, LockStatus.LOCKED),
        )

    def claiming(self, leg: CashLeg, state: Settlement) -> PaymentStatus:
        """Decided, and the claim takes its time."""
        return self._status(leg, state, TransactionStatus.CLAIMING)

    def settled(self, leg: CashLeg, state: Settlement) -> PaymentStatus:
        return self._status(
            leg,
            state,
            TransactionStatus.SETTLED,
            effective_at=state.legs[leg.number].ended_at,
        )

    def _rejected(self, leg: CashLeg, state: Settlement, code: PaymentReason) -> PaymentStatus:
        refunded = _status(state, leg.number) in (LegStatus.REFUNDED, LegStatus.CANCELLED)
        lock = self.block(state, leg.number, LockStatus.REFUNDED) if refunded else None
        return self._status(
            leg, state, TransactionStatus.REJECTED, code=code, text=code.meaning, lock=lock
        )

    def _status(
        self, leg: CashLeg, state: Settlement, status: TransactionStatus, **more: object
    ) -> PaymentStatus:
        return PaymentStatus(
            payment=self._references(leg, state),
            status=status,
            market_tx=leg.payer.reference,
            **more,  # type: ignore[arg-type]
        )

    def _references(self, leg: CashLeg, state: Settlement) -> PaymentReferences:
        """Of the order, or of the payment that the gateway makes itself: one for each attempt."""
        ordered = self._orders.get(leg.payer.id)
        if ordered is not None:
            return ordered.order.references
        return PaymentReferences(
            instruction_id=leg.payer.instruction.transaction_id,
            end_to_end_id=leg.payer.instruction.common_id,
            uetr=as_version_4(state.swap.id),
        )

    def _entry(
        self, leg: CashLeg, state: Settlement, side: Side | FxSide, direction: CreditDebit
    ) -> CashEntry:
        terms = state.agreed.legs[leg.number].terms
        ended_at = state.legs[leg.number].ended_at
        assert ended_at is not None, "an executed contract knows when"
        return CashEntry(
            account=terms.payer if direction is CreditDebit.DBIT else terms.payee,
            amount=leg.amount,
            currency=leg.currency,
            credit_debit=direction,
            booked_at=ended_at,
            kind=leg.kind,
            servicer_ref=terms.id.replace("-", ""),
            payment=self._references(leg, state),
            account_owner_tx=side.instruction.transaction_id,
            market_tx=side.reference,
            isin=leg.isin,
            lock=self.block(state, leg.number, LockStatus.CLAIMED),
        )

    def block(self, state: Settlement, number: int, status: LockStatus) -> LockBlock | None:
        """The terms of a leg's lock, for parties who speak of them."""
        if self._swap_id is None:
            return None
        block = lock_block(state.agreed, number, status)
        return msgspec.structs.replace(block, swap_id=self._swap_id)


_LOCKED: Final = (
    (Stage.FIRST_LOCKED, Stage.ALL_LOCKED),
    (Stage.SECOND_LOCKED, Stage.ALL_LOCKED),
)
"""By the number of a leg: the stages in which it is locked and nothing is claimed."""


def _status(state: Settlement, number: int) -> LegStatus:
    return state.legs[number].status if state.legs else LegStatus.UNSEEN


_REFUSED: Final = {
    Refusal.INSUFFICIENT_BALANCE: PaymentReason.AM04,
    Refusal.ACCOUNT_BLOCKED: PaymentReason.AC06,
    Refusal.UNKNOWN_ACCOUNT: PaymentReason.AC02,
    Refusal.NOT_AUTHORISED: PaymentReason.AG01,
    Refusal.TOO_LATE: PaymentReason.TM01,
}
"""A ledger's lasting refusal to lock the money, as a reason; what else it may be is AB04."""


def _rejection(leg: CashLeg, before: Settlement, after: Settlement) -> PaymentReason | None:
    """Why the payment is over without having been made: the ledger refused it, or time ran out.

    What the other leg lacks is no fault of the payment: an order stands until that is there."""
    decided = after.decided
    if decided is None or after.agreement is None or decided.reason is Reason.CANCEL_ACCEPTED:
        return None  # parties who cancel are answered with that (`payments.reject_cancelled`)
    if decided.refusal is not None:
        own = decided.leg == after.swap.legs[leg.number].leg
        if not own or before.decided is not None:
            return None
        return _REFUSED.get(decided.refusal, PaymentReason.AB04)
    ended = after.phase is Phase.CANCELLED and before.phase is not Phase.CANCELLED
    was, now = _status(before, leg.number), _status(after, leg.number)
    broken = after.phase is Phase.BROKEN and now in FINISHED and was not in FINISHED
    if ended or broken:
        timed = decided.decision is Decision.COMMIT or decided.reason is not Reason.RESTORED
        return PaymentReason.AB03 if timed else PaymentReason.AB04
    return None
