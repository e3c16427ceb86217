"""`lockstep simulate`: random lives of settlements in a hostile world, every invariant checked."""

import os
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.cli.printing import print_json, print_table
from gateway.cli.terminal import say
from gateway.simulation import outages
from gateway.simulation.campaign import Failure, Tally, Wanted, now, play_all, played
from gateway.simulation.settings import Life
from gateway.simulation.shrink import shrunk, timeline
from gateway.simulation.swarm import draw
from htlc.swap import LockProtocol

PROTOCOLS = tuple(LockProtocol)

SEEDS = 3_000
"""Some seconds."""

SEEDS_PER_POINT = 100
"""Shares to about 5 %, in a minute."""

SHRUNK_MAX = 3
"""Failing lives that are shrunk and shown; the others are named."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a campaign came to, for programs."""

    first: int
    protocols: tuple[LockProtocol, ...]
    tally: Tally
    seconds: float
    lives_per_second: float


@click.command("simulate")
@click.option(
    "--seeds",
    type=click.IntRange(1),
    metavar="N",
    help=f"How many lives. [default: {SEEDS}; with --beyond-budget {SEEDS_PER_POINT} per point]",
)
@click.option("--from", "first", type=click.IntRange(0), default=0, metavar="S", help="First seed.")
@click.option(
    "--protocol",
    "protocols",
    type=click.Choice([protocol.value for protocol in PROTOCOLS]),
    multiple=True,
    help="Only this one (repeatable). Otherwise each seed takes the next of all three.",
)
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes. Otherwise one per core.")
@click.option("--timeline", "show", is_flag=True, help="Print what happens in each life.")
@click.option(
    "--beyond-budget",
    is_flag=True,
    help="Measure how often `htlc` ends one-legged when everything is down for longer than its "
    "expiries allow for.",
)
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Picture of that.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    seeds: int | None,
    first: int,
    protocols: tuple[str, ...],
    jobs: int | None,
    show: bool,
    beyond_budget: bool,
    svg: Path | None,
    as_json: bool,
) -> int:
    """Play random lives of settlements with faults, and check everything that must always hold.

    `two_key` and `anchored` meet faults without any bound; `htlc` the worst that its expiries
    allow for. The same seed is the same life. Exit code 1 if anything was violated."""
    if beyond_budget:
        return _beyond(seeds or SEEDS_PER_POINT, first, svg, as_json)
    chosen = tuple(LockProtocol(name) for name in protocols) or PROTOCOLS
    wanted = Wanted(first=first, count=seeds or SEEDS, protocols=chosen)
    if show:
        return _show(wanted)
    report = _play(wanted, jobs or len(os.sched_getaffinity(0)))
    print_json(report) if as_json else _print(report)
    for failure in report.tally.failures[:SHRUNK_MAX]:
        _explain(failure)
    return 1 if report.tally.violations else 0


def _play(wanted: Wanted, jobs: int) -> Report:
    started, tally = now(), Tally()
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("lives", total=wanted.count, rate="")
        for tally in play_all(wanted, jobs):
            rate = f"{tally.lives / (now() - started):,.0f} lives/s, {tally.violations} violations"
            progress.update(task, completed=tally.lives, rate=rate)
    seconds = now() - started
    return Report(
        first=wanted.first,
        protocols=wanted.protocols,
        tally=tally,
        seconds=round(seconds, 3),
        lives_per_second=round(tally.lives / seconds, 1),
    )


def _print(report: Report) -> None:
    tally = report.tally
    rows = [
        ("lives", f"{tally.lives:,}"),
        ("protocols", ", ".join(report.protocols)),
        ("settlements", f"{tally.settlements:,}"),
        ("events", f"{tally.events:,}"),
        *((f"ended {end}", f"{count:,}") for end, count in sorted(tally.ends.items())),
        *((f"fault: {kind}", f"{count:,}") for kind, count in tally.faults.most_common()),
        ("lives per second", f"{report.lives_per_second:,.0f}"),
        ("VIOLATIONS", f"{tally.violations:,}"),
    ]
    print_table(("what", "count"), rows)


def _explain(failure: Failure) -> None:
    """What was wrong, the shortest life that shows it, and how to see it again."""
    say(f"seed {failure.seed}, {failure.protocol}: {'; '.join(failure.what)}")
    life = shrunk(draw(failure.seed, failure.protocol), lambda life: bool(played(life)[1]))
    for line in _timeline(life):
        say(line)
    where = f"--seeds 1 --from {failure.seed} --protocol {failure.protocol}"
    say(f"again: lockstep simulate {where} --timeline")


def _timeline(life: Life) -> list[str]:
    """The plan of a life, its trace, and what was wrong."""
    world, wrong = played(life)
    plan = [f"         plan: {msgspec.json.encode(scripted).decode()}" for scripted in life.plan]
    return [*plan, *timeline(world), *(f"         WRONG {what}" for what in wrong)]


def _show(wanted: Wanted) -> int:
    violated = False
    for seed, protocol in wanted.lives():
        click.echo(f"seed {seed}, {protocol}")
        lines = _timeline(draw(seed, protocol))
        violated = violated or any("WRONG" in line for line in lines)
        for line in lines:
            click.echo(line)
    return 1 if violated else 0


def _beyond(seeds: int, first: int, svg: Path | None, as_json: bool) -> int:
    measured = outages.measure(range(first, first + seeds))
    if svg is not None:
        svg.write_text(outages.svg(measured))
    if as_json:
        print_json(measured)
        return 0
    print_table(outages.COLUMNS, outages.rows(measured))
    say(outages.MEANING)
    return 0
