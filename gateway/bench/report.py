"""What a bench has found, as it is kept (JSON) and shown (tables)."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from gateway.bench.census import Holdings
from gateway.bench.facts import Facts
from gateway.bench.growth import Grown
from gateway.bench.plan import Case, Shape, Watch, watch
from gateway.bench.rounds import Round
from gateway.bench.soak import Soak
from gateway.bench.statistics import Spread, percentile
from gateway.bench.system import GROUPS, LOAD

MICROSECONDS: Final = 1e6
MILLISECONDS: Final = 1e3


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One case at one number in flight. Every list has a value for each round, in their order."""

    case: Case
    in_flight: int
    watch: Watch | None  # None: the call itself returns when the trade is final
    legs: int = 2  # of a settlement
    settled: int
    failed: int = 0  # that had to
    resent: int = 0  # requests that the gateway had no room for at first
    settlements_per_second: tuple[float, ...]
    cpu_us_per_settlement: tuple[float, ...]  # all groups but the load generator
    cpu_us_per_leg: tuple[float, ...] = ()
    cpu_us_by_group: dict[str, tuple[float, ...]]  # the load generator's among them
    cpu_us_by_process: dict[str, tuple[float, ...]]  # `group/process`, each PostgreSQL server apart
    latency_p50_ms: float  # over the trades of all rounds
    latency_p99_ms: float
    others_cores: tuple[float, ...]
    ledger_operations_per_transaction: float | None
    journal_entries_per_transaction: float | None
    database_us_per_settlement: tuple[float, ...] = ()


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """How it was measured."""

    rounds: int
    seconds: float | None
    settlements: int | None
    hot_share: float
    protocol: str | None
    rate: float | None = None
    shape: Shape = Shape.DVP
    fault_rate: float = 0.0
    target: str | None  # the data directory; None is a system of the bench's own


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run. `faults` is empty for one that may be believed."""

    measured_at: str
    version: str
    machine: Facts
    parameters: Parameters
    figures: tuple[Figures, ...]
    empty: tuple[Figures, ...] = ()  # of the system before it has grown
    grown: Grown | None = None
    soak: Soak | None = None
    holdings: Holdings | None = None  # in reports of earlier versions
    faults: tuple[str, ...]


def figures(case: Case, in_flight: int, rounds: Sequence[Round], legs: int = 2) -> Figures:
    """The rounds of one case as figures."""
    latencies = [latency for round in rounds for latency in round.latencies]
    by_process = {
        name: tuple(round.cpu[name] / round.settled * MICROSECONDS for round in rounds)
        for name in rounds[0].cpu
    }
    by_group = _by_group(by_process)
    system = [values for name, values in by_group.items() if name != LOAD]
    sizes = [round.sizes for round in rounds if round.sizes is not None]
    return Figures(
        case=case,
        in_flight=in_flight,
        watch=None if case is Case.DATABASE else watch(in_flight),
        legs=legs,
        settled=sum(round.settled for round in rounds),
        failed=sum(round.failed for round in rounds),
        resent=sum(round.resent for round in rounds),
        settlements_per_second=tuple(round.settled / round.seconds for round in rounds),
        cpu_us_per_settlement=tuple(map(sum, zip(*system, strict=True))),
        cpu_us_per_leg=tuple(total / legs for total in map(sum, zip(*system, strict=True))),
        cpu_us_by_group=by_group,
        cpu_us_by_process=by_process,
        latency_p50_ms=percentile(latencies, 0.50) * MILLISECONDS,
        latency_p99_ms=percentile(latencies, 0.99) * MILLISECONDS,
        others_cores=tuple(round.others_cores for round in rounds),
        database_us_per_settlement=tuple(
            round.database_seconds / round.settled * MICROSECONDS for round in rounds
        ),
        ledger_operations_per_transaction=_mean(size.ledger_operations for size in sizes),
        journal_entries_per_transaction=_mean(size.journal_entries for size in sizes),
    )


def _by_group(by_process: dict[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
    """The sums of each group, round by round."""
    members: dict[str, list[tuple[float, ...]]] = {}
    for name, values in by_process.items():
        members.setdefault(name.partition("/")[0], []).append(values)
    return {group: tuple(map(sum, zip(*found, strict=True))) for group, found in members.items()}


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None


COLUMNS: Final = (
    "case",
    "in flight",
    "settlements/s\nmedian (min-max)",
    "CPU us per settlement\nmedian (min-max)",
    "per leg",
    *(f"{group}\nCPU us" for group in GROUPS),
    "load generator\nCPU us (extra)",
    "p50 ms",
    "p99 ms",
    "final state\nseen by",
    "ledger ops\nper transaction",
    "journal entries\nper transaction",
    "database\nus",
    "other load\ncores",
)


def row(found: Figures) -> tuple[str, ...]:
    """The line of a table; medians, with the range of the rounds where there is room for it."""
    groups = [found.cpu_us_by_group.get(group) for group in (*GROUPS, LOAD)]
    return (
        found.case,
        str(found.in_flight),
        _ranged(found.settlements_per_second),
        _ranged(found.cpu_us_per_settlement),
        f"{Spread.of(found.cpu_us_per_leg).median:.0f}",
        *("-" if values is None else f"{Spread.of(values).median:.0f}" for values in groups),
        f"{found.latency_p50_ms:.1f}",
        f"{found.latency_p99_ms:.1f}",
        found.watch or "return",
        _optional(found.ledger_operations_per_transaction),
        _optional(found.journal_entries_per_transaction),
        f"{Spread.of(found.database_us_per_settlement).median:.0f}",
        f"{Spread.of(found.others_cores).median:.1f}",
    )


def _ranged(values: Sequence[float]) -> str:
    spread = Spread.of(values)
    return f"{spread.median:,.0f} ({spread.low:,.0f}-{spread.high:,.0f})"


def _optional(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def resent(report: Report) -> list[str]:
    """Where the gateway was too busy at times; nothing where it was not."""
    return [
        f"{found.case} at {found.in_flight} in flight: {found.resent:,} requests were sent again, "
        "as the gateway asked while it was busy"
        for found in report.figures
        if found.resent
    ]


def failed(report: Report) -> list[str]:
    """What was made to fail, and did; nothing where nothing was."""
    return [
        f"{found.case} at {found.in_flight} in flight: {found.failed:,} trades failed as they had "
        f"to, beside {found.settled:,} that settled"
        for found in report.figures
        if found.failed
    ]


def grown(report: Report) -> list[str]:
    """What a system that has grown costs more than it did when it was empty."""
    if report.grown is None:
        return []
    made, wanted = report.grown, report.grown.wanted
    lines = [
        f"grown in {made.seconds:.0f} s: {made.settled:,} settled, {wanted.accounts:,} accounts "
        f"on each ledger, {wanted.open:,} open"
    ]
    if made.mib_per_100k_open is not None:
        lines.append(f"{made.mib_per_100k_open:.0f} MiB of the gateway per 100,000 open")
    for before, after in zip(report.empty, report.figures, strict=True):
        old, new = _medians(before)[0], _medians(after)[0]
        lines.append(
            f"{after.case} at {after.in_flight} in flight: CPU {old:.0f} us empty, {new:.0f} us "
            f"grown: {new / old:.2f} times"
        )
    return lines


def ratios(report: Report) -> list[str]:
    """Each case against the single database of the same run, in CPU time and in rate."""
    yardsticks = [found for found in report.figures if found.case is Case.DATABASE]
    if not yardsticks:
        return []
    (yardstick,) = yardsticks
    bare, rate = _medians(yardstick)
    lines = []
    for found in report.figures:
        if found is not yardstick:
            cpu, per_second = _medians(found)
            lines.append(
                f"{found.case} at {found.in_flight} in flight: {cpu / bare:.2f} times the CPU time "
                f"of the single database, {per_second / rate:.2f} times its settlements per second"
            )
    return lines


def _medians(found: Figures) -> tuple[float, float]:
    return (
        Spread.of(found.cpu_us_per_settlement).median,
        Spread.of(found.settlements_per_second).median,
    )


def _workload(parameters: Parameters) -> str:
    """What was settled, in a line."""
    protocol = parameters.protocol or "the strongest protocol that the ledgers can serve"
    shape = f"{parameters.shape}, {len(parameters.shape.legs)} legs, {protocol}"
    shares = f"{parameters.hot_share:.0%} on one hot cash account"
    rate = "" if parameters.rate is None else f"; at most {parameters.rate:g} a second"
    return f"{shape}; {shares}; {parameters.fault_rate:.0%} made to fail{rate}"


def machine_lines(report: Report) -> list[str]:
    """The facts of the machine, for people."""
    facts = report.machine
    lines = [
        _workload(report.parameters),
        f"{facts.cores} cores of {facts.cpu}, {facts.memory_gib} GiB, {facts.kernel}, "
        f"Python {facts.python} ({facts.python_build})",
    ]
    for database in facts.databases:
        lines.append(
            f"PostgreSQL {database.version}, fsync={database.fsync}, "
            f"synchronous_commit={database.synchronous_commit}, "
            f"full_page_writes={database.full_page_writes}"
        )
    return lines
