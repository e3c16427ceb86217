"""`lockstep simulate`."""

import json
from pathlib import Path

import pytest
from lxml import etree

from gateway.cli import run
from gateway.simulation.outages import RATIOS, Claimed, life
from gateway.simulation.settings import LIMITS, world_of
from htlc.clocks import Clock

Capture = pytest.CaptureFixture[str]


def test_lives_are_played_counted_and_told_as_json(capsys: Capture) -> None:
    assert run(["simulate", "--seeds", "60", "--from", "5", "--jobs", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["protocols"] == ["two_key", "anchored", "htlc"]
    assert report["tally"]["lives"] == 60
    assert report["tally"]["violations"] == 0
    assert sum(report["tally"]["ends"].values()) == report["tally"]["settlements"]


def test_the_table_says_what_happened(capsys: Capture) -> None:
    assert run(["simulate", "--seeds", "30", "--protocol", "two_key", "--jobs", "1"]) == 0
    table = capsys.readouterr().out
    assert "VIOLATIONS" in table
    assert "fault: message lost" in table
    assert "two_key" in table


def test_a_violation_is_shrunk_shown_and_exits_with_1(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: an estimate of a ledger's time that is 400 ticks behind."""
    monkeypatch.setattr(Clock, "latest", property(lambda self: self.at - 400))
    lives = ["--seeds", "400", "--protocol", "htlc", "--jobs", "1"]
    assert run(["simulate", *lives, "--json"]) == 1
    told = capsys.readouterr()
    failure = json.loads(told.out)["tally"]["failures"][0]
    again = f"--seeds 1 --from {failure['seed']} --protocol htlc --timeline"
    assert f"again: lockstep simulate {again}" in told.err
    assert "plan:" in told.err
    assert "WRONG 1: " in told.err
    assert run(["simulate", *again.split()]) == 1
    assert "WRONG 1: " in capsys.readouterr().out


def test_beyond_its_budget_htlc_is_measured_and_drawn(capsys: Capture, tmp_path: Path) -> None:
    picture = tmp_path / "beyond.svg"
    beyond = ["simulate", "--beyond-budget", "--seeds", "4", "--svg", str(picture)]
    assert run([*beyond, "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    shares = {point["ratio"]: point["shares"] for point in measured["points"]}
    assert set(shares) == set(RATIOS)
    for ratio in RATIOS:
        if ratio <= 1:  # the announced window holds, however late the first claim was made
            assert set(shares[ratio].values()) == {0}
    assert shares[max(RATIOS)][Claimed.LAST] == 1
    root = etree.fromstring(picture.read_bytes())
    assert len(root.findall("{*}polyline")) == len(Claimed)


def test_the_window_of_the_measurement_is_the_one_that_is_announced() -> None:
    world = world_of(life(0, 1.0, Claimed.ANY_TIME))
    world.run()
    (agreement,) = world.agreements.values()
    assert agreement.outage_max == LIMITS.recovery


def test_a_wrong_protocol_is_wrong_usage(capsys: Capture) -> None:
    assert run(["simulate", "--protocol", "three_key"]) == 2
    assert "three_key" in capsys.readouterr().err
