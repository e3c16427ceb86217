"""Medians, spreads, percentiles, and whether two sets of rounds differ at all.

Machines are shared and noisy: a figure is the median of several rounds with its range, and two
figures differ only if a rank test says so (Mann-Whitney, exact, so it holds for five rounds too).
"""

import statistics
from collections.abc import Sequence
from functools import cache
from math import ceil, comb
from typing import Final

import msgspec

SIGNIFICANCE: Final = 0.05
"""Two-sided. Of twenty comparisons of the same with the same, one may be called different."""

DIFFERENCE_MIN: Final = 0.03
"""Below three parts in a hundred a difference of medians is of no use to anybody, however sure."""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """The rounds of one figure."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(median=statistics.median(values), low=min(values), high=max(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not exceeded by `share` of them (nearest rank)."""
    assert values and 0 < share <= 1
    return sorted(values)[ceil(share * len(values)) - 1]


def chance(before: Sequence[float], after: Sequence[float]) -> float:
    """Two-sided p-value of the Mann-Whitney rank test: how often rounds of one and the same thing
    would fall at least this far apart. Equal values count half."""
    m, n = len(before), len(after)
    twice = sum((x < y) * 2 + (x == y) for x in before for y in after)
    extreme = -(-min(twice, 2 * m * n - twice) // 2)  # the smaller U, rounded up: less extreme
    tail = sum(_arrangements(m, n, u) for u in range(extreme + 1))
    return min(1.0, 2 * tail / comb(m + n, m))


@cache
def _arrangements(m: int, n: int, u: int) -> int:
    """Orders of m and n values in which the statistic U is exactly `u`."""
    if u < 0:
        return 0
    if m == 0 or n == 0:
        return int(u == 0)
    return _arrangements(m - 1, n, u - n) + _arrangements(m, n - 1, u)


def rounds_suffice(before: int, after: int) -> bool:
    """Whether so many rounds could show any difference at all."""
    return 2 / comb(before + after, before) < SIGNIFICANCE


def differ(before: Sequence[float], after: Sequence[float]) -> bool:
    """Whether the medians differ by enough, and beyond what rounds of one thing do."""
    old, new = statistics.median(before), statistics.median(after)
    enough = abs(new - old) > DIFFERENCE_MIN * old
    return enough and chance(before, after) < SIGNIFICANCE
