"""Cash in messages, as values: payment orders, their status, entries, recalls, liquidity transfers.

What the gateway understands of a pacs.009, camt.056 and camt.050, and what it tells in a pacs.002,
camt.054, camt.029, camt.025 and admi.004. Amounts are canonical decimal text, instants UTC ns.
"""

from datetime import date
from enum import StrEnum

import msgspec

from htlc.units import Value
from protocols.iso20022.codes import (
    PaymentReason,
    RecallReason,
    SystemEventCode,
    TransferReason,
)
from protocols.iso20022.instruction import CreditDebit
from protocols.iso20022.lock_block import LockBlock
from protocols.iso20022.statements import BankTransaction

NO_REFERENCE = "NOTPROVIDED"
"""EndToEndId where the debtor gave none (the EPC's convention): it ties a payment to nothing."""


class PaymentReferences(Value, frozen=True, kw_only=True, omit_defaults=True):
    """What a payment is known by: the message that ordered it, and the ids in it. Without
    `message_id` the gateway made the payment itself, under a power of attorney: `instruction_id` is
    then the TxId of the member's instruction."""

    message_id: str | None = None
    definition: str | None = None
    instruction_id: str | None = None
    end_to_end_id: str | None = None
    uetr: str | None = None


class PaymentFault(Value, frozen=True, kw_only=True):
    """What the schema allows and nobody here can pay; a neutral value stands in the field."""

    code: PaymentReason
    field: str
    rule: str


class PaymentOrder(Value, frozen=True, kw_only=True, omit_defaults=True):
    """pacs.009: its sender orders the payment of a cash leg. BICs and ids are as sent."""

    sender: str
    definition: str
    message_id: str  # GrpHdr/MsgId
    instruction_id: str | None = None
    end_to_end_id: str
    uetr: str | None = None
    amount: str
    currency: str
    settlement_date: date | None = None
    reject_at: int | None = None  # RjctTm on the settlement date
    debtor: str | None = None
    debtor_account: str | None = None
    creditor: str | None = None
    creditor_account: str | None = None
    swap_id: str | None = None  # of its lock block, or of the pointer /HTLC/<SwpId> in RmtInf
    lock: LockBlock | None = None
    unreadable: tuple[PaymentFault, ...] = ()

    @property
    def references(self) -> PaymentReferences:
        return PaymentReferences(
            message_id=self.message_id,
            definition=self.definition,
            instruction_id=self.instruction_id,
            end_to_end_id=self.end_to_end_id,
            uetr=self.uetr,
        )


class PaymentRecall(Value, frozen=True, kw_only=True, omit_defaults=True):
    """camt.056: its sender asks a payment order back, named by one or more of its references."""

    case_id: str
    payment: PaymentReferences
    unserved: str | None = None  # what it asks beside or instead of one payment


class LiquidityTransfer(Value, frozen=True, kw_only=True, omit_defaults=True):
    """camt.050: money from one of the sender's accounts to another one of its own."""

    message_id: str
    definition: str
    transfer_id: str | None = None  # InstrId, else EndToEndId
    amount: str
    currency: str | None = None
    debit_account: str | None = None
    credit_account: str | None = None
    settlement_date: date | None = None
    unreadable: tuple[PaymentFault, ...] = ()


class TransactionStatus(StrEnum):
    """pacs.002 `TxSts` (ExternalPaymentTransactionStatus1Code), as the gateway uses them."""

    ACCEPTED = "ACTC"  # understood and kept; it waits for its instruction, or for its date
    LOCKED = "PDNG"  # the money is locked for this payment
    CLAIMING = "ACSP"  # settlement is decided, the claim is in process
    SETTLED = "ACSC"  # the money is with the creditor, final
    REJECTED = "RJCT"

    @property
    def is_final(self) -> bool:
        return self in (TransactionStatus.SETTLED, TransactionStatus.REJECTED)


class PaymentStatus(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="payment_status",
):
    """pacs.002: where a payment stands."""

    payment: PaymentReferences
    status: TransactionStatus
    code: PaymentReason | None = None
    proprietary: str | None = None
    text: str | None = None
    effective_at: int | None = None  # ledger time of the final transfer
    market_tx: str | None = None  # our reference of the instruction that it pays
    lock: LockBlock | None = None

    def __post_init__(self) -> None:
        rejected = self.status is TransactionStatus.REJECTED
        assert rejected == (self.code is not None), "a rejection has a code, and nothing else has"


class CashEntry(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="entry"
):
    """camt.054: money has been booked, finally, on an account of the member that is told."""

    account: str
    amount: str
    currency: str
    credit_debit: CreditDebit
    booked_at: int  # ledger time
    kind: BankTransaction
    servicer_ref: str  # of the lock that paid it, on its ledger
    payment: PaymentReferences
    account_owner_tx: str | None = None  # TxId of the instruction of the member that is told
    market_tx: str | None = None  # our reference of it
    isin: str | None = None
    lock: LockBlock | None = None


class Recalling(StrEnum):
    """camt.029 `Sts/Conf` (ExternalInvestigationExecutionConfirmation1Code)."""

    CANCELLED = "CNCL"
    REJECTED = "RJCR"


class RecallAnswer(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="recall_answer",
):
    """camt.029: what became of a recall; the payment is as the recall named it."""

    payment: PaymentReferences
    status: Recalling
    code: RecallReason | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        rejected = self.status is Recalling.REJECTED
        assert rejected == (self.code is not None), "a rejection has a code, and nothing else has"


class TransferReceipt(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="transfer_receipt",
):
    """camt.025: a liquidity transfer is settled (no code), or rejected for a reason."""

    message_id: str
    definition: str
    code: TransferReason | None = None
    text: str | None = None


class SystemEvent(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="system_event",
):
    """admi.004: something about the system that its members have to know."""

    code: SystemEventCode
    parameters: tuple[str, ...] = ()  # a ledger, a business date
    text: str | None = None
    at: int
