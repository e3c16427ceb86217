"""What the gateway tells of cash, one value of each message and status: see `samples.outbound`."""

from msgspec.structs import replace

from protocols.iso20022.advice import Outbound
from protocols.iso20022.codes import PaymentReason, RecallReason, SystemEventCode, TransferReason
from protocols.iso20022.instruction import CreditDebit
from protocols.iso20022.lexical import instant
from protocols.iso20022.lock_block import LedgerEvent, LockBlock, LockStatus
from protocols.iso20022.payment import (
    CashEntry,
    PaymentReferences,
    PaymentStatus,
    RecallAnswer,
    Recalling,
    SystemEvent,
    TransactionStatus,
    TransferReceipt,
)
from protocols.iso20022.statements import BankTransaction

LOCK_EVENT = LedgerEvent(
    ledger="cbka-eur",
    lock="0x91c4aa07de",
    transaction="3b1a6c0e55aa0f7d" * 4,
    height=184422,
    at=instant("2026-10-08T08:01:20Z"),
)

ORDERED = PaymentReferences(
    message_id="BUYR-P009-20261008-01",
    definition="pacs.009.001.08",
    instruction_id="BUYR2610060077",
    end_to_end_id="TRD-2026-000417",
    uetr="8f2b6c1e-6f0a-4c1d-9d57-1b7f4b8a2c10",
)


def outbound(block: LockBlock) -> dict[str, Outbound]:
    """By the name of the golden file; `block` is the deliverer's."""
    cash = replace(block, leg="CASH", status=None, event=None)
    return {
        **payments(cash),
        **entries(cash),
        **recalls(),
        "camt.025-receipt": TransferReceipt(
            message_id="BUYR-C050-20261008-01", definition="camt.050.001.05"
        ),
        "camt.025-rejected": TransferReceipt(
            message_id="BUYR-C050-20261008-01",
            definition="camt.050.001.05",
            code=TransferReason.AM04,
        ),
        "admi.004-business-day": SystemEvent(
            code=SystemEventCode.SBDY,
            parameters=("2026-10-08",),
            at=instant("2026-10-08T00:00:00Z"),
        ),
        "admi.004-break": SystemEvent(
            code=SystemEventCode.BRKB,
            parameters=("registry",),
            text="its probe is not what it declares",
            at=instant("2026-10-08T08:00:00Z"),
        ),
    }


def payments(cash: LockBlock) -> dict[str, Outbound]:
    plain = PaymentStatus(
        payment=ORDERED,
        status=TransactionStatus.ACCEPTED,
        market_tx="GW2610080000417B",
    )
    return {
        "pacs.002-accepted": plain,
        "pacs.002-locked": replace(
            plain,
            status=TransactionStatus.LOCKED,
            proprietary="HTLC-LOCKED",
            text="Cash locked on ledger CBKA, refundable after 2026-10-08T14:00:00Z",
            lock=replace(cash, status=LockStatus.LOCKED, event=LOCK_EVENT),
        ),
        "pacs.002-claiming": replace(plain, status=TransactionStatus.CLAIMING, text="decided"),
        "pacs.002-settled": replace(
            plain,
            status=TransactionStatus.SETTLED,
            effective_at=instant("2026-10-08T08:04:05Z"),
        ),
        "pacs.002-rejected": replace(
            plain,
            status=TransactionStatus.REJECTED,
            code=PaymentReason.AM04,
            text="Insufficient funds at lock deadline",
        ),
        "pacs.002-timelock-refund": replace(
            plain,
            status=TransactionStatus.REJECTED,
            code=PaymentReason.AB03,
            text="Cash time lock expired; refunded to debtor",
            lock=replace(
                cash,
                status=LockStatus.REFUNDED,
                event=replace(
                    LOCK_EVENT,
                    transaction="6e02d91f77bc0f7d" * 4,
                    height=191002,
                    at=instant("2026-10-08T14:00:09Z"),
                ),
            ),
        ),
        "pacs.002-power-of-attorney": PaymentStatus(
            payment=PaymentReferences(instruction_id="BUYR2610060077", uetr=ORDERED.uetr),
            status=TransactionStatus.SETTLED,
            effective_at=instant("2026-10-08T08:04:05Z"),
        ),
    }


def entries(cash: LockBlock) -> dict[str, Outbound]:
    credit = CashEntry(
        account="EUR-CBKA-SELADE",
        amount="998750",
        currency="EUR",
        credit_debit=CreditDebit.CRDT,
        booked_at=instant("2026-10-08T08:04:05Z"),
        kind=BankTransaction.SECURITIES,
        servicer_ref="CBKA-TX-900144",
        payment=ORDERED,
        market_tx="GW2610080000417A",
        isin="XS9990000010",
        lock=replace(cash, status=LockStatus.CLAIMED),
    )
    return {
        "camt.054-credit-notification": credit,
        "camt.054-debit-exchange": replace(
            credit,
            credit_debit=CreditDebit.DBIT,
            kind=BankTransaction.FOREIGN_EXCHANGE,
            amount="1000",
            currency="JPY",
            isin=None,
            account_owner_tx="BKAA-FX-77120",
            payment=replace(ORDERED, end_to_end_id=None),
            lock=None,
        ),
    }


def recalls() -> dict[str, Outbound]:
    return {
        "camt.029-cancel-rejected": RecallAnswer(
            payment=ORDERED,
            status=Recalling.REJECTED,
            code=RecallReason.NARR,
            text="Cash already locked; refund only after time-lock expiry",
        ),
        "camt.029-cancelled": RecallAnswer(payment=ORDERED, status=Recalling.CANCELLED),
        "camt.029-unknown": RecallAnswer(
            payment=PaymentReferences(uetr=ORDERED.uetr),
            status=Recalling.REJECTED,
            code=RecallReason.NOOR,
        ),
    }
