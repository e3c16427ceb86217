"""The results as JUnit XML, the form that build servers read: a suite per scenario, a case each."""

from collections.abc import Sequence
from itertools import groupby
from xml.etree import ElementTree

from gateway.simulation.report_html import why_not
from gateway.simulation.scenario import Scenario
from gateway.simulation.scenario_run import Result


def junit(results: Sequence[Result], not_made: Sequence[Scenario], *, live: bool) -> bytes:
    """The document. What was not made is `skipped`, with its reason."""
    root = ElementTree.Element("testsuites", name="lockstep scenarios")
    for id, group in groupby(results, key=lambda result: result.scenario.id):
        _suite(root, id, list(group))
    for scenario in not_made:
        suite = ElementTree.SubElement(root, "testsuite", name=scenario.id, tests="1", skipped="1")
        case = ElementTree.SubElement(suite, "testcase", classname=scenario.id, name="not made")
        ElementTree.SubElement(case, "skipped", message=why_not(scenario, live=live))
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _suite(root: ElementTree.Element, id: str, results: Sequence[Result]) -> None:
    failures = sum(not result.passed for result in results)
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        name=id,
        tests=str(len(results)),
        failures=str(failures),
        time=f"{sum(result.run.wall_seconds for result in results):.3f}",
    )
    for result in results:
        _case(suite, result)


def _case(suite: ElementTree.Element, result: Result) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=result.scenario.id,
        name=result.case.name,
        time=f"{result.run.wall_seconds:.3f}",
    )
    if result.passed:
        return
    wrong = [check for check in result.checks if not check.holds]
    lines = [f"{check.what}: {check.expected} expected, {check.found} found" for check in wrong]
    failure = ElementTree.SubElement(case, "failure", message=lines[0])
    failure.text = "\n".join(lines)
