"""Scenarios against real services: databases, processes, sockets; killed, stopped, cut off."""

import pytest

from gateway.simulation import live_processes, scenario_file
from gateway.simulation.live import Live
from gateway.simulation.scenario_run import judge

CASES = (
    ("N01", "anchored"),
    ("N05", "two_key"),  # refused by intake
    ("M02", "two_key"),  # an id with other terms
    ("C02", "two_key"),  # killed before it hears of a lock
    ("C05", "htlc, the outage is within the window"),  # killed between two claims
    ("L02", "two_key, back in time"),  # a ledger stopped
)
"""A handful in one world: about ten seconds of faults."""

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


async def test_situations_reach_their_end_with_real_services() -> None:
    wrong: list[str] = []
    async with Live(print) as executor:
        for id, name in CASES:
            scenario = scenario_file.load(scenario_file.find(id))
            case = next(each for each in scenario.cases if each.name == name)
            run = await executor.run(scenario, case, 1)
            wrong += [
                f"{id} {name}: {check.what}: {check.expected} expected, {check.found} found"
                for check in judge(scenario, case, run)
                if not check.holds
            ]
            assert len(run.steps) > 1, "what passed on the wires is told"
    assert not wrong
    assert live_processes.pids("gateway") == [], "nothing is left running"
