"""The bare limit: one stored procedure that does a whole DvP in one database (`database.sql`).

It is what anybody measures first, and so the yardstick: a gateway over three databases and two
ledgers is shown beside it, measured in the same run on the same machine.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import asyncpg

from gateway.bench.plan import Order, Outcome, Site
from gateway.bench.trade import Trade
from gateway.bench.trades import Dealer, Tally
from gateway.ids import new_id
from gateway.sql import Pool

CONNECTIONS: Final = 8
"""As pgbench is usually run on a few cores: enough to share commits, too few to queue for locks."""

SCHEMA: Final = Path(__file__).with_name("database.sql")

OPENING: Final = 10**15
"""Of every balance: the bench moves a thousand units at most with each trade."""

KEY: Final = bytes(32)
"""A preimage is 32 bytes; the procedure hashes it as a ledger does."""

_CALL: Final = "SELECT settle_dvp($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"


async def prepare(dsn: str, site: Site) -> None:
    """Make the schema and the balances of every lane."""
    lanes = [lane for group in (*site.groups, site.hot) for lane in group]
    rows = {
        (holder.accounts[asset.ledger], asset.code)
        for lane in lanes
        for holder in lane.parties
        for asset in lane.assets
    }
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(SCHEMA.read_text())
        await connection.executemany(
            "INSERT INTO balances VALUES ($1, $2, $3, 0)",
            [(account, asset, OPENING) for account, asset in sorted(rows)],
        )
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


async def conserved(dsn: str) -> list[str]:
    """What does not add up: per asset, the balances must be what was opened with."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("SELECT asset, accounts, total, locked FROM sums")
    finally:
        await connection.close()
    return [
        f"database: {row['total']} of {row['asset']}, {row['locked']} of it locked"
        for row in rows
        if row["total"] != row["accounts"] * OPENING or row["locked"]
    ]


class DatabaseLoad:
    """One order carried out by calls of the procedure, each its own transaction."""

    def __init__(self, site: Site, order: Order, dealer: Dealer) -> None:
        assert site.database is not None, "the bench prepares it before it orders this"
        self._dsn = site.database
        self._order = order
        self._dealer = dealer
        self._tally = Tally(site, case=order.case)
        self._until = 0.0

    async def run(self, prepared: Callable[[], None], go: Callable[[], Awaitable[Any]]) -> Outcome:
        async with asyncpg.create_pool(
            self._dsn, min_size=CONNECTIONS, max_size=CONNECTIONS
        ) as pool:
            prepared()
            await go()
            started = time.perf_counter()
            self._until = started + (self._order.seconds or float("inf"))
            first_id = new_id()
            slots = min(self._order.in_flight, CONNECTIONS)
            await asyncio.gather(*(self._slot(pool) for _ in range(slots)))
        return self._tally.outcome(started, first_id)

    async def _slot(self, pool: Pool) -> None:
        most = self._order.settlements or float("inf")
        async with pool.acquire() as connection:
            call = await connection.prepare(_CALL)
            while time.perf_counter() < self._until and self._tally.sent < most:
                unit = self._dealer.unit()
                self._tally.expect(unit)
                await call.fetchval(*_arguments(unit.trades[0]))
                self._tally.final(unit, unit.trades[0])


def _arguments(trade: Trade) -> tuple[object, ...]:
    moved = [
        (
            transfer.asset.code,
            transfer.quantity,
            transfer.payer.accounts[transfer.asset.ledger],
            transfer.payee.accounts[transfer.asset.ledger],
        )
        for transfer in trade.transfers
    ]
    return (trade.id, new_id(), new_id(), *moved[0], *moved[1], KEY)
