"""What a rule is, and how it looks in a rule file of Prometheus."""

from typing import Any, Final, Literal

import msgspec

Severity = Literal["page", "ticket", "none"]
"""`page` wakes somebody, `ticket` waits for the morning, `none` is for machines."""

RUNBOOK: Final = "k8s/README.md"
"""In this repository; the notification's template puts before it where you read the repository."""


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A query that is asked often, under a name: level:metric:operation."""

    record: str
    expr: str

    def as_yaml(self) -> dict[str, Any]:
        return {"record": self.record, "expr": self.expr}


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody must know, with the place in the runbook that says what to do."""

    alert: str
    expr: str
    severity: Severity
    summary: str
    description: str
    lasts: str | None = None  # how long it must be so
    labels: dict[str, str] = {}

    def as_yaml(self) -> dict[str, Any]:
        whole: dict[str, Any] = {"alert": self.alert, "expr": self.expr}
        if self.lasts is not None:
            whole["for"] = self.lasts
        whole["labels"] = {"severity": self.severity} | self.labels
        whole["annotations"] = {
            "summary": self.summary,
            "description": self.description,
            "runbook_url": f"{RUNBOOK}#{self.alert.lower()}",
        }
        return whole
