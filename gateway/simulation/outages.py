"""What `htlc` costs beyond its budget: the share of lives that end one-legged when, after the first
claim, everything is down for longer than the expiries allow for. Measured, and never hidden.
"""

import random
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from gateway.simulation import faults, settings
from gateway.simulation.campaign import played
from gateway.simulation.faults import At, Plan, Scripted, When
from gateway.simulation.settings import Life, Setting
from gateway.simulation.trace import What
from htlc.swap import LockProtocol

RATIOS: Final = (0.5, 1.0, 1.25, 1.5, 1.75, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
"""Lengths of the outage, as multiples of the announced window (`outage_max`)."""

MEANING: Final = (
    "outage: how long everything was down after the first claim, in multiples of the announced "
    "window.\nUp to 1.00 nothing may be one-legged, whenever the first claim was made; beyond, "
    "the later the first claim, the sooner."
)


class Claimed(StrEnum):
    """When the first claim was made: the later, the less time is left for the others."""

    AT_ONCE = "at once"
    ANY_TIME = "at any time"  # the gateway itself was late by an outage before it
    LAST = "in the last instant"  # a party with a secret waited: its right


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One length of outage: per manner of the first claim, the share that ended one-legged."""

    ratio: float
    shares: dict[Claimed, float]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """`lives` were played for each point and manner; only those in which a leg was claimed are
    counted."""

    lives: int
    window: int
    points: tuple[Point, ...]


def measure(seeds: Sequence[int]) -> Measured:
    """Play every seed at every length of outage."""
    points = (
        Point(ratio=ratio, shares={claimed: _share(seeds, ratio, claimed) for claimed in Claimed})
        for ratio in RATIOS
    )
    window = settings.LIMITS.recovery
    return Measured(lives=len(seeds), window=window, points=tuple(points))


def _share(seeds: Iterable[int], ratio: float, claimed: Claimed) -> float:
    counted = one_legged = 0
    for seed in seeds:
        world, wrong = played(life(seed, ratio, claimed))
        struck = any(e.what is What.FAULT and "crashes" in e.detail for e in world.trace)
        assert all(what.startswith("1: ") for what in wrong), (seed, wrong)
        counted += struck
        one_legged += bool(wrong)
    return round(one_legged / max(counted, 1), 4)


def life(seed: int, ratio: float, claimed: Claimed) -> Life:
    """A DvP under a noisy network; from its first claim on, everything is down for a while."""
    rng = random.Random(f"outage {seed}")
    outage = faults.CrashAll(outage=max(1, int(ratio * settings.LIMITS.recovery)))
    noise = faults.Noise(loss=0.25, losses_in_row_max=1, doubling=0.2)
    plan: Plan = (
        Scripted(moment=At(time=0), fault=noise),
        Scripted(moment=When(what=What.EXECUTED), fault=outage),
    )
    if claimed is Claimed.ANY_TIME:
        late = faults.CrashAll(outage=rng.randint(1, settings.LIMITS.commit_within))
        plan = (*plan, Scripted(moment=When(what=What.DECIDED, detail="COMMIT"), fault=late))
    if claimed is Claimed.LAST:
        act = faults.ClaimLate(before=rng.randint(1, 3))
        plan = (*plan, Scripted(moment=When(what=What.OPENED), fault=act))
    return Life(
        setting=Setting(
            seed=seed,
            protocol=LockProtocol.HTLC,
            legs=settings.DVP,
            holder=settings.BUYER.member if claimed is Claimed.LAST else None,
            offsets=tuple(rng.randint(-5, 5) for _ in range(2)),
            pace=settings.PROMPT,
            heals_at=4_000,
        ),
        plan=plan,
    )


# ------------------------------------------------------------------ table and picture

COLUMNS: Final = ("outage", *(f"one-legged, claimed {claimed}" for claimed in Claimed))

BAR: Final = 20
"""Characters of a full bar in the terminal."""


def rows(measured: Measured) -> list[tuple[str, ...]]:
    """A line per length of outage, with bars."""
    return [
        (f"{point.ratio:.2f} x window", *(_bar(point.shares[claimed]) for claimed in Claimed))
        for point in measured.points
    ]


def _bar(share: float) -> str:
    return f"{share:6.1%} {'█' * round(share * BAR)}"


_COLOURS: Final = {Claimed.AT_ONCE: "#1b9e77", Claimed.ANY_TIME: "#7570b3", Claimed.LAST: "#d95f02"}
"""Told apart by people with any colour vision (ColorBrewer, Dark2)."""

WIDTH, HEIGHT, EDGE = 640, 320, 48


def svg(measured: Measured) -> str:
    """The same as a picture: shares over the length of the outage."""
    lines = [_curve(measured, claimed) for claimed in Claimed]
    ticks = [_tick(point.ratio) for point in measured.points if point.ratio == int(point.ratio)]
    names = [
        f'<text x="{EDGE + 8}" y="{16 + 15 * n}" fill="{_COLOURS[claimed]}">{claimed}</text>'
        for n, claimed in enumerate(Claimed)
    ]
    axes = (
        f'<path d="M{EDGE},{EDGE} V{HEIGHT - EDGE} H{WIDTH - EDGE}" fill="none" stroke="#444"/>'
        f'<text x="4" y="{EDGE + 4}">100 %</text><text x="18" y="{HEIGHT - EDGE}">0 %</text>'
        f'<text x="{WIDTH // 2}" y="{HEIGHT - 8}">outage / announced window</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">'
        f"<title>htlc beyond its budget: share of lives that end one-legged</title>{axes}"
        f"{''.join(ticks)}{''.join(lines)}{''.join(names)}</svg>\n"
    )


def _x(ratio: float) -> float:
    return round(EDGE + ratio / max(RATIOS) * (WIDTH - 2 * EDGE), 1)


def _y(share: float) -> float:
    return round(HEIGHT - EDGE - share * (HEIGHT - 2 * EDGE), 1)


def _tick(ratio: float) -> str:
    return f'<text x="{_x(ratio)}" y="{HEIGHT - EDGE + 16}" text-anchor="middle">{ratio:.0f}</text>'


def _curve(measured: Measured, claimed: Claimed) -> str:
    points = " ".join(f"{_x(p.ratio)},{_y(p.shares[claimed])}" for p in measured.points)
    colour = _COLOURS[claimed]
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
