"""A whole bench: a system, every case warmed up, rounds in turn, and the books at the end.

The rounds of all cases take turns, so that whatever else the machine does meets all of them alike.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import msgspec

from gateway.bench import database, facts, profiles, throwaway
from gateway.bench.census import Holdings
from gateway.bench.growth import Grown, Growth, cursors, grow
from gateway.bench.plan import Case, Flow, Order, Shape, Site, fates
from gateway.bench.profiles import profiling
from gateway.bench.report import Figures, Parameters, Report, figures
from gateway.bench.rounds import Meter, Round, load_generator
from gateway.bench.soak import Soak, Watcher, judged
from gateway.bench.system import BenchError, System, postmaster
from gateway.embedded import Cluster, temporary_directory
from gateway.machine import processes as cpu
from gateway.machine.up import Options, running

WARM_UP_SECONDS: Final = 2.0
"""Of each case, not counted: caches of statements and schemas fill within the first second."""

Say = Callable[[str], None]

Key = tuple[Case, int]
"""A row of the report: the case, and how many trades are in flight."""

Rounds = dict[Key, list[Round]]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller asks for."""

    cases: tuple[Case, ...]
    in_flight: tuple[int, ...]
    rounds: int
    seconds: float | None
    settlements: int | None
    hot_share: float
    protocol: str | None
    shape: Shape
    fault_rate: float
    target: Path | None  # the data directory of a running `lockstep up`
    against_database: bool
    profile: Path | None = None  # where profiles go
    rate: float | None = None  # settlements per second at most
    soak: bool = False  # look at what grows, during the one round of the one case
    growth: Growth | None = None  # measured again when the system is as large as this

    @property
    def keys(self) -> tuple[Key, ...]:
        """Every row that is to be measured."""
        keys = [(case, in_flight) for case in self.cases for in_flight in self.in_flight]
        yardstick = [(Case.DATABASE, database.CONNECTIONS)] if self.against_database else []
        return (*keys, *yardstick)

    def order(self, key: Key) -> Order:
        case, in_flight = key
        return Order(
            case=case,
            in_flight=in_flight,
            seconds=self.seconds,
            settlements=self.settlements,
            hot_share=self.hot_share,
            fault_rate=self.fault_rate,
            protocol=self.protocol,
            rate=self.rate,
        )

    @property
    def parameters(self) -> Parameters:
        return Parameters(
            rounds=self.rounds,
            seconds=self.seconds,
            settlements=self.settlements,
            hot_share=self.hot_share,
            protocol=self.protocol,
            rate=self.rate,
            shape=self.shape,
            fault_rate=self.fault_rate,
            target=None if self.target is None else str(self.target),
        )


async def run(wanted: Wanted, say: Say) -> Report:
    """The report of a bench. Raises BenchError and what `gateway.machine.up` raises."""
    if not cpu.PROC.joinpath("stat").exists():
        raise BenchError("CPU time is read from /proc: run the bench on Linux")
    if wanted.profile is not None:
        profiles.prepare(wanted.profile)
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(_system(wanted, say))
        dsn = await stack.enter_async_context(_yardstick(wanted.against_database, say))
        site = await system.site(wanted.shape, dsn)
        _check(wanted, site)
        if dsn is not None:
            await database.prepare(dsn, site)
        bench = _Bench(wanted, system, site, say)
        await bench.measure()
        return await bench.report()


