"""Rules and dashboards are current, ask for what exists, and lead to the runbook."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.telemetry.metrics import ALL
from k8s.monitoring import alerts, objectives
from k8s.monitoring.rule import RUNBOOK
from k8s.monitoring.writing import FOLDER, files
from tests.k8s import queries
from tests.k8s.alert_cases import CASES

ROOT = Path(__file__).parents[2]

ELSEWHERE = {
    "up",  # of Prometheus itself
    "process_cpu_seconds_total",  # of its client library
    "process_resident_memory_bytes",
    # Of CloudNativePG's plugin Barman Cloud (its documentation, "Observability").
    "barman_cloud_cloudnative_pg_io_last_available_backup_timestamp",
}

ALERTS = {alert.alert: alert for alert in (*alerts.ALERTS, *objectives.alerts())}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in (FOLDER / "dashboards").glob("*.json")]
    assert len(found) == 4
    return [panel for board in found for panel in board["panels"]]


def expressions() -> list[str]:
    """Every query of rules and dashboards."""
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [rule["expr"] for rule in rules()] + asked


@pytest.mark.parametrize("name", sorted(files()))
def test_what_is_written_is_what_the_code_makes(name: str) -> None:
    assert (FOLDER / name).read_text() == files()[name], "run `python -m k8s.monitoring`"


@pytest.mark.parametrize("expr", expressions())
def test_every_metric_and_label_exists(expr: str) -> None:
    asked = queries.metrics(expr)
    assert asked or queries.recorded(expr) or expr == "vector(1)"
    assert asked - ALL.keys() - ELSEWHERE == set()
    known = {label for name in asked & ALL.keys() for label in ALL[name].labels}
    assert queries.labels(expr) - known - queries.SCRAPED == set()


def test_the_check_of_metrics_finds_what_is_misspelt() -> None:
    expr = 'sum by (ledger, le) (rate(lockstep_link_request_seconds_bucket{operation="x"}[5m]))'
    assert queries.metrics(expr) == {"lockstep_link_request_seconds"}
    assert queries.labels(expr) == {"ledger", "le", "operation"}
    assert queries.metrics("rate(lockstep_no_such_total[5m])") == {"lockstep_no_such_total"}
    assert queries.metrics("lockstep:a_b:c_rate5m > 1") == set()


def test_recordings_that_are_asked_for_are_made() -> None:
    made = {rule["record"] for rule in rules() if "record" in rule}
    asked = {name for expr in expressions() for name in queries.recorded(expr)}
    assert asked <= made
    assert all(re.fullmatch(r"[a-z_]+:[a-z_]+:[a-z0-9_]+", name) for name in made)


def test_every_alert_leads_to_its_place_in_the_runbook() -> None:
    headings = re.findall(r"^#+ (.*)$", (ROOT / RUNBOOK).read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in headings}
    fired = [rule for rule in rules() if "alert" in rule]
    assert {rule["alert"] for rule in fired} == set(ALERTS)
    for rule in fired:
        file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert file == RUNBOOK
        assert anchor in anchors, f"no heading for {anchor}"


def test_every_place_in_the_runbook_says_how_to_diagnose_and_repair() -> None:
    text = (ROOT / RUNBOOK).read_text()
    for name in ALERTS:
        section = text.split(f"#### {name}\n")[1].split("\n#")[0]
        for word in ("**Means**", "**Look**", "**Repair**"):
            assert word in section, f"{name}: {word}"


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    assert {case.alert for case in CASES} == set(ALERTS)


def test_every_severity_is_one_that_is_routed() -> None:
    severities = {rule["labels"]["severity"] for rule in rules() if "alert" in rule}
    assert severities == {"page", "ticket", "none"}


def test_dashboards_are_of_one_source_and_fit_the_grid() -> None:
    for panel in panels():
        assert panel["datasource"] == {"type": "prometheus", "uid": "${source}"}
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["description"] and panel["targets"]
