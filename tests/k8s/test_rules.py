"""promtool runs every alert against made-up histories. Needs Debian's `prometheus`."""

import subprocess
from pathlib import Path

import pytest
import yaml

from k8s.monitoring.writing import FOLDER
from tests.k8s.alert_cases import CASES, Case

pytestmark = pytest.mark.debian

RULES = FOLDER / "rules.yaml"


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_rules() -> None:
    assert "SUCCESS" in promtool("check", "rules", RULES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_it_fires_when_it_should_and_not_before(case: Case, tmp_path: Path) -> None:
    firing = f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"}}) or vector(0)'
    expected = [(case.quiet, 0)] if case.quiet else []
    expected.append((case.fires, case.times))
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": k, "values": v} for k, v in case.series.items()],
                "promql_expr_test": [
                    {
                        "expr": firing,
                        "eval_time": at,
                        "exp_samples": [{"labels": "{}", "value": times}],
                    }
                    for at, times in expected
                ],
            }
        ],
    }
    file = tmp_path / "case.yaml"
    file.write_text(yaml.safe_dump(test))
    promtool("test", "rules", file)
