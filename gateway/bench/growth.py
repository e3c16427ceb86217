"""A system that has grown: many accounts, a long past, many open settlements, before it is measured
again. Only of a system of the bench's own: what is made here nobody could take back."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import asyncpg
import msgspec

from gateway.bench.census import MIB
from gateway.bench.history import QUERIES, Written, multiply
from gateway.bench.opening import open_settlements
from gateway.bench.plan import Case, Flow, Order, Shape, Site
from gateway.bench.population import populate
from gateway.bench.rounds import Meter
from gateway.bench.sizes import heights
from gateway.bench.system import GATEWAY, BenchError, System
from gateway.http import notation
from gateway.ids import new_id

ORIGINALS: Final = 500
"""Settlements that are copied: of DvPs half sent as JSON, half as ISO 20022, in bulks."""

IN_FLIGHT: Final = 100

PER: Final = 100_000
"""Open settlements that memory is told for."""

SETTLE_SECONDS: Final = 1.0
"""For a gateway to have dropped what it held of the last request before it is weighed."""

Say = Callable[[str], None]


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """How large a system is to be. Accounts are meant of each ledger."""

    settled: int = 0
    accounts: int = 0
    open: int = 0


class Grown(msgspec.Struct, frozen=True, kw_only=True):
    """What was made, and what the open settlements take of the gateway's memory."""

    wanted: Growth
    settled: int  # rounded up to whole copies
    seconds: float
    mib_per_100k_open: float | None


async def grow(system: System, site: Site, meter: Meter, wanted: Growth, say: Say) -> Grown:
    """Make it so large. Raises BenchError."""
    began = time.monotonic()
    if wanted.accounts:
        say(f"opening {wanted.accounts:,} accounts on each ledger")
        await _populate(system, wanted.accounts)
    settled = 0
    if wanted.settled:
        say(f"writing {wanted.settled:,} settlements that are over")
        settled = await _settle(system, site, meter, wanted.settled)
    await _vacuum(system)
    memory = None
    if wanted.open:
        say(f"opening {wanted.open:,} settlements")
        memory = await _open(meter, site, wanted.open)
    return Grown(
        wanted=wanted,
        settled=settled,
        seconds=time.monotonic() - began,
        mib_per_100k_open=memory,
    )


async def cursors(system: System) -> dict[str, str]:
    """The end of each mailbox. A past that was copied filled them: nobody reads a million messages
    before the first that counts."""
    connection = await asyncpg.connect(system.databases.gateway)
    try:
        heads = await connection.fetch(QUERIES["mailbox_heads"])
    finally:
        await connection.close()
    return {row["member"]: notation.cursor(row["last"]) for row in heads}


async def _populate(system: System, accounts: int) -> None:
    seals = system.seals()

    async def one(name: str, dsn: str) -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await populate(connection, seals[name], accounts)
        finally:
            await connection.close()

    await asyncio.gather(*(one(*item) for item in system.databases.ledgers.items()))


async def _settle(system: System, site: Site, meter: Meter, wanted: int) -> int:
    """Settle some really, and copy them until there are as many as wanted."""
    since, before = new_id(), await heights(system.databases)
    flows: list[Flow] = []
    settled = 0
    both = (Case.JSON_BULK, Case.ISO_BATCH)
    cases = both if site.shape is Shape.DVP else both[:1]
    for case in cases:
        order = Order(case=case, in_flight=IN_FLIGHT, settlements=ORIGINALS // len(cases))
        _, outcome = await meter.round(order)
        if outcome.faults or outcome.settled != outcome.sent:
            raise BenchError(f"what is to be copied did not settle: {outcome.faults}")
        settled += outcome.settled
        flows += outcome.flows
    times = max(0, -(-(wanted - settled) // settled))
    await multiply(
        system, Written(since=since, heights=before, settled=settled, flows=tuple(flows)), times
    )
    return settled * (1 + times)


async def _vacuum(system: System) -> None:
    """As autovacuum and the checkpointer would have done long before."""
    for dsn in system.databases.all:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute("VACUUM (ANALYZE)")
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()


async def _open(meter: Meter, site: Site, count: int) -> float:
    """MiB of the gateway's memory per 100,000 settlements that are open."""
    before = await _gateway_mib(meter)
    await open_settlements(site, count)
    await asyncio.sleep(SETTLE_SECONDS)
    return (await _gateway_mib(meter) - before) / count * PER


async def _gateway_mib(meter: Meter) -> float:
    census = await meter.census()
    return sum(
        use.memory_bytes / MIB
        for name, use in census.processes.items()
        if name.startswith(f"{GATEWAY}/")
    )
