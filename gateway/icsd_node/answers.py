"""What the sender of an order is told of it, once it is final or refused."""

from typing import Final

from msgspec.structs import replace

from gateway.icsd_node.orders import Order
from gateway.icsd_node.postings import Done
from htlc.contract import Refusal
from htlc.units import HtlcId, LedgerId
from protocols.iso20022.advice import (
    Confirmation,
    Outbound,
    Processing,
    ProcessingStatus,
    References,
    StatusAdvice,
)
from protocols.iso20022.advice import Reason as Told
from protocols.iso20022.codes import PositionRejection, ReasonCode, RejectionReason
from protocols.iso20022.lock_block import LedgerEvent, LockBlock, LockStatus
from protocols.iso20022.positions import (
    PositionConfirmation,
    PositionStatus,
    Posting,
)
from protocols.iso20022.semt013_read import PositionOrder

_CODES: Final = {
    Refusal.UNKNOWN_ACCOUNT: RejectionReason.SAFE,
    Refusal.NOT_AUTHORISED: RejectionReason.SAFE,
    Refusal.UNKNOWN_ASSET: RejectionReason.DSEC,
    Refusal.LIMIT_EXCEEDED: RejectionReason.DQUA,
    Refusal.TOO_LATE: RejectionReason.LATE,
    Refusal.CONFLICT: RejectionReason.REFE,
    Refusal.UNKNOWN_CONTRACT: RejectionReason.REFE,
}
"""Every other refusal is OTHR; the text says which."""

_STATUS: Final = {Posting.LOCK: LockStatus.LOCKED, Posting.RELEASE: LockStatus.REFUNDED}


def refused(order: Order, reference: str, code: ReasonCode, text: str) -> Outbound:
    """semt.014 or sese.024, `Rjctd`. `reference` is ours, as the receipt tells it."""
    if isinstance(order, PositionOrder):
        known = code.value in PositionRejection._value2member_map_
        return PositionStatus(
            id=order.id,
            servicer_tx=reference,
            reason=code.value if known else PositionRejection.OTHR.value,
            rejected=True,
            text=text,
        )
    return StatusAdvice(
        references=References(account_owner_tx=order.transaction_id, market_tx=reference),
        processing=ProcessingStatus(
            status=Processing.REJECTED, reasons=(Told.of(code, text=text),)
        ),
    )


def refused_by_network(order: Order, reference: str, refusal: Refusal) -> Outbound:
    """The same, where the network has judged it."""
    code = _CODES.get(refusal, RejectionReason.OTHR)
    return refused(order, reference, code, f"{refusal.value}: nothing was done")


def done(order: Order, reference: str, done: Done, contract: HtlcId, ledger: LedgerId) -> Outbound:
    """semt.015 or sese.025: final. `contract` is what a lock or a release is about. The posting is
    named as the servicer's reference; in semt.015, where that is the contract, as the market's."""
    if isinstance(order, PositionOrder):
        return PositionConfirmation(
            id=order.id,
            servicer_tx=reference,
            market_tx=done.posting,
            position=order.position,
            posting=order.posting,
            effective_at=done.at,
            lock=_block(order, done, contract, ledger),
        )
    return Confirmation(
        references=References(
            account_owner_tx=order.transaction_id, servicer_tx=done.posting, market_tx=reference
        ),
        instruction=order,
        effective_at=done.at,
    )


def _block(
    order: PositionOrder, done: Done, contract: HtlcId, ledger: LedgerId
) -> LockBlock | None:
    """The terms as they were sent, with what became of them."""
    if order.lock is None or order.posting not in _STATUS:
        return None
    event = LedgerEvent(ledger=ledger, lock=contract, height=done.height, at=done.at)
    return replace(order.lock, status=_STATUS[order.posting], event=event)
