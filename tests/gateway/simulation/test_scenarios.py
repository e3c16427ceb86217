"""The catalogue in the simulator: every case reaches its end, and a wrong expectation fails."""

import asyncio

import msgspec
import pytest

from gateway.simulation import scenario_file, scenario_runs
from gateway.simulation.scenario import Case, End, LegEnd, Scenario
from gateway.simulation.scenario_run import Result, judge
from gateway.simulation.scenario_sim import Simulated

SEED = 1

CATALOGUE = [scenario_file.load(scenario_file.find(name)) for name in scenario_file.names()]

CASES = [
    pytest.param(scenario, case, id=f"{scenario.id}-{case.name}")
    for scenario in CATALOGUE
    if scenario.not_yet is None
    for case in scenario.cases
]


def played(scenario: Scenario, case: Case, seed: int = SEED) -> Result:
    run = asyncio.run(Simulated().run(scenario, case, seed))
    checks = judge(scenario, case, run)
    return Result(scenario=scenario, case=case, run=run, checks=checks, live=False, seed=seed)


def wrong(result: Result) -> list[str]:
    return [f"{c.what}: {c.expected} / {c.found}" for c in result.checks if not c.holds]


def case_of(id: str, name: str) -> tuple[Scenario, Case]:
    scenario = next(each for each in CATALOGUE if each.id == id)
    return scenario, next(case for case in scenario.cases if case.name == name)


@pytest.mark.parametrize(("scenario", "case"), CASES)
def test_every_case_of_the_catalogue_reaches_its_end(scenario: Scenario, case: Case) -> None:
    result = played(scenario, case)
    assert not wrong(result), result.run.reasons


def test_the_catalogue_has_every_situation_and_a_reason_for_what_cannot_be_made() -> None:
    situations = [scenario for scenario in CATALOGUE if len(scenario.id) == 3]
    assert len(situations) == 53
    for scenario in situations:
        made = bool(scenario.cases) or scenario.day is not None
        assert made == (scenario.not_yet is None), scenario.id
        if made and scenario.day is None and not any(case.live for case in scenario.cases):
            assert scenario.not_live, f"{scenario.id} says why it is not made live"


def test_every_protocol_in_which_a_situation_can_arise_has_a_case() -> None:
    for scenario in CATALOGUE:
        if scenario.not_yet is None and scenario.day is None:
            assert {case.protocol for case in scenario.cases} == set(scenario.ends), scenario.id


@pytest.mark.parametrize(
    ("id", "name", "change", "what"),
    [
        ("N01", "two_key", {"end": End.CANCELLED}, "end"),
        ("C05", "htlc, the outage outlasts the window", {"end": End.SETTLED}, "end"),
        ("T01", "two_key", {"legs": {"SECU": LegEnd.EXECUTED}}, "leg SECU"),
        ("N05", "two_key", {"reason": "the moon"}, "reason"),
    ],
)
def test_a_wrong_expectation_fails(
    id: str, name: str, change: dict[str, object], what: str
) -> None:
    scenario, case = case_of(id, name)
    result = played(scenario, msgspec.structs.replace(case, **change))
    assert not result.passed
    assert what in [check.what for check in result.checks if not check.holds]


def test_a_broken_invariant_lost_money_and_a_second_notice_fail() -> None:
    scenario, case = case_of("N01", "two_key")
    run = played(scenario, case).run
    (first, *others) = run.balances
    poorer = msgspec.structs.replace(first, available=first.available - 1)
    for changed, what in (
        ({"violations": ("2: money was made",)}, "invariants"),
        ({"balances": (poorer, *others)}, f"{first.party} on {first.ledger}"),
        ({"notices": {"seller": ("SETTLED", "SETTLED")}}, "final notices to seller"),
        ({"notices": {"seller": ()}}, "final notices to seller"),
    ):
        checks = judge(scenario, case, msgspec.structs.replace(run, **changed))
        assert what in [check.what for check in checks if not check.holds]


def test_a_one_legged_end_is_excused_only_where_the_risk_was_announced() -> None:
    scenario, case = case_of("C05", "htlc, the outage outlasts the window")
    run = msgspec.structs.replace(played(scenario, case).run, risk="none")
    found = [check.what for check in judge(scenario, case, run) if not check.holds]
    assert found == ["principal risk announced"]


def test_the_same_seed_tells_the_same_story() -> None:
    scenario, case = case_of("C05", "two_key")
    stories = [played(scenario, case, 7).run.steps for _ in range(2)]
    assert stories[0] == stories[1] != played(scenario, case, 8).run.steps


def test_a_vehicle_bank_has_the_same_dollars_afterwards() -> None:
    result = played(*case_of("N03", "two_key"))
    (dollars,) = [b for b in result.run.balances if (b.party, b.ledger) == ("vehicle", "dollar")]
    assert dollars.before == dollars.available


@pytest.mark.parametrize("id", ["pvp-day", "Q01"])
def test_a_day_under_faults_ends_every_trade_as_a_whole(id: str) -> None:
    scenario = next(each for each in CATALOGUE if each.id == id)
    planned = scenario_runs.plan([scenario], live=False, trades=40)
    for short, case in planned.cases:
        result = played(short, case)
        assert not wrong(result)
        assert result.run.facts["trades"] == "40"
        assert "settled" in result.run.facts, "some get through"
        assert result.run.facts["faults"], "and some faults struck"
