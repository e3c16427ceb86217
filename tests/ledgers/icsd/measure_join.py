"""A snapshot against a whole archive: `python -m tests.ledgers.icsd.measure_join [TRANSFERS]`.

One registry makes a history of transfers between 5,000 accounts in bundles of 500. Then its book is
taken over HTTP into two empty databases: by a snapshot, and by doing everything again. Seconds of
the clock, from the first question until the book is there and checked."""

import asyncio
import shutil
import sys
import time
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp.test_utils import TestServer

from gateway.embedded import Cluster, temporary_directory
from gateway.icsd_node.archive import RemoteArchive
from gateway.icsd_node.moments import RemotePeer
from gateway.icsd_node.remote import Remote
from gateway.icsd_node.service import build_app
from gateway.icsd_node.snapshot import RemoteSnapshot
from htlc.units import AccountId, AssetId, Quantity
from ledgers.access import token_digest
from ledgers.administration import OpenAccount
from ledgers.icsd.hosted import RegistryLedger
from ledgers.icsd.memory_log import MemoryLog
from ledgers.icsd.rebuild import rebuild
from ledgers.icsd.snapshot import join
from ledgers.icsd.start import Identity
from ledgers.icsd.store import Store, prepare
from ledgers.port import Issue, Transfer
from ledgers.postgres import open_pool
from tests.ledgers.icsd.registries import AT_ONCE, KEYS, NAMES, Registry, network, serving
from tests.ledgers.worlds import (
    ALICE,
    CENTRAL_BANK,
    EUR,
    LEDGER,
    LEDGER_OPERATOR,
    SUPERVISOR,
    ManualClock,
    World,
    furnish,
)

ACCOUNTS = 5_000
BUNDLE = 500
TOKEN = "auditor"


def holder(number: int) -> AccountId:
    return AccountId(f"alice-x{number % ACCOUNTS}")


def moved(number: int) -> Transfer:
    return Transfer(
        id=f"t{number}",
        debit=holder(number),
        credit=holder(number * 7 + 1),
        asset=AssetId(EUR),
        quantity=Quantity(1),
    )


async def history(ledger: RegistryLedger, clock: ManualClock, transfers: int) -> None:
    await furnish(World(ledger, clock))
    for start in range(0, ACCOUNTS, BUNDLE):
        part = [holder(n) for n in range(start, start + BUNDLE)]
        opened = [OpenAccount(account=each, owner=ALICE.name) for each in part]
        await ledger.administer(LEDGER_OPERATOR, opened)
        issued = [
            Issue(id=f"i-{each}", account=each, asset=EUR, quantity=Quantity(10**6))
            for each in part
        ]
        await ledger.submit(CENTRAL_BANK, issued)
    for start in range(0, transfers, BUNDLE):
        await ledger.submit(ALICE, [moved(n) for n in range(start, start + BUNDLE)])


async def timed(what: str, work: Callable[[], Awaitable[object]]) -> None:
    begun = time.monotonic()
    await work()
    print(f"{what}: {time.monotonic() - begun:.1f} s")


async def measure(cluster: Cluster, transfers: int) -> None:
    clock, names = ManualClock(), NAMES[:1]
    its = network(AT_ONCE, names)
    for name in ("given", "joined", "rebuilt"):
        await cluster.create_database(name)
    log = MemoryLog()
    giver = Registry(its, names[0], cluster.dsn("given"), log.connect, clock)
    identity = Identity(registry=names[0], key=KEYS[names[0]], clock=clock)
    async with giver.alive() as ledger, aiohttp.ClientSession() as session:
        await serving(ledger.node)
        await history(ledger, clock, transfers)
        tokens = {token_digest(TOKEN): SUPERVISOR}
        app = build_app(ledger, tokens, Store(ledger.pool), ledger.pool)
        async with (
            TestServer(app) as server,
            await open_pool(cluster.dsn("joined")) as joined,
            await open_pool(cluster.dsn("rebuilt")) as rebuilt,
        ):
            remote = Remote(session, str(server.make_url("/")), TOKEN)
            for pool in (joined, rebuilt):
                await prepare(pool, LEDGER, names[0], its.epoch)
            print(f"{transfers:,} transfers, {ledger.node.head.final} blocks")
            source, peer = RemoteSnapshot(remote), RemotePeer(remote)
            await timed("snapshot", lambda: join(its, joined, source, peer))
            await timed(
                "every block again",
                lambda: rebuild(its, identity, Store(rebuilt), RemoteArchive(remote)),
            )


async def main() -> None:
    home = temporary_directory()
    try:
        async with Cluster(home, durable=False) as cluster:
            await measure(cluster, int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(main())
