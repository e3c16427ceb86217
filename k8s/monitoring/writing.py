"""The files of this folder that are made: for promtool and a plain Prometheus, for the operator of
Prometheus, and for Grafana."""

import json
from pathlib import Path
from typing import Any, Final

import yaml

from k8s.monitoring import alerts, objectives
from k8s.monitoring.boards import DASHBOARDS

FOLDER: Final = Path(__file__).parent

NOTE: Final = "# Made by `python -m k8s.monitoring`; change it there.\n"


def groups() -> list[dict[str, Any]]:
    """Every rule, in the groups that are evaluated one after the other."""
    recorded = objectives.recordings()
    return [
        {"name": "lockstep-objectives", "rules": [rule.as_yaml() for rule in recorded]},
        {"name": "lockstep-budgets", "rules": [rule.as_yaml() for rule in objectives.alerts()]},
        {"name": "lockstep-principal", "rules": [rule.as_yaml() for rule in alerts.PRINCIPAL]},
        {"name": "lockstep-progress", "rules": [rule.as_yaml() for rule in alerts.PROGRESS]},
        {"name": "lockstep-ledgers", "rules": [rule.as_yaml() for rule in alerts.LEDGERS]},
        {"name": "lockstep-registries", "rules": [rule.as_yaml() for rule in alerts.REGISTRIES]},
        {"name": "lockstep-supervisors", "rules": [rule.as_yaml() for rule in alerts.SUPERVISORS]},
        {"name": "lockstep-watching", "rules": [rule.as_yaml() for rule in alerts.WATCHING]},
    ]


def files() -> dict[str, str]:
    """Every file by its name."""
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "lockstep", "labels": {"app.kubernetes.io/part-of": "lockstep"}},
        "spec": {"groups": groups()},
    }
    dashboards = {
        f"dashboards/{name}.json": json.dumps(board.as_json(), indent=2) + "\n"
        for name, board in DASHBOARDS.items()
    }
    return {
        "rules.yaml": NOTE + _yaml({"groups": groups()}),
        "prometheusrule.yaml": NOTE + _yaml(rule),
        **dashboards,
    }


class _Dumper(yaml.SafeDumper):
    """Queries of several lines as they are read best."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _yaml(content: object) -> str:
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)
    return text
