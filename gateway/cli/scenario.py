"""`lockstep scenario`: situations that a settlement can get into, and the end each must reach."""

import random
import shlex
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import click

from gateway.cli.printing import print_json, print_table
from gateway.cli.terminal import Failure, json_option, say
from gateway.cli.up import until_signalled
from gateway.machine.up import FAULTS
from gateway.simulation import scenario_file, scenario_runs
from gateway.simulation.live import Live
from gateway.simulation.report_html import why_not
from gateway.simulation.scenario import Scenario
from gateway.simulation.scenario_file import ScenarioError
from gateway.simulation.scenario_run import Executor, Result, summary
from gateway.simulation.scenario_runs import Plan
from gateway.simulation.scenario_sim import Simulated

SEED_BITS = 31
"""A seed that a person can type again."""


@click.group("scenario", no_args_is_help=False)
def command() -> None:
    """Situations and the end each must reach: in the simulator, or against real services."""


@command.command("list")
@json_option
def list_(as_json: bool) -> int:
    """List the scenarios that come with the program, and what is not possible yet."""
    found = [_load(name) for name in scenario_file.names()]
    if as_json:
        print_json([_listed(scenario) for scenario in found])
        return 0
    rows = [
        (
            scenario.id,
            scenario.group,
            scenario.title,
            "not yet" if scenario.not_yet else _count(scenario),
            _live(scenario),
        )
        for scenario in found
    ]
    print_table(("scenario", "group", "situation", "cases", "live"), rows)
    for scenario in found:
        if scenario.not_yet is not None:
            click.echo(f"{scenario.id}: not yet: {' '.join(scenario.not_yet.split())}")
    return 0


@command.command("run")
@click.argument("names", nargs=-1, required=True, metavar="NAME…|all|FILE.toml…")
@click.option("--seed", type=click.IntRange(0, 2**SEED_BITS - 1), help="[default: drawn, and said]")
@click.option("--trades", type=click.IntRange(1), help="Of a day. [default: its own number]")
@click.option("--live", is_flag=True, help="Against real services on this machine.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write report.html and junit.xml into this directory.",
)
@json_option
def run(
    names: tuple[str, ...],
    seed: int | None,
    trades: int | None,
    live: bool,
    report: Path | None,
    as_json: bool,
) -> int:
    """Run scenarios by name, all of the catalogue, or your own files.

    Exit code 1 if any case does not end as it must. How to write a scenario: SCENARIOS.md.
    """
    seed = random.SystemRandom().getrandbits(SEED_BITS) if seed is None else seed
    planned = scenario_runs.plan([_load(name) for name in _chosen(names)], live=live, trades=trades)
    if not planned.cases and not planned.not_made:
        raise Failure("nothing to run")
    began = time.monotonic()
    found: list[Result] = []
    if not until_signalled(_run(planned, seed, live, found)):
        return 130  # as a shell says it of one that was interrupted
    if report is not None:
        command = _command(names, seed, trades, live)
        scenario_runs.write(
            report, found, planned, command=command, seed=seed, live=live, began=began
        )
        say(f"written: {report / scenario_runs.HTML} and {report / scenario_runs.JUNIT}")
    if as_json:
        print_json(_record(found, planned, seed, live))
    else:
        _print(found, planned, seed, live, time.monotonic() - began)
    return 0 if all(result.passed for result in found) else 1


def _chosen(names: Sequence[str]) -> list[str]:
    """Names without repetition; `all` is the catalogue, without the days that have a name."""
    chosen: list[str] = []
    for name in names:
        chosen += scenario_file.names() if name == "all" else [name]
    return list(dict.fromkeys(chosen))


def _load(name: str) -> Scenario:
    try:
        return scenario_file.load(scenario_file.find(name))
    except ScenarioError as error:
        first, *others = str(error).splitlines()
        for line in others:
            say(f"lockstep: {line}")
        raise Failure(first) from None


async def _run(planned: Plan, seed: int, live: bool, found: list[Result]) -> None:
    begin = say if live or sys.stderr.isatty() else _silent
    try:
        async with _executor(live) as executor:
            async for result in scenario_runs.results(executor, planned, seed, begin):
                found.append(result)
    except FAULTS as error:
        raise Failure(str(error)) from error


def _silent(_: str) -> None:
    """The simulator is faster than anybody reads."""


def _command(names: Sequence[str], seed: int, trades: int | None, live: bool) -> str:
    words = ["lockstep", "scenario", "run", *names, "--seed", str(seed)]
    words += [] if trades is None else ["--trades", str(trades)]
    return shlex.join([*words, "--live"] if live else words)


# --------------------------------------------------------------------------- what is printed


def _print(found: Sequence[Result], planned: Plan, seed: int, live: bool, seconds: float) -> None:
    rows = [_row(result) for result in found]
    columns = ("scenario", "case", "expected", "ended", "verdict", "after", "because")
    print_table(columns, rows)
    for scenario in planned.not_made:
        click.echo(f"{scenario.id}: not made: {' '.join(why_not(scenario, live=live).split())}")
    how = "against real services" if live else "in the simulator"
    click.echo(f"{summary(found)}, {how}, seed {seed}, in {seconds:.1f} s.")


def _row(result: Result) -> tuple[object, ...]:
    wrong = [check for check in result.checks if not check.holds]
    because = "; ".join(f"{c.what}: {c.expected} expected, {c.found} found" for c in wrong)
    facts = ", ".join(f"{name} {value}" for name, value in result.run.facts.items())
    return (
        result.scenario.id,
        result.case.name,
        result.case.end,
        result.run.end or "no end",
        "pass" if result.passed else "FAIL",
        f"{result.run.seconds:,.1f} s",
        because or facts,
    )


def _record(found: Sequence[Result], planned: Plan, seed: int, live: bool) -> dict[str, object]:
    return {
        "passed": all(result.passed for result in found),
        "seed": seed,
        "live": live,
        "cases": [
            {
                "scenario": result.scenario.id,
                "case": result.case.name,
                "protocol": result.case.protocol,
                "expected": result.case.end,
                "ended": result.run.end,
                "passed": result.passed,
                "legs": result.run.legs,
                "seconds": round(result.run.seconds, 3),
                "wrong": [check for check in result.checks if not check.holds],
                "facts": result.run.facts,
            }
            for result in found
        ],
        "not_made": {each.id: why_not(each, live=live) for each in planned.not_made},
    }


def _listed(scenario: Scenario) -> dict[str, object]:
    return {
        "id": scenario.id,
        "group": scenario.group,
        "title": scenario.title,
        "cases": [case.name for case in scenario.cases],
        "live": [case.name for case in scenario.cases if case.live],
        "not_yet": scenario.not_yet,
        "not_live": scenario.not_live,
    }


def _count(scenario: Scenario) -> object:
    return f"{scenario.day.trades} trades" if scenario.day else len(scenario.cases)


def _live(scenario: Scenario) -> object:
    if scenario.day:
        return f"{scenario.day.live_trades} trades"
    return sum(case.live for case in scenario.cases) or ""


@asynccontextmanager
async def _executor(live: bool) -> AsyncIterator[Executor]:
    """What runs the cases; what it has started is stopped afterwards."""
    if not live:
        yield Simulated()
        return
    async with Live(say) as executor:
        yield executor
