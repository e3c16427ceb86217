"""What the gateway tells its members, as values: statuses, confirmations, rejections, receipts.

They are stored as JSON in the mailbox and written as messages when they are delivered
(`render.render`), so that the form and the version are the connection's affair.
"""

from datetime import date
from enum import Enum, StrEnum
from typing import Final, Self

import msgspec

from htlc.units import Value
from protocols.iso20022.codes import (
    AcknowledgementReason,
    CancellationPendingReason,
    CancellationReason,
    DeniedReason,
    FailingReason,
    HtlcReason,
    PendingReason,
    ReasonCode,
    RejectionReason,
    RequestRefusal,
    UnmatchedReason,
)
from protocols.iso20022.errors import ProtocolError, RejectCode
from protocols.iso20022.fx import FxStatus
from protocols.iso20022.instruction import (
    AccountKind,
    CreditDebit,
    Movement,
    Payment,
    ProprietaryCode,
    QuantityType,
    SettlementInstruction,
)
from protocols.iso20022.lock_block import LockBlock
from protocols.iso20022.payment import (
    CashEntry,
    PaymentStatus,
    RecallAnswer,
    SystemEvent,
    TransferReceipt,
)
from protocols.iso20022.positions import PositionMessage
from protocols.iso20022.statements import StatementPage

#: admi.002 must name a reference; this stands where the message's own could not be read.
NO_REFERENCE: Final = "NOTPROVIDED"


class Reason(Value, frozen=True, kw_only=True, omit_defaults=True):
    """Why: a standard code that every back office knows, a proprietary one beside it, text."""

    code: str | None = None
    htlc: HtlcReason | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        assert self.code is not None or self.htlc is not None, "a reason says something"

    @classmethod
    def of(cls, code: ReasonCode, htlc: HtlcReason | None = None, text: str | None = None) -> Self:
        """A reason by its code. HTLM is proprietary: the standard code beside it is OTHR."""
        if code is UnmatchedReason.HTLM:
            return cls(code="OTHR", htlc=HtlcReason.HTLM, text=text)
        return cls(code=str(code.value), htlc=htlc, text=text)


class Processing(StrEnum):
    """sese.024 `PrcgSts`."""

    ACCEPTED = "AckdAccptd"
    REJECTED = "Rjctd"
    CANCELLED = "Canc"
    CANCELLATION_PENDING = "PdgCxl"
    CANCELLATION_REQUESTED = "CxlReqd"  # by the counterparty


class Matching(StrEnum):
    """sese.024 `MtchgSts`."""

    MATCHED = "Mtchd"
    UNMATCHED = "Umtchd"


class Settling(StrEnum):
    """sese.024 `SttlmSts`: settlement on the intended date is still possible, or no longer."""

    PENDING = "Pdg"
    FAILING = "Flng"


class Answering(StrEnum):
    """What becomes of a request about an instruction: sese.027 and sese.031 `PrcgSts`."""

    PENDING = "PdgCxl"  # sese.027 only
    CANCELLED = "Canc"  # sese.027 only
    COMPLETED = "Cmpltd"  # sese.031 only
    DENIED = "Dnd"
    REJECTED = "Rjctd"


# Statuses that are said without a standard reason are not in the table.
_CODE_SETS: Final[dict[StrEnum, type[ReasonCode]]] = {
    Processing.ACCEPTED: AcknowledgementReason,
    Processing.REJECTED: RejectionReason,
    Processing.CANCELLED: CancellationReason,
    Processing.CANCELLATION_PENDING: CancellationPendingReason,
    Matching.UNMATCHED: UnmatchedReason,
    Settling.PENDING: PendingReason,
    Settling.FAILING: FailingReason,
}

# Of their own: members of two enumerations with one text are the same key.
_ANSWER_CODE_SETS: Final[dict[StrEnum, type[ReasonCode]]] = {
    Answering.PENDING: CancellationPendingReason,
    Answering.CANCELLED: CancellationReason,
    Answering.DENIED: DeniedReason,
    Answering.REJECTED: RequestRefusal,
}


def _assert_codes(
    status: StrEnum,
    reasons: tuple[Reason, ...],
    sets: dict[StrEnum, type[ReasonCode]] = _CODE_SETS,
) -> None:
    known: type[Enum] | None = sets.get(status)
    codes = [reason.code for reason in reasons if reason.code is not None]
    if known is None:
        assert not codes, f"{status} has no standard reasons"
        return
    for code in codes:
        # OTHR stands beside every proprietary reason and is in each of the code sets.
        assert code == "OTHR" or code in known._value2member_map_, (
            f"{code} is no reason of {status}"
        )


class ProcessingStatus(Value, frozen=True, kw_only=True, omit_defaults=True):
    status: Processing
    reasons: tuple[Reason, ...] = ()

    def __post_init__(self) -> None:
        _assert_codes(self.status, self.reasons)


class MatchingStatus(Value, frozen=True, kw_only=True, omit_defaults=True):
    status: Matching
    reasons: tuple[Reason, ...] = ()

    def __post_init__(self) -> None:
        _assert_codes(self.status, self.reasons)


