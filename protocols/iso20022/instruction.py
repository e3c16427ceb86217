"""A securities settlement instruction: what the gateway understands of a sese.023.

Plain values, JSON-serialisable by msgspec, so that they are stored as they are matched and settled.
"""

from datetime import date
from enum import StrEnum
from typing import Final

from htlc.units import Value
from protocols.iso20022.codes import RejectionReason
from protocols.iso20022.lock_block import LockBlock

#: Stands where an instruction names no readable date; `unreadable` then says so and it is refused.
NO_DATE: Final = date.min


class Movement(StrEnum):
    DELI = "DELI"  # the sender delivers the securities
    RECE = "RECE"  # the sender receives the securities


class Payment(StrEnum):
    APMT = "APMT"  # against payment
    FREE = "FREE"  # free of payment


class QuantityType(StrEnum):
    """What a quantity counts; quantities of different types never match."""

    FACE_AMOUNT = "FaceAmt"  # nominal, bonds
    UNIT = "Unit"  # shares
    DIGITAL = "DgtlTknUnit"  # digital tokens
    AMORTISED = "AmtsdVal"  # readable, settled by no ledger here


class CreditDebit(StrEnum):
    CRDT = "CRDT"  # the sender is paid
    DBIT = "DBIT"  # the sender pays


class CumEx(StrEnum):
    """With or without the coupon."""

    CUM = "CCPN"
    EX = "XCPN"


class AccountKind(StrEnum):
    """The element that named a safekeeping account."""

    ACCOUNT = "SfkpgAcct"
    WALLET = "BlckChainAdrOrWllt"


class CashAccountKind(StrEnum):
    """The element that named a cash account."""

    IBAN = "IBAN"
    PROPRIETARY = "Prtry"
    WALLET = "BlckChainCshWllt"  # sese.023.001.12 and later only


# By their codes: a dictionary is a third of the price of calling the enumeration, and two readers
# stand on the hot path.
MOVEMENTS: Final = {kind.value: kind for kind in Movement}
PAYMENTS: Final = {kind.value: kind for kind in Payment}
QUANTITY_TYPES: Final = {kind.value: kind for kind in QuantityType}
DIRECTIONS: Final = {kind.value: kind for kind in CreditDebit}
CUM_EX: Final = {kind.value: kind for kind in CumEx}
CASH_ACCOUNTS: Final = {kind.value: kind for kind in CashAccountKind}


class ProprietaryCode(Value, frozen=True, kw_only=True):
    """A code that someone other than ISO 20022 defines (GenericIdentification30)."""

    id: str
    issuer: str
    scheme: str | None = None


class Client(Value, frozen=True, kw_only=True, omit_defaults=True):
    """Party 2: the client of a delivering or receiving party, by BIC or by a proprietary id.

    One that is known by name only has neither and is compared with nobody.
    """

    bic: str | None = None
    proprietary_id: str | None = None
    proprietary_issuer: str | None = None
    account: str | None = None
    account_kind: AccountKind = AccountKind.ACCOUNT
    processing_id: str | None = None


class SettlementParties(Value, frozen=True, kw_only=True, omit_defaults=True):
    """One side's chain: depository, the party in it, that party's client. BICs are as sent."""

    depository: str
    party1: str
    lei: str | None = None
    account: str | None = None
    account_kind: AccountKind = AccountKind.ACCOUNT
    processing_id: str | None = None
    party2: Client | None = None


class Link(Value, frozen=True, kw_only=True):
    """Another instruction that this one is linked to (`Lnkgs`)."""

    position: str | None  # AFTE, BEFO, WITH, INFO; None: it is not told, or proprietary
    reference: str
    kind: str  # the element that named it, for example SctiesSttlmTxId


class Unreadable(Value, frozen=True, kw_only=True):
    """A field that the schema allows and nobody here can settle; a neutral value stands in it."""

    code: RejectionReason
    field: str
    rule: str


class SettlementInstruction(Value, frozen=True, kw_only=True, omit_defaults=True):
    """One side's instruction. Quantity and amount are canonical decimal text.

    `rules.check` refuses it where `unreadable` is not empty; past that every field holds.
    """

    sender: str  # BIC of the header's Fr, as sent
    definition: str  # version it came in, for example sese.023.001.11
    transaction_id: str
    movement: Movement
    payment: Payment
    common_id: str | None = None
    trade_date: date
    settlement_date: date
    isin: str
    quantity_type: QuantityType
    quantity: str
    account_owner: str | None = None
    safekeeping_account: str | None = None
    account_kind: AccountKind = AccountKind.ACCOUNT
    cash_account: str | None = None
    cash_account_kind: CashAccountKind = CashAccountKind.PROPRIETARY
    hold: bool = False
    priority: str | None = None  # four digits, 0001 first
    transaction_type: str | None = None  # code of SecuritiesTransactionType, for example TRAD
    proprietary_type: ProprietaryCode | None = None
    opt_out: bool = False  # NOMC: no market claims
    cum_ex: CumEx | None = None
    partial: str | None = None  # PART, NPAR, PARC, PARQ
    delivering: SettlementParties
    receiving: SettlementParties
    amount: str | None = None
    currency: str | None = None
    credit_debit: CreditDebit | None = None
    lock: LockBlock | None = None
    links: tuple[Link, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def own(self) -> SettlementParties:
        """The side that sent it."""
        return self.delivering if self.movement is Movement.DELI else self.receiving

    @property
    def own_account(self) -> str | None:
        """The account that it names for its own side: with the quantity, or with the party."""
        return self.safekeeping_account or self.own.account

    def is_on(self, account: str | None) -> bool:
        """Whether a later request that names this account, or none, may mean it. One that named no
        account is on the only one of its sender."""
        return account is None or self.own_account in (None, account)

    @property
    def other(self) -> SettlementParties:
        """The counterparty's side."""
        return self.receiving if self.movement is Movement.DELI else self.delivering
