"""Runs scenarios one after the other, and writes what came of them into a directory."""

import platform
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import msgspec

from gateway.simulation import scenario_day
from gateway.simulation.report_html import About, page
from gateway.simulation.report_junit import junit
from gateway.simulation.scenario import Case, Scenario
from gateway.simulation.scenario_run import Executor, Result, judge

HTML: Final = "report.html"
JUNIT: Final = "junit.xml"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is run and what cannot be."""

    cases: tuple[tuple[Scenario, Case], ...]
    not_made: tuple[Scenario, ...]


def plan(scenarios: Sequence[Scenario], *, live: bool, trades: int | None = None) -> Plan:
    """The cases of scenarios that can be made; a day is one case for each of its protocols, with
    `trades` in place of its own number."""
    chosen: list[tuple[Scenario, Case]] = []
    not_made = []
    for asked in scenarios:
        scenario = asked if trades is None else _shortened(asked, trades)
        cases = scenario_day.cases(scenario) if scenario.day else scenario.cases
        if scenario.not_yet is not None:
            cases = ()
        cases = tuple(case for case in cases if case.live or not live)
        chosen += [(scenario, case) for case in cases]
        not_made += [] if cases else [scenario]
    return Plan(cases=tuple(chosen), not_made=tuple(not_made))


def _shortened(scenario: Scenario, trades: int) -> Scenario:
    if scenario.day is None:
        return scenario
    day = msgspec.structs.replace(scenario.day, trades=trades, live_trades=trades)
    return msgspec.structs.replace(scenario, day=day)


async def results(
    executor: Executor, planned: Plan, seed: int, begin: Callable[[str], None]
) -> AsyncIterator[Result]:
    """Each case's result as it comes; `begin` is told what starts."""
    for scenario, case in planned.cases:
        begin(f"{scenario.id} {case.name}")
        run = await executor.run(scenario, case, seed)
        yield Result(
            scenario=scenario,
            case=case,
            run=run,
            checks=judge(scenario, case, run),
            live=executor.live,
            seed=seed,
        )


def write(
    directory: Path,
    found: Sequence[Result],
    planned: Plan,
    *,
    command: str,
    seed: int,
    live: bool,
    began: float,
) -> None:
    """The report for people and the one for build servers. `began`: `time.monotonic()` then."""
    about = About(
        made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        version=_version(),
        machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        command=command,
        seed=seed,
        live=live,
        wall_seconds=time.monotonic() - began,
    )
    directory.mkdir(parents=True, exist_ok=True)
    (directory / HTML).write_text(page(found, planned.not_made, about), encoding="utf-8")
    (directory / JUNIT).write_bytes(junit(found, planned.not_made, live=live))


def _version() -> str:
    try:
        return version("lockstep")
    except PackageNotFoundError:
        return "from its source tree"
