"""`lockstep bench`: what a settlement costs here, for capacity planning."""

import re
from pathlib import Path

import click
import msgspec

from gateway.bench import census, compare, report, run
from gateway.bench import soak as soaking
from gateway.bench.growth import Growth
from gateway.bench.plan import Case, Shape
from gateway.bench.report import Report
from gateway.bench.run import Wanted
from gateway.bench.system import BenchError
from gateway.cli.printing import print_table
from gateway.cli.terminal import Failure, failing, run_async, say
from gateway.client import GatewayUnreachableError, ProblemError
from gateway.embedded import EmbeddedError
from gateway.machine.up import FAULTS
from htlc.swap import LockProtocol

CASES = tuple(case.value for case in Case if case is not Case.DATABASE)

IN_FLIGHT_MAX = 100_000
"""Half of what a gateway keeps open by default."""

OPEN_MAX = 150_000
"""Of the 200,000 that a gateway keeps open by default: room for what is in flight."""

SOAK_MINUTES_MIN = 2
"""A sample every ten seconds: three for each quarter."""

FAULT_RATE_MAX = 0.9
"""CPU time is told per settled trade: some must be."""


def _cases(
    ctx: click.Context,  # noqa: ARG001
    param: click.Parameter,  # noqa: ARG001
    value: str | None,
) -> tuple[Case, ...] | None:
    if value is None:
        return None
    names = re.split(r"[ ,]+", value.strip(" ,"))
    for name in names:
        if name not in CASES:
            raise click.BadParameter(f"{name!r} is none of {', '.join(CASES)}")
    return tuple(dict.fromkeys(map(Case, names)))


