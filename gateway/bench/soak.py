"""Whether anything grows that must not: a system under even load, looked at every few seconds.

Tables that keep what was settled grow with every settlement; that is told in bytes for each. All
else has to come to rest: private memory and open files of each process, queues, rows that wait for
a vacuum, tables that hold what *is* and not what was. The end is compared with the second quarter:
what fills up once, a cache or a pool, has done so by then.
"""

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import aiohttp
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from gateway.bench.census import MIB, Census
from gateway.bench.rounds import Meter
from gateway.bench.system import LOAD, POSTGRESQL

SAMPLE_SECONDS: Final = 10.0

QUEUES: Final = (
    "lockstep_settlements_open",
    "lockstep_intake_queue",
    "lockstep_journal_queue",
    "lockstep_journal_due",
    "lockstep_link_queue",
    "lockstep_ledger_queue",
    "lockstep_http_requests_in_flight",
)
"""Everything that work waits in, of the gateway and the ledgers."""

SETTLED: Final = "lockstep_settlements"
"""The counter of settlements that have ended (its family; the sample adds `_total`)."""

HISTORY: Final = frozenset(
    {
        *("settlement", "party", "journal", "mailbox", "inbound", "instruction", "lock_advice"),
        *("contracts", "blocks", "postings", "movements"),
    }
)
"""Tables with rows for every settlement, for good."""

MEMORY_SLACK: Final = 8 * MIB
MEMORY_SHARE: Final = 0.1
"""What private memory of a process may differ by: an allocator keeps some of what it once had."""

FILES_SLACK: Final = 8
"""A reader or two of a mailbox."""

BACKENDS_SLACK: Final = 10
"""PostgreSQL has a process for each connection, and pools open theirs when they first need them
all: the gateway's six, a ledger's four, and what it starts itself to vacuum."""

BACKEND_FILES: Final = 200
"""Of one such process: it keeps open what it has touched, at most the files of a database's some
hundred tables and indexes; one more for each GiB of a table."""

TABLE_SLACK: Final = MIB
"""A table of what is may be half as large again between two vacuums."""

DEAD_SHARE: Final = 0.5
DEAD_MIN: Final = 20_000
"""Rows of a large table that may wait for a vacuum: autovacuum begins at a fifth and takes time."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One look."""

    seconds: float  # since the first
    settled: int
    queues: dict[str, float]
    census: Census


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One thing over time, and whether it may be as large as it is in the end."""

    what: str
    start: float
    quarter: float  # median of the second quarter
    end: float  # median of the last quarter
    limit: float

    @property
    def grows(self) -> bool:
        return self.end > self.limit


class Soak(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run."""

    minutes: float
    settled: int
    series: tuple[Series, ...]
    bytes_per_settlement: dict[str, float]  # `database/table`, of tables that keep history
    samples: tuple[Sample, ...]

    @property
    def faults(self) -> list[str]:
        return [
            f"{one.what} grows: {one.quarter:,.0f} in the second quarter, {one.end:,.0f} in the "
            f"last, expected at most {one.limit:,.0f}"
            for one in self.series
            if one.grows
        ]


class Watcher:
    """Looks at a system until it is cancelled."""

    def __init__(self, meter: Meter, metrics: Mapping[str, str]) -> None:
        """`metrics`: where each process tells its own."""
        self._meter = meter
        self._metrics = metrics
        self.samples: list[Sample] = []

    async def watch(self) -> None:
        began = time.monotonic()
        async with aiohttp.ClientSession() as session:
            while True:
                queues, settled = await self._told(session)
                self.samples.append(
                    Sample(
                        seconds=time.monotonic() - began,
                        settled=settled,
                        queues=queues,
                        census=await self._meter.census(),
                    )
                )
                await asyncio.sleep(SAMPLE_SECONDS)

    async def _told(self, session: aiohttp.ClientSession) -> tuple[dict[str, float], int]:
        queues = dict.fromkeys(QUEUES, 0.0)
        settled = 0.0
        for url in self._metrics.values():
            async with session.get(f"{url}/metrics") as response:
                text = await response.text()
            for family in text_string_to_metric_families(text):
                total = sum(s.value for s in family.samples if not s.name.endswith("_created"))
                if family.name in queues:
                    queues[family.name] += total
                elif family.name == SETTLED:
                    settled += total
        return queues, int(settled)


