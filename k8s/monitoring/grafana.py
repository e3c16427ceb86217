"""Four dashboards: *Settlement*, *Ledgers*, *Registry sync*, *Gateway internals*.

Grafana's JSON is made here by a few functions instead of being drawn: a panel is its title, its
queries and its unit, and everything else is the same on all of them.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

WIDTH: Final = 24
"""Columns of Grafana's grid."""

HEIGHT: Final = 8
"""Rows that a panel takes: three of them on a laptop's screen."""

SOURCE: Final = {"type": "prometheus", "uid": "${source}"}


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """One panel; `queries` are pairs of an expression and its legend."""

    title: str
    about: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"  # or stat, heatmap
    width: int = 8
    alarm: float | None = None  # red from here on


class Dashboard(msgspec.Struct, frozen=True, kw_only=True):
    """A dashboard: its panels, read by rows."""

    uid: str
    title: str
    panels: Sequence[Panel]

    def as_json(self) -> dict[str, Any]:
        """What Grafana imports."""
        return {
            "uid": self.uid,
            "title": self.title,
            "tags": ["lockstep"],
            "schemaVersion": 39,
            "editable": False,
            "graphTooltip": 1,  # one crosshair over all panels
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "timezone": "utc",
            "templating": {"list": [_source()]},
            "panels": list(_placed(self.panels)),
        }


def _source() -> dict[str, Any]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _placed(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """Panels from left to right, a new row when one does not fit."""
    found, x, y = [], 0, 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > WIDTH:
            x, y = 0, y + HEIGHT
        found.append(_panel(panel, number) | {"gridPos": _at(x, y, panel.width)})
        x += panel.width
    return found


def _at(x: int, y: int, width: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": HEIGHT}


def _panel(panel: Panel, number: int) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.alarm is not None:
        steps.append({"color": "red", "value": panel.alarm})
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "targets": [
            {
                "refId": chr(ord("A") + n),
                "datasource": SOURCE,
                "expr": expr,
                "legendFormat": legend,
                "format": "heatmap" if panel.kind == "heatmap" else "time_series",
            }
            for n, (expr, legend) in enumerate(panel.queries)
        ],
    }


def quantiles(metric: str, *labels: str) -> tuple[tuple[str, str], ...]:
    """Median and 99th percentile of a histogram."""
    by = ", ".join((*labels, "le"))
    named = " ".join(f"{{{{{label}}}}}" for label in labels)
    return tuple(
        (
            f"histogram_quantile({q}, sum by ({by}) (rate({metric}_bucket[$__rate_interval])))",
            f"{named} p{int(q * 100)}".strip(),
        )
        for q in (0.5, 0.99)
    )
