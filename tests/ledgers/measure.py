"""What an operation costs on the PostgreSQL ledger, in CPU microseconds: this process and the
server's. Run it: `python -m tests.ledgers.measure`. It is no test; it prints a table.

Lock and execute of 100 accounts, in batches as given, after a round that warms caches and plans.
"""

import asyncio
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from htlc.units import AccountId, Quantity
from ledgers.administration import OpenAccount
from ledgers.port import Execute, Issue, Lock, Operation
from tests import postgres
from tests.ledgers import worlds

ACCOUNTS = [AccountId(f"account-{number}") for number in range(100)]
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def server_cpu(socket_directory: str) -> float:
    """CPU seconds of the postmaster and its children, those that ended included."""
    postmaster = int(Path(socket_directory, "data", "postmaster.pid").read_text().split()[0])
    children = subprocess.run(
        ["pgrep", "-P", str(postmaster)], capture_output=True, text=True, check=True
    ).stdout.split()
    return sum(_ticks(pid) for pid in [str(postmaster), *children]) / TICKS_PER_SECOND


def _ticks(pid: str) -> int:
    fields = Path("/proc", pid, "stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(field) for field in fields[11:13])


async def furnish(world: worlds.World) -> None:
    acts = [OpenAccount(account=id, owner=worlds.ALICE.name) for id in ACCOUNTS]
    await world.hosted.administer(worlds.LEDGER_OPERATOR, acts)
    grants = [worlds.mandate(worlds.ALICE, id) for id in ACCOUNTS]
    await world.hosted.administer(worlds.ALICE, grants)
    issues = [
        Issue(id=id, account=id, asset=worlds.EUR, quantity=Quantity(10**9)) for id in ACCOUNTS
    ]
    await world.hosted.submit(worlds.CENTRAL_BANK, issues)


def workload(world: worlds.World, count: int) -> tuple[list[Operation], list[Operation]]:
    pairs = [(ACCOUNTS[n % 100], ACCOUNTS[(n * 7 + 1) % 100]) for n in range(count)]
    terms = [world.terms(payer=a, payee=b) for a, b in pairs]
    locks: list[Operation] = [Lock(terms=each) for each in terms]
    executes: list[Operation] = [Execute(id=t.id, key=worlds.EXECUTION_KEY) for t in terms]
    return locks, executes


async def run(world: worlds.World, operations: Sequence[Operation], size: int) -> None:
    for start in range(0, len(operations), size):
        answers = await world.hosted.submit(worlds.GATEWAY, operations[start : start + size])
        assert all(answer.refusal is None for answer in answers)


async def measure(world: worlds.World, socket_directory: str, size: int, count: int) -> None:
    for round_number in range(2):
        locks, executes = workload(world, count if round_number else 10 * size)
        own, server, wall = own_cpu(), server_cpu(socket_directory), time.perf_counter()
        await run(world, locks, size)
        middle = own_cpu(), server_cpu(socket_directory)
        await run(world, executes, size)
    wall = time.perf_counter() - wall
    ends = own_cpu(), server_cpu(socket_directory)
    lock = [1e6 * (middle[i] - (own, server)[i]) / count for i in (0, 1)]
    execute = [1e6 * (ends[i] - middle[i]) / count for i in (0, 1)]
    print(
        f"{size:6} {lock[0]:8.1f} {lock[1]:8.1f} {execute[0]:8.1f} {execute[1]:8.1f}"
        f" {(sum(lock) + sum(execute)) / 2:8.1f} {2 * count / wall:10.0f}"
    )


async def main(socket_directory: str) -> None:
    async with (
        postgres.database(socket_directory, "measure") as dsn,
        worlds.postgres_world(dsn) as world,
    ):
        await furnish(world)
        print("CPU us per operation: ours and PostgreSQL's for a lock, for an execute; their mean")
        print(" batch   lock    lock PG  execute  exec PG     mean   ops/s")
        for size, count in ((1, 2_000), (20, 10_000), (200, 40_000), (2_000, 40_000)):
            await measure(world, socket_directory, size, count)


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "--durable":
        postgres.SETTINGS = tuple(s for s in postgres.SETTINGS if s != "fsync=off")
    with postgres.server() as running:
        asyncio.run(main(running))
