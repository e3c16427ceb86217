"""One round measured: the load generator told to go, and the CPU time of everybody meanwhile."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from gateway.bench.census import Census, take
from gateway.bench.plan import Order, Outcome, Site
from gateway.bench.sizes import Sizes, heights, sizes
from gateway.bench.stores import active_seconds
from gateway.bench.system import LOAD, POSTGRESQL, BenchError, Databases
from gateway.machine import processes as cpu

LINE_BYTES_MAX: Final = 2**28
"""The latencies of a round in one line: 20 bytes each, some hundred thousand trades."""

STOP_SECONDS: Final = 10.0


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What one round measured."""

    settled: int
    failed: int  # that had to
    resent: int = 0  # requests that the gateway had no room for at first
    seconds: float
    latencies: tuple[float, ...]  # seconds
    cpu: dict[str, float]  # seconds, by `group/process`
    others_cores: float  # mean number of cores that everything else on the machine kept busy
    sizes: Sizes | None  # None without a gateway
    database_seconds: float = 0.0  # in which statements were executed, waiting included


class LoadGenerator:
    """The load generator's process, as the bench sees it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def write(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + b"\n")
        await self._process.stdin.drain()

    async def read(self) -> bytes:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise BenchError("the load generator has died; what it said last stands above")
        return line


@asynccontextmanager
async def load_generator(site: Site) -> AsyncIterator[LoadGenerator]:
    """A load generator that knows its site."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.bench.load"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES_MAX,
    )
    assert process.stdin is not None
    try:
        generator = LoadGenerator(process)
        await generator.write(msgspec.json.encode(site))
        await generator.read()
        yield generator
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


class Meter:
    """Measures rounds of one system."""

    def __init__(
        self,
        generator: LoadGenerator,
        databases: Databases,
        system: Mapping[str, tuple[int, ...]],
        yardstick: int | None,
    ) -> None:
        """`system` are the root processes by `group/process`, `yardstick` is the postmaster of the
        single database that is measured beside it."""
        self._generator = generator
        self._databases = databases
        own = {f"{LOAD}/client": (generator.pid,)}
        self._groups = dict(system) | own
        self._yardstick = (
            {f"{POSTGRESQL}/single": (yardstick,)} | own if yardstick is not None else own
        )

    @property
    def groups(self) -> dict[str, tuple[int, ...]]:
        """The root processes of the system and of the load generator."""
        return self._groups

    async def census(self) -> Census:
        """What the system holds now."""
        return await take(self._groups, self._databases)

    async def round(self, order: Order, *, alone: bool = False) -> tuple[Round, Outcome]:
        """Run one order; `alone` for one that the system has no part in."""
        since = {} if alone else await heights(self._databases)
        groups = self._yardstick if alone else self._groups
        stores = {} if alone else self._databases.by_name
        await self._generator.write(msgspec.json.encode(order))
        await self._generator.read()  # it has prepared
        executed = await active_seconds(stores)
        before, busy = cpu.used(groups), cpu.busy()
        began = asyncio.get_running_loop().time()
        await self._generator.write(b"go")
        line = await self._generator.read()
        elapsed = asyncio.get_running_loop().time() - began
        after, busier = cpu.used(groups), cpu.busy()
        outcome = msgspec.json.decode(line, type=Outcome)
        spent = {name: after[name] - before[name] for name in groups}
        others = max(0.0, busier - busy - sum(spent.values())) / elapsed
        measured = Round(
            settled=outcome.settled,
            failed=outcome.failed,
            resent=outcome.resent,
            seconds=outcome.seconds,
            latencies=outcome.latencies,
            cpu=spent,
            others_cores=others,
            sizes=None if alone else await sizes(self._databases, since, outcome.first_id),
            database_seconds=await active_seconds(stores) - executed,
        )
        return measured, outcome