class SettlementStatus(Value, frozen=True, kw_only=True, omit_defaults=True):
    status: Settling
    reasons: tuple[Reason, ...] = ()

    def __post_init__(self) -> None:
        _assert_codes(self.status, self.reasons)


class References(Value, frozen=True, kw_only=True, omit_defaults=True):
    """Whose transaction: the member's own id, ours, ours for the counterparty, the common one."""

    account_owner_tx: str
    market_tx: str | None = None
    counterparty_market_tx: str | None = None
    common_id: str | None = None
    servicer_tx: str | None = None  # of the posting, in a registry's confirmation


class TransactionDetails(Value, frozen=True, kw_only=True, omit_defaults=True):
    """What a status speaks of, copied from the instruction (`TxDtls`)."""

    account: str | None = None
    account_kind: AccountKind = AccountKind.ACCOUNT
    isin: str
    quantity_type: QuantityType
    quantity: str
    amount: str | None = None
    currency: str | None = None
    credit_debit: CreditDebit | None = None
    settlement_date: date
    movement: Movement
    payment: Payment
    transaction_type: str | None = None
    proprietary_type: ProprietaryCode | None = None

    @classmethod
    def of(cls, instruction: SettlementInstruction) -> Self:
        """The details of an accepted instruction (one that was refused has none to trust)."""
        i = instruction
        return cls(
            account=i.safekeeping_account,
            account_kind=i.account_kind,
            isin=i.isin,
            quantity_type=i.quantity_type,
            quantity=i.quantity,
            amount=i.amount,
            currency=i.currency,
            credit_debit=i.credit_debit,
            settlement_date=i.settlement_date,
            movement=i.movement,
            payment=i.payment,
            transaction_type=i.transaction_type,
            proprietary_type=i.proprietary_type,
        )


class StatusAdvice(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="status"
):
    """sese.024: what became of an instruction. The parts are independent; at least one is given."""

    references: References
    processing: ProcessingStatus | None = None
    matching: MatchingStatus | None = None
    settlement: SettlementStatus | None = None
    details: TransactionDetails | None = None
    lock: LockBlock | None = None


class Confirmation(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="confirmation",
):
    """sese.025: settled. `effective_at` is ledger time of the last leg; the amount is the matched
    one (the deliverer's), which may differ from the instruction's within the tolerance."""

    references: References
    instruction: SettlementInstruction
    settled_amount: str | None = None
    effective_at: int
    lock: LockBlock | None = None


class CancellationAnswer(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="cancellation_answer",
):
    """sese.027: what becomes of a cancellation request, which is known by its BizMsgIdr."""

    request: str
    references: References
    movement: Movement | None = None  # None: the request was about no settlement instruction
    payment: Payment | None = None
    status: Answering
    reasons: tuple[Reason, ...] = ()

    def __post_init__(self) -> None:
        assert self.status is not Answering.COMPLETED, "a cancellation is done when it is Canc"
        _assert_codes(self.status, self.reasons, _ANSWER_CODE_SETS)


class HoldAnswer(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="hold_answer",
):
    """sese.031: what becomes of a request to hold or release, which is known by its BizMsgIdr."""

    request: str
    transaction_id: str | None = None
    hold: bool | None = None
    account: str | None = None
    account_kind: AccountKind = AccountKind.ACCOUNT
    status: Answering
    reasons: tuple[Reason, ...] = ()

    def __post_init__(self) -> None:
        assert self.status not in (Answering.PENDING, Answering.CANCELLED), "done, or not"
        _assert_codes(self.status, self.reasons, _ANSWER_CODE_SETS)


class Allegement(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="allegement",
):
    """sese.028: what a counterparty has instructed. It is written mirrored, as its receiver would
    instruct; `instruction` is as the counterparty sent it."""

    reference: str
    counterparty_tx: str | None = None  # our reference of the counterparty's instruction
    instruction: SettlementInstruction


class AllegementRemoval(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag="allegement_removal",
):
    """sese.029: an allegement is over. `movement` is the counterparty's, written mirrored."""

    reference: str
    counterparty_tx: str | None = None
    movement: Movement
    payment: Payment


class Rejection(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="rejection"
):
    """admi.002: a message that was not processed; no business object exists."""

    reference: str
    code: RejectCode
    rejected_at: int
    location: str | None = None
    description: str

    @classmethod
    def of(cls, error: ProtocolError, rejected_at: int) -> Self:
        """The rejection that tells of an error."""
        return cls(
            reference=error.reference or NO_REFERENCE,
            code=error.code,
            rejected_at=rejected_at,
            location=error.location,
            description=error.description,
        )


class Receipt(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="receipt"
):
    """admi.007: received and kept, durably; what it means is told later."""

    message_id: str
    received_at: int
    reference: str  # BizMsgIdr of the message received
    definition: str  # its MsgDefIdr
    sender: str  # BIC of its sender


Outbound = (
    StatusAdvice
    | Confirmation
    | CancellationAnswer
    | HoldAnswer
    | Allegement
    | AllegementRemoval
    | FxStatus
    | PaymentStatus
    | CashEntry
    | RecallAnswer
    | TransferReceipt
    | SystemEvent
    | Rejection
    | Receipt
    | PositionMessage
    | StatementPage
)
