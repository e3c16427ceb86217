"""How well work is batched: operations per transaction on the ledgers, and journal entries per
transaction at the gateway. Counted after a round, from what it has written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from gateway.bench.system import Databases
from ledgers.queries import named_queries

_QUERIES: Final = named_queries(Path(__file__).with_name("sizes.sql"))


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """Means over one round."""

    ledger_operations: float  # per block, over all ledgers
    journal_entries: float  # per transaction of the gateway that wrote any


async def heights(databases: Databases) -> dict[str, int]:
    """How far each ledger has come."""
    return {name: await _ask(dsn, "height") for name, dsn in databases.ledgers.items()}


async def sizes(databases: Databases, since: Mapping[str, int], first_id: str) -> Sizes:
    """The batches of a round that began at these heights, and with this settlement id."""
    transactions = operations = 0
    for name, dsn in databases.ledgers.items():
        batches, items = await _row(dsn, "ledger_batches", since[name])
        transactions += batches
        operations += items
    commits, entries = await _row(databases.gateway, "gateway_batches", first_id)
    return Sizes(
        ledger_operations=operations / max(transactions, 1),
        journal_entries=entries / max(commits, 1),
    )


async def _ask(dsn: str, query: str) -> int:
    (value,) = await _row(dsn, query)
    return value


async def _row(dsn: str, query: str, *arguments: object) -> tuple[int, ...]:
    connection = await asyncpg.connect(dsn)
    try:
        return tuple(await connection.fetchrow(_QUERIES[query], *arguments) or ())
    finally:
        await connection.close()
