"""A bench against an earlier one: better, worse, or no difference that noise would not make."""

from enum import StrEnum

import msgspec

from gateway.bench.plan import Case
from gateway.bench.report import Figures, Report
from gateway.bench.statistics import Spread, differ, rounds_suffice


class Verdict(StrEnum):
    """What can be said of the CPU time of one case. Rates are shown and not judged: they depend on
    what else the machine does."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "no difference beyond noise"
    TOO_FEW = "too few rounds to tell"


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One case in both runs: CPU microseconds per settlement, medians."""

    case: Case
    in_flight: int
    before: float
    after: float
    verdict: Verdict


def compare(before: Report, after: Report) -> list[Compared]:
    """Every case that both have, at the same number in flight."""
    earlier = {(found.case, found.in_flight): found for found in before.figures}
    return [
        _compared(earlier[found.case, found.in_flight], found)
        for found in after.figures
        if (found.case, found.in_flight) in earlier
    ]


def _compared(before: Figures, after: Figures) -> Compared:
    old, new = before.cpu_us_per_settlement, after.cpu_us_per_settlement
    return Compared(
        case=after.case,
        in_flight=after.in_flight,
        before=Spread.of(old).median,
        after=Spread.of(new).median,
        verdict=_verdict(old, new),
    )


def _verdict(old: tuple[float, ...], new: tuple[float, ...]) -> Verdict:
    if not rounds_suffice(len(old), len(new)):
        return Verdict.TOO_FEW
    if not differ(old, new):
        return Verdict.SAME
    return Verdict.WORSE if Spread.of(new).median > Spread.of(old).median else Verdict.BETTER


def warnings(before: Report, after: Report) -> list[str]:
    """Why the two may not be comparable."""
    found = []
    if before.machine != after.machine:
        found.append("the machines, or their databases' settings, are not the same")
    ours = msgspec.structs.replace(after.parameters, rounds=before.parameters.rounds)
    if before.parameters != ours:
        found.append("the two were measured with other parameters")
    return found