class _Bench:
    """The rounds of a run, as they are collected."""

    def __init__(self, wanted: Wanted, system: System, site: Site, say: Say) -> None:
        self._wanted = wanted
        self._system = system
        self._site = site
        self._say = say
        self._rounds: Rounds = {}
        self._empty: Rounds = {}
        self._grown: Grown | None = None
        self._flows: list[Flow] = []
        self._faults: list[str] = []
        self._holdings: Holdings | None = None
        self._soak: Soak | None = None

    async def measure(self) -> None:
        """The system as it is; if it is to grow, then once more when it has."""
        async with load_generator(self._site) as generator:
            dsn = self._site.database
            yardstick = None if dsn is None else await postmaster(dsn)
            roots = await self._system.processes()
            meter = Meter(generator, self._system.databases, roots, yardstick)
            self._rounds = await self._measured(meter)
            if self._wanted.growth is not None:
                self._empty = self._rounds
                growth = self._wanted.growth
                self._grown = await grow(self._system, self._site, meter, growth, self._say)
                self._rounds = await self._measured(meter)
            await self._profile(meter)
        if dsn is not None:
            self._faults += await database.conserved(dsn)

    async def _measured(self, meter: Meter) -> Rounds:
        """Warm up, then every round of every case; then look at the books."""
        done: Rounds = {key: [] for key in self._wanted.keys}
        before, self._flows = await self._system.balances(), []
        self._say(f"warming up {len(done)} cases")
        ends = {} if self._grown is None else await cursors(self._system)
        for key in done:
            warm_up = msgspec.structs.replace(
                self._wanted.order(key),
                seconds=WARM_UP_SECONDS,
                settlements=None,
                fault_rate=0.0,  # to lapse takes longer than to warm up
                cursors=ends,
            )
            await self._round(meter, key, warm_up)
            ends = {}  # from now on each reader knows its own place
        held = await meter.census()
        for number in range(1, self._wanted.rounds + 1):
            self._say(f"round {number} of {self._wanted.rounds}")
            for key, rounds in done.items():
                async with self._watched(meter):
                    rounds.append(await self._round(meter, key, self._wanted.order(key)))
        self._holdings = Holdings(before=held, after=await meter.census(), settled=_settled(done))
        self._faults += await self._system.faults(before, self._flows)
        return done

    @asynccontextmanager
    async def _watched(self, meter: Meter) -> AsyncIterator[None]:
        """Look at what grows meanwhile, if that is wanted."""
        if not self._wanted.soak:
            yield
            return
        watcher = Watcher(meter, self._system.ready.metrics)
        watching = asyncio.create_task(watcher.watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        self._soak = judged(watcher.samples)
        self._faults += self._soak.faults

    async def _round(self, meter: Meter, key: Key, order: Order) -> Round:
        alone = order.case is Case.DATABASE
        try:
            measured, outcome = await meter.round(order, alone=alone)
        except LookupError as error:
            raise BenchError(f"a process died under load: {error}") from None
        case, in_flight = key
        place = f"{case} at {in_flight} in flight"
        if not alone:
            self._flows += outcome.flows
        self._faults += [f"{place}: {fault}" for fault in outcome.faults]
        if outcome.settled + outcome.failed != outcome.sent:
            self._faults.append(
                f"{place}: sent {outcome.sent}, settled {outcome.settled}, "
                f"failed as they had to {outcome.failed}"
            )
        if not outcome.settled:
            raise BenchError("; ".join(self._faults) or f"{place}: nothing was settled")
        return measured

    async def _profile(self, meter: Meter) -> None:
        """Another round of each case, looked at while it runs, if that is wanted."""
        if self._wanted.profile is None:
            return
        for key in self._rounds:
            case, in_flight = key
            if case is not Case.DATABASE:
                self._say(f"profiling {case} at {in_flight} in flight")
                async with profiling(self._wanted.profile, case, in_flight, meter.groups):
                    await self._round(meter, key, self._wanted.order(key))

    async def report(self) -> Report:
        dsns = self._system.databases.all
        return Report(
            measured_at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            version=_version(),
            machine=await facts.gather(dsns),
            parameters=self._wanted.parameters,
            figures=tuple(_figures(self._wanted.shape, self._rounds)),
            empty=tuple(_figures(self._wanted.shape, self._empty)),
            grown=self._grown,
            soak=self._soak,
            holdings=self._holdings,
            faults=tuple(self._faults),
        )


def _settled(rounds: Rounds) -> int:
    """By the gateway."""
    return sum(
        round.settled
        for (case, _), done in rounds.items()
        for round in done
        if case is not Case.DATABASE
    )


def _version() -> str:
    try:
        return version("lockstep")
    except PackageNotFoundError:
        return "not installed"  # run from a checkout


def _figures(shape: Shape, rounds: Rounds) -> Sequence[Figures]:
    legs = len(shape.legs)
    return [figures(case, in_flight, done, legs) for (case, in_flight), done in rounds.items()]


def _check(wanted: Wanted, site: Site) -> None:
    """BenchError for an order that the site cannot carry out."""
    for key in wanted.keys:
        order = wanted.order(key)
        if order.fault_rate and order.case is not Case.DATABASE and not fates(order, site):
            raise BenchError(
                "no trade of this protocol can be made to fail in time: it takes a member that has "
                "given no power of attorney, with an account on every ledger"
            )


@asynccontextmanager
async def _system(wanted: Wanted, say: Say) -> AsyncIterator[System]:
    """The running one, or one of our own that is gone afterwards."""
    if wanted.target is not None:
        yield System(wanted.target)
        return
    data = temporary_directory()
    try:
        world = throwaway.write(data / "bench.toml", wanted.shape)
        async with running(Options(data=data, world=str(world)), say):
            yield System(data)
    finally:
        shutil.rmtree(data, ignore_errors=True)


@asynccontextmanager
async def _yardstick(wanted: bool, say: Say) -> AsyncIterator[str | None]:
    """A database of its own for the stored procedure, if it is wanted."""
    if not wanted:
        yield None
        return
    say("starting the single database to compare with")
    data = temporary_directory()
    try:
        async with Cluster(data) as cluster:
            await cluster.create_database("bench")
            yield cluster.dsn("bench")
    finally:
        shutil.rmtree(data, ignore_errors=True)
