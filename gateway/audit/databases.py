"""A database as an audit reads it: one snapshot, read only, in bounded portions.

REPEATABLE READ READ ONLY takes no lock that a writer waits for and works on a standby. It does keep
old row versions from being removed while it lasts (README).
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg

from gateway.sql import Connection
from htlc.contract import Htlc
from ledgers import rows
from ledgers.queries import named_queries
from ledgers.rows import Row

LEDGER: Final = named_queries(Path(__file__).with_name("ledger.sql"))
REGISTRY: Final = {**LEDGER, **named_queries(Path(__file__).with_name("registry.sql"))}
GATEWAY: Final = named_queries(Path(__file__).with_name("gateway.sql"))

PORTION: Final = 2_000
"""Rows fetched at once from a cursor: a megabyte or two."""

# An audit of a large database takes long, computes between its queries, and nothing of it is
# urgent: limits that a server sets for those who serve people would end it half-way.
_UNHURRIED: Final = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}

UNREACHABLE: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)
"""What a database that is away, or is another one than was said, may raise."""


class AuditError(Exception):
    """The audit cannot be made; the text says why and what to do, in one line."""


class Snapshot:
    """Named queries on one connection; all see the same instant until `release`."""

    def __init__(self, name: str, connection: Connection, queries: Mapping[str, str]) -> None:
        self.name = name
        self._connection = connection
        self._queries = queries
        self._transaction = connection.transaction(isolation="repeatable_read", readonly=True)

    async def take(self) -> None:
        """Fix the instant: PostgreSQL does so at the first statement."""
        await self._transaction.start()
        await self._connection.execute("SELECT 1 FROM migrations LIMIT 1")

    async def release(self) -> None:
        """From here on every query sees what is committed."""
        await self._transaction.rollback()

    async def fetch(self, query: str, *values: object) -> list[Row]:
        rows: Any = await self._connection.fetch(self._queries[query], *values)
        found: list[Row] = rows  # records are mappings
        return found

    async def attempt(self, query: str, *values: object) -> list[Row] | None:
        """As `fetch`, or None where the database cannot make sense of what it holds (bytes that are
        no text, text that is no JSON); the snapshot stays usable."""
        try:
            async with self._connection.transaction():  # a savepoint
                return await self.fetch(query, *values)
        except asyncpg.DataError:
            return None

    async def row(self, query: str, *values: object) -> Row:
        (found,) = await self.fetch(query, *values)
        return found

    async def value(self, query: str, *values: object) -> Any:
        return await self._connection.fetchval(self._queries[query], *values)

    async def stream(self, query: str, *values: object) -> AsyncIterator[Row]:
        """Rows one by one, fetched in portions through a cursor of the server."""
        async for row in self._connection.cursor(self._queries[query], *values, prefetch=PORTION):
            found: Any = row
            yield found


@asynccontextmanager
async def opened(name: str, dsn: str, queries: Mapping[str, str]) -> AsyncIterator[Snapshot]:
    """A connection with its snapshot, which is not taken yet. Raises AuditError."""
    try:
        connection = await asyncpg.connect(dsn, server_settings=_UNHURRIED)
    except (*UNREACHABLE, ValueError) as error:
        raise AuditError(f"the database of {name} cannot be reached: {error}") from None
    try:
        yield Snapshot(name, connection, await _fitting(connection, queries))
    finally:
        await connection.close()


async def _fitting(connection: Connection, queries: Mapping[str, str]) -> Mapping[str, str]:
    """A ledger's database may be that of a registry's node: the same facts in other tables."""
    if queries is not LEDGER:
        return queries
    of_a_node = await connection.fetchval("SELECT to_regclass('network_blocks') IS NOT NULL")
    return REGISTRY if of_a_node else LEDGER


def contract(row: Row) -> Htlc | None:
    """The contract of a row, or None where it makes none: the audit of its ledger names it."""
    try:
        return rows.htlc(row)
    except (KeyError, ValueError):
        return None


def portions(whole: Sequence[Any], size: int = PORTION) -> list[Sequence[Any]]:
    """Rows in portions of a bounded size."""
    return [whole[start : start + size] for start in range(0, len(whole), size)]
