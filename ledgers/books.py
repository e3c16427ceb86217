"""What a ledger tells of its accounts, for statements and reconciliation: an interface beside
`port.Ledger`, which settlement does without.

Every answer about balances says as of which posting it is (`as_of`), read in the same state: so two
answers of different moments can be brought to the same one by the postings between them.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from htlc.units import AccountId, AssetId, Instant
from ledgers.book import SIDES, Kind, Side
from ledgers.port import Cursor, Fact, Ledger


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """What an account holds of an asset, in its smallest unit. A counter-account (issuer, reserves)
    stands below zero by what was issued."""

    account: AccountId
    asset: AssetId
    available: int
    locked: int


class Holdings(msgspec.Struct, frozen=True, kw_only=True):
    """A page of holdings, by account and asset, those that are zero by now among them. `next` is
    the place to go on from; None on the last page."""

    as_of: Cursor
    holdings: tuple[Holding, ...]
    next: str | None = None


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Conservation of one asset: what was issued, and where it is (smallest units)."""

    asset: AssetId
    issued: int
    available: int  # of all holders
    locked: int  # of all holders
    as_of: Cursor = ""

    @property
    def difference(self) -> int:
        """Zero, always."""
        return self.available + self.locked - self.issued


class Books(Protocol):
    """A ledger's accounts, spoken to as one principal who may see them. Every call may raise
    `port.LedgerUnreachable`."""

    async def holdings(self, account: AccountId | None, after: str = "") -> Holdings:
        """A page of one account's holdings, or of all accounts'."""
        ...

    async def movements(self, account: AccountId, after: Cursor, until: Cursor) -> Sequence[Fact]:
        """A page of an account's facts after a cursor, up to and with another, in order; empty
        when there are no more."""
        ...

    async def conservation(self) -> Sequence[Position]:
        """What was issued of each asset, and where it is; all as of one posting."""
        ...

    async def last_before(self, at: Instant) -> Cursor:
        """The last posting before an instant of the ledger's time; empty if there is none."""
        ...


class KeptLedger(Ledger, Books, Protocol):
    """A ledger that also tells its books."""


def key(holding: Holding) -> str:
    """The place of a holding in the order of pages; names have no blanks in them."""
    return f"{holding.account} {holding.asset}"


def placed(after: str) -> tuple[str, str]:
    """Account and asset of a place; two empty texts are before everything."""
    account, _, asset = after.partition(" ")
    return account, asset


class Change(NamedTuple):
    """What a fact did to one account."""

    account: AccountId
    available: int
    locked: int

    @property
    def booked(self) -> int:
        """The change of what the account holds, locked or not."""
        return self.available + self.locked


def changes(fact: Fact) -> tuple[Change, Change]:
    """What a fact did to the account that it debits and to the one that it credits (the same one,
    of a lock and its release)."""
    source, target = SIDES[Kind(fact.kind)]
    return (
        _change(fact.debit, source, -fact.quantity),
        _change(fact.credit, target, fact.quantity),
    )


def _change(account: AccountId, side: Side, quantity: int) -> Change:
    available = side is Side.AVAILABLE
    return Change(account, quantity if available else 0, 0 if available else quantity)


def change_of(fact: Fact, account: AccountId) -> Change:
    """What a fact did to an account, in all."""
    found = [change for change in changes(fact) if change.account == account]
    return Change(account, sum(c.available for c in found), sum(c.locked for c in found))
