"""Reports: a page that stands alone, a diagram that shows what happened, JUnit that parses."""

import asyncio
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from lxml import etree, html

from gateway.cli import run as lockstep
from gateway.simulation import scenario_file, scenario_runs
from gateway.simulation.report_diagram import diagram, rows
from gateway.simulation.scenario_run import Kind, Result, Step, decimal
from gateway.simulation.scenario_sim import Simulated


@pytest.fixture(scope="module")
def results() -> list[Result]:
    async def all_of() -> list[Result]:
        scenarios = [scenario_file.load(scenario_file.find(name)) for name in ("N01", "C05")]
        planned = scenario_runs.plan(scenarios, live=False)
        found = scenario_runs.results(Simulated(), planned, 1, lambda _: None)
        return [result async for result in found]

    return asyncio.run(all_of())


@pytest.fixture
def written(results: list[Result], tmp_path: Path) -> Path:
    later = scenario_file.load(scenario_file.find("P01"))
    planned = scenario_runs.Plan(cases=(), not_made=(later,))
    (first, *others) = results
    failed = msgspec.structs.replace(
        first, checks=(msgspec.structs.replace(first.checks[0], found="<b>else</b> & more"),)
    )
    scenario_runs.write(
        tmp_path, [failed, *others], planned, command="x <y>", seed=1, live=False, began=0.0
    )
    return tmp_path


def test_the_page_is_well_formed_and_refers_to_nothing_outside(written: Path) -> None:
    text = (written / scenario_runs.HTML).read_text(encoding="utf-8")
    page = html.fromstring(text)
    etree.fromstring(text.encode())  # as strict as XML: every element closed, every text escaped
    links = [str(link) for _, _, link, _ in page.iterlinks()]
    assert links
    assert all(link.startswith("#") for link in links)
    for outside in ("http:", "https:", "@import", "url(", "src="):
        assert outside not in text
    ids = set(page.xpath("//@id"))
    assert {link.removeprefix("#") for link in links} <= ids


def test_the_page_says_what_a_committee_asks(written: Path, results: list[Result]) -> None:
    text = html.fromstring((written / scenario_runs.HTML).read_text(encoding="utf-8"))
    said = " ".join(text.text_content().split())
    assert f"{len(results) - 1} of {len(results)} cases of 2 scenarios ended as expected" in said
    assert "Not as expected: N01 two_key" in said
    assert "<b>else</b> & more" in said
    assert "no notary quorum yet" in said
    assert "x <y>" in said
    assert len(text.xpath("//svg")) == len(results)


def test_junit_has_every_case_with_its_verdict(written: Path, results: list[Result]) -> None:
    root = ElementTree.parse(written / scenario_runs.JUNIT).getroot()
    cases = root.findall("testsuite/testcase")
    assert len(cases) == len(results) + 1
    (failure,) = root.findall("testsuite/testcase/failure")
    assert "SETTLED expected" in str(failure.get("message"))
    assert len(root.findall("testsuite/testcase/skipped")) == 1
    assert [s.get("failures") for s in root.findall("testsuite")] == ["1", "0", None]


def test_the_diagram_shows_locks_outages_and_records(results: list[Result]) -> None:
    broken = next(r for r in results if "outlasts" in r.case.name)
    drawn = etree.fromstring(diagram(broken.scenario, broken.run.steps))
    classes = [element.get("class") for element in drawn.iter() if element.get("class")]
    assert classes.count("lock") == 2
    assert classes.count("down") == 1
    texts = " ".join(t for t in drawn.itertext() if t.strip())
    for said in ("COMMIT", "locked CASH", "executed CASH", "crashes for 3000 s", "returned"):
        assert said in texts


def test_what_is_sent_again_and_again_is_drawn_once() -> None:
    def sent(at: int, text: str = "lock", kind: Kind = Kind.MESSAGE) -> Step:
        return Step(at_ns=at, kind=kind, source="gateway", target="euro", text=text)

    effect = Step(at_ns=4, kind=Kind.EFFECT, source="euro", text="locked")
    drawn = rows([sent(1), sent(2, "claim"), sent(3), effect, sent(5)])
    assert [(row.step.text, row.count) for row in drawn] == [
        ("lock", 2),
        ("claim", 1),
        ("locked", 1),
        ("lock", 1),
    ]
    assert drawn[0].last_ns == 3


def test_amounts_are_written_in_groups_of_three() -> None:
    thin = "\N{NARROW NO-BREAK SPACE}"
    assert decimal(248735000, 2) == f"2{thin}487{thin}350.00"
    assert decimal(-5, 2) == "-0.05"
    assert decimal(1234, 0) == f"1{thin}234"


def test_the_command_prints_verdicts_and_tells_by_its_exit_code(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert lockstep(["scenario", "run", "N05", "P01", "--seed", "3", "--json"]) == 0
    told = msgspec.json.decode(capsys.readouterr().out)
    assert told["passed"] and told["seed"] == 3
    assert "P01" in told["not_made"]
    own = tmp_path / "own.toml"
    text = (scenario_file.CATALOGUE / "N05.toml").read_text(encoding="utf-8")
    own.write_text(text.replace("strongly connected", "weakly connected"), encoding="utf-8")
    assert lockstep(["scenario", "run", str(own), "--report", str(tmp_path / "out")]) == 1
    assert "FAIL" in capsys.readouterr().out
    assert (tmp_path / "out" / "report.html").exists()
    own.write_text(text.replace('tier = "core"', 'tier = "best"'), encoding="utf-8")
    assert lockstep(["scenario", "run", str(own)]) == 1
    error = capsys.readouterr().err
    assert "own.toml:" in error and "core, extended" in error


def test_the_list_names_what_is_not_possible_yet(capsys: pytest.CaptureFixture[str]) -> None:
    assert lockstep(["scenario", "list"]) == 0
    said = capsys.readouterr().out
    assert "C05" in said and "P01: not yet: There is no notary quorum" in said
