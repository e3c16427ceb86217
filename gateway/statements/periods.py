"""What a statement is of: an account, a kind, a period between two places of a ledger's order."""

from datetime import date
from enum import StrEnum
from typing import Final

import msgspec

from htlc.units import AccountId
from ledgers.books import Books
from ledgers.port import Cursor
from protocols.iso20022.statements import Frequency


class Kind(StrEnum):
    """The statements that there are."""

    HOLDINGS = "holdings"  # semt.002
    MOVEMENTS = "movements"  # semt.017
    CASH = "cash"  # camt.053


KINDS: Final = {
    "securities": (Kind.HOLDINGS, Kind.MOVEMENTS),
    "currency": (Kind.CASH,),
}
"""What an account on each kind of ledger is stated by."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Whose account, and what is stated of it; `asset` is the currency of a cash statement."""

    member: str
    ledger: str
    account: AccountId
    kind: Kind
    asset: str = ""
    lei: str | None = None
    depository: str | None = None


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """After one place, up to and with another; and the instants that these stand for."""

    frequency: Frequency
    business_date: date
    from_cursor: Cursor
    to_cursor: Cursor
    from_at: int
    to_at: int
    opening_date: date  # the business day that ended where it begins


class Numbered(msgspec.Struct, frozen=True, kw_only=True):
    """A statement to be made, or made again."""

    id: str
    subject: Subject
    period: Period
    number: int


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a statement is read: the ledger's accounts, its name, and what the asset is."""

    books: Books
    ledger: str
