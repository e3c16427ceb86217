"""A real Prometheus watches a real system: quiet while all is well, and the right alerts for what
is broken on purpose. Needs Debian's `prometheus`."""

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from gateway.config import read
from gateway.machine import world as worlds
from gateway.machine.processes import descendants
from gateway.process.ledger import LedgerProcess
from tests.k8s.prometheus import prometheus
from tests.system.load import EURO, REGISTRY, Load
from tests.system.machine import Machine, machine

pytestmark = [pytest.mark.debian, pytest.mark.timeout(900)]


STEPPED = """
import sys, time
from pathlib import Path

if any(word.endswith("/euro.toml") for word in sys.argv):
    offset, real = Path(__file__).with_name("offset"), time.time_ns
    time.time_ns = lambda: real() + int(offset.read_text())
"""
"""`sitecustomize`, which Python runs at the start of each process: the clock of one ledger goes as
the file says. (No process of Linux has a wall clock of its own to step.)"""


def database_of(running: Machine, service: str) -> list[int]:
    """The processes of a service's database server."""
    ours = f"/postgres/{service}/data"
    servers = [
        pid
        for pid in descendants(running.process.pid)
        if ours in (Path(f"/proc/{pid}/cmdline").read_text())
    ]
    return [pid for server in servers for pid in (server, *descendants(server))]


async def test_what_is_broken_fires_and_what_is_mended_falls_silent(
    data: Path, tmp_path: Path
) -> None:
    world = worlds.load(worlds.find("dvp"))
    async with (
        machine(data) as running,
        aiohttp.ClientSession() as session,
        prometheus(running, tmp_path, session) as watching,
    ):
        load = Load(running, world, session, 11)
        for _ in range(20):
            await load.swap()
        await load.settled()
        await asyncio.sleep(8)
        await watching.quiet(within=120)

        ledger = running.pid_of(REGISTRY)
        assert ledger is not None
        os.kill(ledger, signal.SIGSTOP)
        try:
            for _ in range(5):
                await load.swap()
            await watching.until(
                ("LockstepLedgerUnreachable", REGISTRY), ("LockstepTargetDown", "ledger")
            )
            assert ("LockstepLedgerUnreachable", EURO) not in await watching.firing()
        finally:
            os.kill(ledger, signal.SIGCONT)
        await load.settled()
        await watching.quiet()

        gateway = running.pid_of("gateway")
        assert gateway is not None
        os.kill(gateway, signal.SIGSTOP)
        try:
            await watching.until(("LockstepGatewayDown", ""))
        finally:
            os.kill(gateway, signal.SIGCONT)
        await watching.quiet()

        stopped = database_of(running, "gateway")
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            late = asyncio.create_task(load.swap())
            await watching.until(("LockstepDatabaseDown", "gateway"), within=120)
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        await late
        await load.settled()
        # (What members were told meanwhile stays in the hour's error budget.)
        await watching.over(("LockstepDatabaseDown", "gateway"))


async def test_a_ledger_whose_clock_is_stepped_is_told_of_and_nothing_is_lost(
    data: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(STEPPED)
    offset = tmp_path / "offset"
    offset.write_text("0")
    world = worlds.load(worlds.find("dvp"))
    async with (
        machine(data, PYTHONPATH=str(tmp_path)) as running,
        aiohttp.ClientSession() as session,
        prometheus(running, tmp_path, session) as watching,
    ):
        load = Load(running, world, session, 12)
        traffic = asyncio.create_task(trade(load))
        try:
            offset.write_text(str(20 * 10**9))
            await watching.until(("LockstepLedgerClockSkew", EURO))
            assert ("LockstepLedgerClockSkew", REGISTRY) not in await watching.firing()
            offset.write_text("0")  # ledger time does not go back: it is held
            await watching.until(("LockstepLedgerClockHeld", EURO))
            both = ("LockstepLedgerClockHeld", EURO), ("LockstepLedgerClockSkew", EURO)
            await watching.over(*both, within=120)
        finally:
            traffic.cancel()
            await asyncio.wait({traffic})
        await load.settled()


async def trade(load: Load) -> None:
    """A trade a second until cancelled: a clock is read in answers."""
    while True:
        await load.swap()
        await asyncio.sleep(1)


BALANCE = """
UPDATE balances SET available = available + 1 WHERE (account, asset) =
    (SELECT account, asset FROM balances WHERE available > 0 LIMIT 1)
"""
BLOCK = """
UPDATE postings SET leaf = convert_to(replace(convert_from(leaf, 'UTF8'),
                                              '"quantity":"', '"quantity":"1'), 'UTF8')
WHERE (height, position) = (SELECT height, position FROM postings
                            ORDER BY height DESC, position DESC LIMIT 1)
"""


@pytest.mark.parametrize("tampering", [BALANCE, BLOCK], ids=["balance", "block"])
async def test_what_is_tampered_with_is_a_break_that_is_told_of_until_it_is_repaired(
    data: Path, tmp_path: Path, tampering: str
) -> None:
    world = worlds.load(worlds.find("dvp"))
    async with (
        machine(data) as running,
        aiohttp.ClientSession() as session,
        prometheus(running, tmp_path, session) as watching,
    ):
        load = Load(running, world, session, 13)
        headers = {"Authorization": f"Bearer {running.operator('gateway')}"}

        async def reconcile(**how: bool) -> None:
            url = f"{running.url}/v1/reconciliation"
            async with session.post(url, headers=headers, json=how or None) as answer:
                assert answer.status == 200, await answer.text()

        await reconcile()
        for _ in range(5):
            await load.swap()
        await load.settled()
        await watching.quiet()
        table = tampering.split()[1]
        connection = await asyncpg.connect(read(data / "services" / "euro.toml", LedgerProcess).dsn)
        try:
            await connection.execute(f"CREATE TEMP TABLE kept AS TABLE {table}")
            assert await connection.execute(tampering) == "UPDATE 1"
            await reconcile()
            await watching.until(("LockstepReconciliationBreak", EURO))
            async with connection.transaction():
                await connection.execute(f"DELETE FROM {table}")
                await connection.execute(f"INSERT INTO {table} TABLE kept")
            await reconcile(afresh=True)
            await watching.over(("LockstepReconciliationBreak", EURO))
        finally:
            await connection.close()
