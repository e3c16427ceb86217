"""Service level objectives, and the rules by which the error budget's burning is noticed.

Two objectives, each over 30 days. Burn rates and windows are those of Google's *Site Reliability
Workbook*, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts": the long window makes sure that
something is really wrong, the short one that it still is.
"""

from typing import Final

import msgspec

from k8s.monitoring.rule import Alert, Recording, Severity

WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """A promise: the share of events that may go wrong, and how events are counted."""

    name: str  # of the alerts
    level: str  # of the recorded ratio
    bad: str  # selects what went wrong, `{window}` filled in
    all: str
    budget: float  # share that may go wrong
    what: str  # in a sentence


class Burn(msgspec.Struct, frozen=True, kw_only=True):
    """A speed at which the budget is used, and the two windows that it must show in."""

    rate: float
    long: str
    short: str
    severity: Severity
    spent: str  # what is gone of 30 days' budget when it fires


BURNS: Final = (
    Burn(rate=14.4, long="1h", short="5m", severity="page", spent="2 % in one hour"),
    Burn(rate=6, long="6h", short="30m", severity="page", spent="5 % in six hours"),
    Burn(rate=3, long="1d", short="2h", severity="ticket", spent="10 % in one day"),
    Burn(rate=1, long="3d", short="6h", severity="ticket", spent="10 % in three days"),
)

OBJECTIVES: Final = (
    Objective(
        name="LockstepIntakeErrorBudgetBurn",
        level="lockstep:http_requests:error_ratio",
        bad='sum(rate(lockstep_http_requests_total{{job="gateway",status=~"5.."}}[{window}]))',
        all='sum(rate(lockstep_http_requests_total{{job="gateway"}}[{window}]))',
        budget=0.001,
        what="requests of members are answered with a server's error (99.9 % must not be)",
    ),
    Objective(
        name="LockstepSettlementErrorBudgetBurn",
        level="lockstep:settlements:out_of_time_ratio",
        bad='sum(rate(lockstep_settlements_total{{reason="COMMIT_BY_PASSED"}}[{window}]))',
        all="sum(rate(lockstep_settlements_total[{window}]))",
        budget=0.001,
        what="settlements are cancelled because their time ran out, not because a party or a "
        "ledger refused (99.9 % must not be)",
    ),
)


def recordings() -> list[Recording]:
    """The share that went wrong, per objective and window."""
    return [
        Recording(
            record=f"{objective.level}_rate{window}",
            # No traffic is no ratio: then the division is NaN, and no alert compares true with it.
            expr=f"{objective.bad.format(window=window)}\n/\n{objective.all.format(window=window)}",
        )
        for objective in OBJECTIVES
        for window in WINDOWS
    ]


def alerts() -> list[Alert]:
    """One alert per objective and speed."""
    return [_alert(objective, burn) for objective in OBJECTIVES for burn in BURNS]


def _alert(objective: Objective, burn: Burn) -> Alert:
    bound = f"{burn.rate:g} * {objective.budget:g}"
    return Alert(
        alert=objective.name,
        expr=(
            f"{objective.level}_rate{burn.long} > {bound}\n"
            f"and\n{objective.level}_rate{burn.short} > {bound}"
        ),
        severity=burn.severity,
        labels={"window": burn.long},
        summary=f"Too many {objective.what}",
        description=(
            f"{{{{ $value | humanizePercentage }}}} over {burn.long}: {burn.spent} of the budget "
            "of 30 days."
        ),
    )
