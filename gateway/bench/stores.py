"""What each database holds (bytes, dead rows) and how long it has worked, told by PostgreSQL."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from ledgers.queries import named_queries

_QUERIES: Final = named_queries(Path(__file__).with_name("stores.sql"))


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table: bytes with its indexes, rows as the statistics have them."""

    bytes: int
    live: int
    dead: int  # versions of rows that no vacuum has removed yet


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """A database since its statistics began."""

    bytes: int
    active_seconds: float  # in which its sessions executed statements, waiting included
    transactions: int
    tables: dict[str, Table]

    @property
    def dead(self) -> int:
        return sum(table.dead for table in self.tables.values())


async def stores(dsns: Mapping[str, str]) -> dict[str, Store]:
    """Each database as it is now, by name."""
    return {name: await _store(dsn) for name, dsn in dsns.items()}


async def _store(dsn: str) -> Store:
    connection = await asyncpg.connect(dsn)
    try:
        own = await connection.fetchrow(_QUERIES["database"])
        tables = await connection.fetch(_QUERIES["tables"])
    finally:
        await connection.close()
    assert own is not None, "a database that one is connected to"
    return Store(
        bytes=own["bytes"],
        active_seconds=own["active_seconds"],
        transactions=own["transactions"],
        tables={
            row["name"]: Table(bytes=row["bytes"], live=row["live"], dead=row["dead"])
            for row in tables
        },
    )


async def active_seconds(dsns: Mapping[str, str]) -> float:
    """How long all of them together have executed statements."""
    return sum(store.active_seconds for store in (await stores(dsns)).values())
