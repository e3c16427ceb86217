"""The metrics that every process of ours has, and how a process gives out all of its metrics."""

import asyncio
import platform
from collections.abc import Awaitable, Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.aiohttp import make_aiohttp_handler
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from gateway.process.health import Health
from gateway.sql import Pool
from gateway.telemetry import families, logs, metrics
from gateway.telemetry.lag import LoopLag
from gateway.telemetry.traffic import Traffic
from ledgers.ranges import Ranges

REFRESH_SECONDS: Final = 2.0
"""For what must be asked from the database at a scrape; without it, the last figures stand. A
Prometheus gives up after 10 s."""


class Source(Protocol):
    """Something that has metrics. `refresh` asks for what is not at hand; `collect` waits for
    nothing."""

    async def refresh(self) -> None: ...

    def collect(self) -> Iterator[Metric]: ...


class ProcessSource:
    """What is told of any process of ours."""

    def __init__(
        self,
        component: str,
        *,
        health: Health,
        lag: LoopLag,
        traffic: Traffic,
        pool: "Pool | None" = None,
        ranges: Ranges | None = None,
    ) -> None:
        """Without a `pool` the process has no database, and with it no history in `ranges`."""
        self._component = component
        self._health = health
        self._pool = pool
        self._ranges = ranges
        self._lag = lag
        self._traffic = traffic

    async def refresh(self) -> None:
        """Everything is at hand."""

    def collect(self) -> Iterator[Metric]:
        yield families.numbers(
            metrics.BUILD_INFO, ((self._component, _version(), platform.python_version()), 1)
        )
        conditions = self._health.conditions()
        yield families.numbers(
            metrics.READY, *(((name,), state.ok) for name, state in conditions.items())
        )
        yield families.number(metrics.DRAINING, self._health.draining)
        yield families.histogram(metrics.EVENT_LOOP_LAG, ((), self._lag.seen))
        if self._pool is not None:
            yield families.number(metrics.DATABASE_UP, conditions["database"].ok)
            yield from _pooled(self._pool)
        if self._ranges is not None:
            late = self._ranges.late.items()
            yield families.numbers(
                metrics.HISTORY_RANGE_LATE, *(((name,), is_) for name, is_ in late)
            )
        yield from self._traffic.collect()
        yield families.numbers(
            metrics.LOG_RECORDS, *(((level,), n) for level, n in logs.counted.items())
        )


def _pooled(pool: Pool) -> Iterator[Metric]:
    idle = pool.get_idle_size()
    yield families.numbers(
        metrics.POOL_CONNECTIONS, (("idle",), idle), (("used",), pool.get_size() - idle)
    )
    yield families.number(metrics.POOL_CONNECTIONS_MAX, pool.get_max_size())


def exposition(*sources: Source) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The handler of `/metrics`, for these sources and what the client library measures."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    for source in sources:
        registry.register(_Adapter(source))
    give_out = make_aiohttp_handler(registry)

    refreshing: asyncio.Task[None] | None = None

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal refreshing
        if refreshing is None or refreshing.done():
            refreshing = asyncio.create_task(_refresh(sources), name="metrics")
        # Not cancelled: the end of a query that is cancelled waits for a server that hangs.
        await asyncio.wait({refreshing}, timeout=REFRESH_SECONDS)
        return await give_out(request)

    return handle


async def _refresh(sources: Sequence[Source]) -> None:
    for source in sources:
        await source.refresh()


class _Adapter(Collector):
    """A source as the client library knows it."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        return self._source.collect()

    def describe(self) -> Iterator[Metric]:
        """Nothing: the table says what there is, and the parts may not be there yet."""
        return iter(())


def _version() -> str:
    try:
        return version("lockstep")
    except PackageNotFoundError:  # run from a checkout
        return "unknown"