def _counts(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:  # noqa: ARG001
    counts = re.split(r"[ ,]+", value.strip(" ,"))
    for count in counts:
        if not re.fullmatch(r"[0-9]{1,6}", count) or not 1 <= int(count) <= IN_FLIGHT_MAX:
            raise click.BadParameter(f"{count!r} is no number from 1 to {IN_FLIGHT_MAX}")
    return tuple(dict.fromkeys(map(int, counts)))


_new_file = click.Path(path_type=Path, dir_okay=False, allow_dash=True)


@click.command("bench")
@click.option(
    "--cases",
    callback=_cases,
    help="What is sent, and how much at once. [default: all that can be]",
)
@click.option(
    "--in-flight",
    default="1,256",
    show_default=True,
    callback=_counts,
    help="DvPs under way at once (rounded up to whole bulks of 50).",
)
@click.option("--rounds", type=click.IntRange(1, 1000), default=5, show_default=True)
@click.option("--seconds", type=click.FloatRange(0.1, 3600), help="Of each round. [default: 5]")
@click.option("--settlements", type=click.IntRange(1), help="Of each round, instead of --seconds.")
@click.option(
    "--hot-share",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the trades that go over one cash account.",
)
@click.option(
    "--fault-rate",
    type=click.FloatRange(0, FAULT_RATE_MAX),
    default=0.0,
    show_default=True,
    help="Share of the trades that are made to fail (no cover, no consent, no counterpart).",
)
@click.option(
    "--shape",
    type=click.Choice([shape.value for shape in Shape]),
    default=Shape.DVP.value,
    show_default=True,
    help="What is settled: cross is a DvP over two currencies, ring has four members and ledgers.",
)
@click.option(
    "--protocol",
    type=click.Choice([protocol.value for protocol in LockProtocol]),
    help="Lock protocol to ask for (json cases). [default: the strongest there is]",
)
@click.option(
    "--target",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Measure the `lockstep up` that runs in this data directory; it must be otherwise idle.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Settlements per second at most. [default: as many as go]",
)
@click.option(
    "--soak",
    type=click.FloatRange(SOAK_MINUTES_MIN, 7 * 24 * 60),
    metavar="MINUTES",
    help="One long round of one case, which fails if anything grows but history.",
)
@click.option(
    "--settled",
    type=click.IntRange(1),
    help="Measure again once so many DvPs are settled: a real past, copied.",
)
@click.option(
    "--accounts",
    type=click.IntRange(1),
    help="Measure again once each ledger has so many accounts more.",
)
@click.option(
    "--open",
    "opened",
    type=click.IntRange(1, OPEN_MAX),
    help="Measure again while so many settlements are open.",
)
@click.option("--against-database", is_flag=True, help="Measure one stored procedure beside it.")
@click.option(
    "--profile",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write where the Python processes spend their time, from one more round of each case.",
)
@click.option("--json", "json_file", type=_new_file, metavar="FILE", help="Keep it; - is stdout.")
@click.option(
    "--compare",
    "earlier",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Judge it against a kept one: exit code 1 if a case costs more CPU time.",
)
@run_async
async def command(
    cases: tuple[Case, ...] | None,
    in_flight: tuple[int, ...],
    rounds: int,
    seconds: float | None,
    settlements: int | None,
    hot_share: float,
    fault_rate: float,
    shape: str,
    protocol: str | None,
    target: Path | None,
    rate: float | None,
    soak: float | None,
    settled: int | None,
    accounts: int | None,
    opened: int | None,
    against_database: bool,
    profile: Path | None,
    json_file: Path | None,
    earlier: Path | None,
) -> int:
    """Measure CPU time per settlement and leg, settlements per second and latency.

    Runs a throw-away system on this machine: two ledgers, a gateway and their databases, each a
    process group of its own, every commit on disk. The load generator is shown apart and is in no
    sum. A run that loses, doubles or refuses anything fails.
    """
    if seconds is not None and settlements is not None:
        raise click.UsageError("--seconds and --settlements exclude each other")
    traded = Shape(shape)
    if cases is None:
        agreed = protocol is not None or traded is not Shape.DVP
        cases = tuple(case for case in map(Case, CASES) if not (agreed and case.is_iso))
    _check_cases(cases, protocol, traded, against_database)
    if soak is not None:
        _check_soak(cases, in_flight, bool(seconds or settlements or against_database))
        rounds, seconds = 1, soak * 60
    wanted = Wanted(
        cases=cases,
        in_flight=in_flight,
        rounds=rounds,
        seconds=5.0 if seconds is None and settlements is None else seconds,
        settlements=settlements,
        hot_share=hot_share,
        protocol=protocol,
        shape=traded,
        fault_rate=fault_rate,
        target=target,
        against_database=against_database,
        profile=profile,
        rate=rate,
        soak=soak is not None,
        growth=_growth(settled, accounts, opened, target),
    )
    before = None if earlier is None else _read(earlier)
    with failing(*FAULTS, BenchError, EmbeddedError, GatewayUnreachableError, ProblemError):
        found = await run.run(wanted, say)
    return _told(found, before, json_file)


def _told(found: Report, before: Report | None, json_file: Path | None) -> int:
    """Keep it, show it, judge it: the exit code."""
    _keep(found, json_file)
    if str(json_file) != "-":
        _show(found)
    worse = before is not None and _judge(before, found)
    for fault in found.faults:
        say(f"FAULT: {fault}")
    return int(worse or bool(found.faults))


def _check_soak(cases: tuple[Case, ...], in_flight: tuple[int, ...], other: bool) -> None:
    """UsageError where a soak is not one round of one case; `other`: a wish that is against it."""
    if len(cases) != 1 or len(in_flight) != 1:
        raise click.UsageError("--soak is of one case: name it with --cases, and one --in-flight")
    if other:
        raise click.UsageError(
            "--soak is one round: leave out --seconds, --settlements and --against-database"
        )


def _growth(
    settled: int | None, accounts: int | None, opened: int | None, target: Path | None
) -> Growth | None:
    """What the system is to grow to, if it is."""
    if settled is None and accounts is None and opened is None:
        return None
    if target is not None:
        raise click.UsageError("--settled, --accounts and --open are for a system of the bench's")
    return Growth(settled=settled or 0, accounts=accounts or 0, open=opened or 0)


def _check_cases(
    cases: tuple[Case, ...], protocol: str | None, shape: Shape, against_database: bool
) -> None:
    """UsageError for what cannot be measured together."""
    iso = any(case.is_iso for case in cases)
    if protocol is not None and iso:
        raise click.UsageError("--protocol is for json cases: a sese.023 cannot ask for one")
    if shape is not Shape.DVP and (iso or against_database):
        raise click.UsageError(f"--shape {shape} is for json cases: the others settle a DvP")


def _read(file: Path) -> Report:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Report)
    except msgspec.DecodeError as error:
        raise Failure(f"{file} was not written by `lockstep bench --json`: {error}") from None


def _keep(found: Report, file: Path | None) -> None:
    if file is None:
        return
    content = msgspec.json.format(msgspec.json.encode(found), indent=2)
    if str(file) == "-":
        click.echo(content)
        return
    try:
        file.write_bytes(content + b"\n")
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}") from None


def _show(found: Report) -> None:
    for line in report.machine_lines(found):
        click.echo(line)
    print_table(report.COLUMNS, [report.row(figures) for figures in found.figures])
    if found.soak is not None:
        print_table(soaking.COLUMNS, soaking.rows(found.soak))
        for line in soaking.summary(found.soak):
            click.echo(line)
    if found.holdings is not None:
        print_table(census.PROCESS_COLUMNS, census.process_rows(found.holdings))
        print_table(census.STORE_COLUMNS, census.store_rows(found.holdings))
    for line in (
        *report.grown(found),
        *report.failed(found),
        *report.resent(found),
        *report.ratios(found),
    ):
        click.echo(line)


def _judge(before: Report, after: Report) -> bool:
    """Show the comparison, on standard error; whether anything is worse."""
    for warning in compare.warnings(before, after):
        say(f"careful: {warning}")
    compared = compare.compare(before, after)
    for one in compared:
        say(
            f"{one.case} at {one.in_flight} in flight: CPU {one.before:.0f} -> {one.after:.0f} us "
            f"per settlement ({one.after / one.before - 1:+.1%}): {one.verdict}"
        )
    return any(one.verdict is compare.Verdict.WORSE for one in compared)
