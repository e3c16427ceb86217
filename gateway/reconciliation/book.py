"""The gateway's own record of a ledger: its facts, folded as they are read, never read twice.

It is written page by page, each with the place that it ends at in one transaction: a run that is
cut off goes on from there, and of two readers one writes.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from gateway.reconciliation.compare import Told
from gateway.sql import Pool
from htlc.units import AccountId, AssetId
from ledgers.block import place
from ledgers.book import Kind
from ledgers.books import Holding, changes
from ledgers.port import Cursor, Fact, Ledger, LedgerUnreachable
from ledgers.queries import named_queries

QUERIES: Final = named_queries(Path(__file__).with_name("queries.sql"))

PAGE: Final = 1_000
"""Facts of one transaction: what the ledger sends at once; some 20 ms."""

_ENDS: Final = {Kind.EXECUTE: True, Kind.CANCEL: False, Kind.REFUND: False}


class OwnBook:
    """The record of one ledger."""

    def __init__(self, pool: Pool, ledger: str, source: Ledger) -> None:
        self._pool = pool
        self._ledger = ledger
        self._source = source
        self.facts = 0  # read since this was made

    async def place(self) -> Cursor:
        """The last fact in it."""
        await self._pool.execute(QUERIES["begin_book"], self._ledger)
        found: Cursor = await self._pool.fetchval(QUERIES["place"], self._ledger)
        return found

    async def reach(self, until: Cursor) -> None:
        """Read on, up to and with this place. Raises LedgerUnreachable if it lies behind."""
        after = await self.place()
        if place(until) < place(after):
            raise LedgerUnreachable(f"{self._ledger} is at {until}, before it was at {after}")
        async for page in _pages(self._source.facts(after), until):
            await self._add(after, page)
            after = page[-1].cursor
            self.facts += len(page)

    async def _add(self, after: Cursor, page: Sequence[Fact]) -> None:
        available: defaultdict[tuple[str, str], int] = defaultdict(int)
        locked: defaultdict[tuple[str, str], int] = defaultdict(int)
        for fact in page:
            for change in changes(fact):
                available[change.account, fact.asset] += change.available
                locked[change.account, fact.asset] += change.locked
        keys = sorted(available)
        async with self._pool.acquire() as connection, connection.transaction():
            moved = await connection.fetchval(
                QUERIES["advance"], self._ledger, after, page[-1].cursor
            )
            if moved is None:
                raise LedgerUnreachable(f"{self._ledger} is read by another replica")
            await connection.execute(
                QUERIES["add_changes"],
                self._ledger,
                [account for account, _ in keys],
                [asset for _, asset in keys],
                [available[key] for key in keys],
                [locked[key] for key in keys],
            )
            await connection.execute(QUERIES["add_legs"], self._ledger, *_legs(page))

    async def told(self) -> dict[str, Told]:
        """What the postings of each asset came to."""
        rows = await self._pool.fetch(QUERIES["told"], self._ledger)
        return {row["asset"]: Told(issued=row["issued"], locked=row["locked"]) for row in rows}

    async def kept(self, after: tuple[str, str], to: tuple[str, str] | None) -> list[Holding]:
        """The balances of accounts and assets after one, up to another or to the end."""
        last = to or ("", "")
        rows = await self._pool.fetch(QUERIES["kept"], self._ledger, *after, *last, to is None)
        return [
            Holding(
                account=AccountId(row["account"]),
                asset=AssetId(row["asset"]),
                available=row["available"],
                locked=row["locked"],
            )
            for row in rows
        ]

    async def forget(self) -> None:
        """Begin anew from the ledger's first fact."""
        await self._pool.execute(QUERIES["forget_book"], self._ledger)


async def _pages(facts: AsyncIterator[Fact], until: Cursor) -> AsyncIterator[list[Fact]]:
    """Facts up to and with a place, by pages."""
    end = place(until)
    page: list[Fact] = []
    async for fact in facts:
        if place(fact.cursor) > end:
            break
        page.append(fact)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


def _legs(page: Sequence[Fact]) -> tuple[list[object], ...]:
    """Contracts that ended in a page: id, settlement, asset, quantity, whether executed, when."""
    ended = [fact for fact in page if fact.htlc is not None and Kind(fact.kind) in _ENDS]
    return (
        [fact.htlc.terms.id for fact in ended if fact.htlc],
        [fact.htlc.terms.settlement for fact in ended if fact.htlc],
        [fact.asset for fact in ended],
        [fact.quantity for fact in ended],
        [_ENDS[Kind(fact.kind)] for fact in ended],
        [fact.at for fact in ended],
    )
