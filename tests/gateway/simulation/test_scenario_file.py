"""What is wrong with a scenario file is said with its line, its key and the rule."""

from pathlib import Path

import pytest

from gateway.simulation import scenario_file
from gateway.simulation.scenario import MomentKind, moment
from gateway.simulation.scenario_file import ScenarioError, parse

GOOD = """id = "OWN"
title = "My own"
group = "own"
situation = '''
two
lines = "are no key"
'''
expected = "SETTLED"
invariants = ["I1"]
setting = "dvp"

[ledgers.euro]
finality_seconds = 2

[[faults]]
when = "all locked"
do = "kill_gateway"
seconds = 5

[[cases]]
name = "one"
protocol = "two_key"
end = "SETTLED"

[[cases.faults]]
when = "committed"
do = "cut"
ledger = "euro"
seconds = 3

[[cases]]
name = "two"
protocol = "htlc"
end = "SETTLED"
"""


def told(text: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        parse(text, "own.toml")
    return str(caught.value).splitlines()


def test_a_file_is_read_over_its_setting() -> None:
    scenario = parse(GOOD)
    assert scenario.ledgers["euro"].finality_seconds == 2
    assert scenario.ledgers["euro"].asset == "EUR"
    assert [leg.leg for leg in scenario.legs] == ["SECU", "CASH"]


@pytest.mark.parametrize(
    ("old", "new", "line", "rule"),
    [
        ('group = "own"', 'grup = "own"', 3, "there is no such key"),
        ('end = "SETTLED"\n\n[[cases.f', 'end = "SETLED"\n\n[[cases.f', 23, "SETTLED, CANCELLED"),
        ('name = "two"', 'name = "one"', 32, "names another case already"),
        ('do = "kill_gateway"', 'do = "kill"', 17, "kill_gateway, stop_ledger, cut"),
        ('when = "committed"', 'when = "comitted"', 26, "lock sent LEG"),
        ('when = "committed"', 'when = "executed GOLD"', 26, "is a leg of this scenario: SECU"),
        ('ledger = "euro"', 'ledger = "pound"', 28, "is a ledger of this scenario: registry"),
        ('protocol = "htlc"', 'protocol = "paper"', 33, "two_key, anchored, htlc"),
        ("finality_seconds = 2", 'finality_seconds = "2"', 13, "Expected `float`"),
        ("finality_seconds = 2", "finality = 2", 13, "finality_seconds"),
        ('setting = "dvp"', 'setting = "moon"', 10, "is one of dvp, pvp"),
        ('protocol = "two_key"', 'protocol = "two_key"\nsecret = "buyer"', 23, "no party holds"),
    ],
)
def test_a_fault_is_told_with_its_line_and_what_is_allowed(
    old: str, new: str, line: int, rule: str
) -> None:
    (said, *_) = told(GOOD.replace(old, new, 1))
    assert said.startswith(f"own.toml:{line}: "), said
    assert rule in said


def test_every_fault_of_a_file_is_told_at_once() -> None:
    text = GOOD.replace('when = "all locked"', 'when = "never"').replace('euro"', 'gold"')
    assert len(told(text)) == 2


def test_what_can_be_made_in_the_simulator_only_is_not_live() -> None:
    text = GOOD.replace('do = "kill_gateway"\nseconds = 5', 'do = "claim"')
    text = text.replace('name = "two"', 'name = "two"\nlive = true')
    assert "claim can be made in the simulator only" in told(text)[0]


def test_an_end_that_the_situation_does_not_allow_is_refused() -> None:
    text = GOOD.replace("[ledgers.euro]", '[ends]\ntwo_key = ["CANCELLED"]\n\n[ledgers.euro]')
    assert "two_key allows CANCELLED" in told(text)[0]


def test_what_is_no_toml_says_where() -> None:
    (said,) = told("id = 'x'\ntitle = !")
    assert "not TOML" in said
    assert "line 2" in said


def test_an_unknown_name_and_a_missing_file_are_answered() -> None:
    with pytest.raises(ScenarioError, match="there is no scenario 'X99'"):
        scenario_file.find("X99")
    with pytest.raises(ScenarioError, match=r"nowhere\.toml"):
        scenario_file.load(Path("nowhere.toml"))


@pytest.mark.parametrize(
    ("text", "kind", "leg", "seconds"),
    [
        ("start", MomentKind.START, None, 0.0),
        ("at 12.5 s", MomentKind.AT, None, 12.5),
        ("expiry CASH - 5 s", MomentKind.EXPIRY, "CASH", -5.0),
        ("locked SECU + 20 s", MomentKind.LOCKED, "SECU", 20.0),
        ("all executed", MomentKind.ALL_EXECUTED, None, 0.0),
    ],
)
def test_moments_are_read(text: str, kind: MomentKind, leg: str | None, seconds: float) -> None:
    found = moment(text)
    assert found is not None
    assert (found.kind, found.leg, found.seconds) == (kind, leg, seconds)


@pytest.mark.parametrize("text", ["", "locked", "at noon", "committed CASH", "at 5", "start -5 s"])
def test_what_is_no_moment_is_none(text: str) -> None:
    assert moment(text) is None


def test_the_example_of_the_documentation_is_a_scenario() -> None:
    document = (scenario_file.CATALOGUE.parent / "SCENARIOS.md").read_text(encoding="utf-8")
    example = document.split("```toml\n")[1].split("```")[0]
    assert parse(example).id == "MY-PVP-1"