def judged(samples: Sequence[Sample]) -> Soak:
    """What the samples show. It takes eight: two for each quarter."""
    assert len(samples) >= 8, "a soak lasts a minute and a half at least"
    first, last = samples[0], samples[-1]
    settled = max(1, last.settled - first.settled)
    return Soak(
        minutes=(last.seconds - first.seconds) / 60,
        settled=last.settled - first.settled,
        series=(*_processes(samples), *_queues(samples), *_tables(samples)),
        bytes_per_settlement={
            f"{name}/{table}": (held.bytes - first.census.stores[name].tables[table].bytes)
            / settled
            for name, store in last.census.stores.items()
            for table, held in store.tables.items()
            if table in HISTORY
        },
        samples=tuple(samples),
    )


def _series(what: str, values: Sequence[float], limit: Callable[[float], float]) -> Series:
    """`limit`: from what it was in the second quarter, what it may be in the last."""
    quarter = len(values) // 4
    settled = statistics.median(values[quarter : 2 * quarter])
    return Series(
        what=what,
        start=values[0],
        quarter=settled,
        end=statistics.median(values[-quarter:]),
        limit=limit(settled),
    )


def _processes(samples: Sequence[Sample]) -> Iterator[Series]:
    for name in samples[0].census.processes:
        if name.startswith(LOAD):
            continue  # it keeps every latency until the end
        uses = [sample.census.processes[name] for sample in samples]
        yield _series(
            f"private memory of {name}, MiB",
            [use.private_bytes / MIB for use in uses],
            lambda before: before * (1 + MEMORY_SHARE) + MEMORY_SLACK / MIB,
        )
        if name.startswith(POSTGRESQL):
            yield _series(
                f"processes of {name}",
                [use.processes for use in uses],
                lambda before: before + BACKENDS_SLACK,
            )
            yield _series(
                f"open files of a process of {name}",
                [use.files / max(1, use.processes) for use in uses],
                partial(_always, BACKEND_FILES),
            )
        else:
            yield _series(
                f"open files of {name}",
                [use.files for use in uses],
                lambda before: before + FILES_SLACK,
            )


def _queues(samples: Sequence[Sample]) -> Iterator[Series]:
    """A queue may be as long as it ever was in the first half, and half as long again."""
    for name in QUEUES:
        lengths = [sample.queues[name] for sample in samples]
        most = 1.5 * max(lengths[: len(lengths) // 2]) + 1
        yield _series(_plain(name), lengths, partial(_always, most))


def _tables(samples: Sequence[Sample]) -> Iterator[Series]:
    for name, store in samples[-1].census.stores.items():
        for table, held in store.tables.items():
            past = [sample.census.stores[name].tables[table] for sample in samples]
            if table not in HISTORY:
                yield _series(
                    f"table {name}/{table}, bytes",
                    [one.bytes for one in past],
                    lambda before: 1.5 * before + TABLE_SLACK,
                )
            most = max(DEAD_MIN, DEAD_SHARE * (held.live + held.dead))
            yield _series(
                f"dead rows of {name}/{table}",
                [one.dead for one in past],
                partial(_always, most),
            )


def _always(limit: float, _before: float) -> float:
    return limit


def _plain(metric: str) -> str:
    return metric.removeprefix("lockstep_").replace("_", " ")


COLUMNS: Final = ("what", "start", "second quarter", "last quarter", "at most", "")


def rows(soak: Soak) -> list[tuple[str, ...]]:
    """The lines of a table; of tables only those with anything in them."""
    return [
        (
            one.what,
            *(f"{value:,.1f}" for value in (one.start, one.quarter, one.end, one.limit)),
            "GROWS" if one.grows else "",
        )
        for one in soak.series
        if one.grows or not _is_dull(one)
    ]


def _is_dull(one: Series) -> bool:
    """A table that hardly changes."""
    about_rows = one.what.startswith(("table", "dead rows"))
    return about_rows and one.end < 1.1 * one.start + 1000


def summary(soak: Soak) -> list[str]:
    grows = [f"{name} {size:,.0f}" for name, size in soak.bytes_per_settlement.items() if size >= 1]
    return [
        f"soak: {soak.minutes:.1f} minutes, {soak.settled:,} settled, {len(soak.samples)} samples: "
        + ("something grows" if soak.faults else "nothing grows but history"),
        f"history, bytes per settlement with indexes: {', '.join(grows)}",
    ]
