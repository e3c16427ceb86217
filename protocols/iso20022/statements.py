"""Statements of accounts, as values, one page each: holdings (semt.002), movements (semt.017), cash
(camt.053). A statement has one or more pages, numbered from 1 without a gap; the last one says so.

Quantities and amounts are canonical decimals, instants UTC nanoseconds. What is locked belongs to
the account until it moves, so the booked balance has it in it and the available one has not.
"""

from datetime import date
from enum import StrEnum

import msgspec

from protocols.iso20022.instruction import CreditDebit, Movement, Payment, QuantityType


class Frequency(StrEnum):
    """How often such a statement is made (EventFrequency4Code)."""

    INTRADAY = "INDA"  # when asked for, from the end of the last business day up to now
    DAILY = "DAIL"  # at the end of each business day


class PageHead(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every page of a statement says of it."""

    statement: str  # its id, the same on every page and in every copy
    number: int  # consecutive, per account, kind and frequency, from 1
    frequency: Frequency
    from_at: int
    to_at: int
    business_date: date
    owner: str  # BIC
    lei: str | None = None
    servicer: str | None = None  # BIC of the depository
    account: str
    page: int
    last: bool
    active: bool  # whether there is anything in the whole statement


class Holding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One position; `aggregate` = `available` + `not_available`."""

    isin: str
    quantity_type: QuantityType
    aggregate: str
    available: str
    not_available: str = "0"  # locked


class HoldingsPage(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="holdings"
):
    """semt.002: positions, in the order of their ISINs."""

    head: PageHead
    holdings: tuple[Holding, ...] = ()


class Transaction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A settled movement of securities, with the references of whoever instructed it."""

    account_owner_tx: str
    servicer_tx: str | None = None
    market_tx: str | None = None
    counterparty_market_tx: str | None = None
    common_id: str | None = None
    transaction_type: str = "TRAD"
    movement: Movement
    payment: Payment
    quantity: str
    amount: str | None = None
    currency: str | None = None
    credit_debit: CreditDebit | None = None
    effective_at: int
    settlement_date: date | None = None


class Balance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A booked quantity; `final` of the statement's own opening or closing, else of the page's."""

    quantity: str
    final: bool


class InstrumentMovements(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The movements of one instrument on one page; opening + movements = closing."""

    isin: str
    quantity_type: QuantityType
    opening: Balance | None = None
    closing: Balance | None = None
    transactions: tuple[Transaction, ...]


class MovementsPage(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="movements"
):
    """semt.017: settled movements, grouped by instrument within the page."""

    head: PageHead
    instruments: tuple[InstrumentMovements, ...] = ()


class BankTransaction(StrEnum):
    """What an entry comes from: domain, family and sub-family (ExternalBankTransactionDomain1Code
    and its families), or a code of our own where ISO has none."""

    SECURITIES = "SECU/SETT/TRAD"  # the cash leg of a delivery against payment
    FOREIGN_EXCHANGE = "FORX/SPOT/OTHR"
    CREDITED = "PMNT/RCDT/BOOK"  # a transfer on the same ledger
    DEBITED = "PMNT/ICDT/BOOK"
    SWAP = "SWAP"  # a leg of any other swap
    ISSUE = "ISSU"  # money issued by the central bank
    REDEMPTION = "REDM"


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A booked entry. `reference` is its number in the statement."""

    reference: str
    amount: str
    credit_debit: CreditDebit
    booked_at: int
    value_date: date
    servicer_reference: str
    kind: BankTransaction
    instruction_id: str | None = None
    end_to_end_id: str | None = None
    uetr: str | None = None
    market_tx: str | None = None
    isin: str | None = None


class CashPage(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="cash"
):
    """camt.053: `opening` + entries = `closing`, on every page and so over all of them.

    The first page opens with the statement's opening balance (OPBD) and the last one closes with
    its closing balance (CLBD) and what of it is available (CLAV); between pages stands the balance
    that was reached (ITBD)."""

    head: PageHead
    currency: str
    opening: str
    closing: str
    closing_available: str | None = None  # on the last page
    opening_date: date
    entries: tuple[Entry, ...] = ()


StatementPage = HoldingsPage | MovementsPage | CashPage
