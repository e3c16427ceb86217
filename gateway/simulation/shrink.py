"""Shrinks a failing life to what it needs in order to fail: faults are left out while it still
does, noise is replaced by the few messages that matter.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from msgspec.structs import replace

from gateway.simulation.faults import Disturbance, Noise, Plan, Replay, Scripted
from gateway.simulation.settings import Life, world_of
from gateway.simulation.world import World

T = TypeVar("T")

TRIES_MAX: Final = 2_000
"""Lives played while shrinking one: a few seconds."""

Fails = Callable[[Life], bool]


def shrunk(life: Life, fails: Fails) -> Life:
    """The smallest life found that still fails (`fails(life)` is true to begin with)."""
    tries = [TRIES_MAX]

    def still(candidate: Life) -> bool:
        tries[0] -= 1
        return tries[0] > 0 and fails(candidate)

    life = _simpler(life, still)
    life = _with_plan(life, without(life.plan, lambda plan: still(_with_plan(life, plan))))
    if (replayed := _replayed(life)) is not None and still(replayed):
        life = _fewer_disturbances(replayed, still)
        life = _with_plan(life, without(life.plan, lambda plan: still(_with_plan(life, plan))))
    return life


def without(items: Sequence[T], fails: Callable[[tuple[T, ...]], bool]) -> tuple[T, ...]:
    """Leave out halves, then quarters, down to single items, while it still fails."""
    kept = tuple(items)
    size = max(1, len(kept) // 2)
    while True:
        before = len(kept)
        start = 0
        while start < len(kept):
            fewer = kept[:start] + kept[start + size :]
            if fails(fewer):
                kept = fewer
            else:
                start += size
        if size == 1 and len(kept) == before:
            return kept
        size = max(1, size // 2)


def _with_plan(life: Life, plan: Plan) -> Life:
    return replace(life, plan=plan)


def _simpler(life: Life, still: Fails) -> Life:
    """One replica, one trade, true clocks, enough to pay with: as far as it still fails."""
    for simple in (
        {"replicas": 1},
        {"trades": 1},
        {"poor": ()},
        {"offsets": tuple(0 for _ in life.setting.offsets)},
    ):
        candidate = replace(life, setting=replace(life.setting, **simple))
        if candidate != life and still(candidate):
            life = candidate
    return life


def _replayed(life: Life) -> Life | None:
    """The same life with its noise written out, message by message."""
    noisy = [n for n, scripted in enumerate(life.plan) if isinstance(scripted.fault, Noise)]
    if len(noisy) != 1:
        return None
    world = world_of(life)
    with suppress(AssertionError):  # the noise up to there is what counts
        world.run()
    return _with_disturbances(life, noisy[0], tuple(world.network.noise_heard))


def _with_disturbances(life: Life, place: int, disturbed: tuple[Disturbance, ...]) -> Life:
    scripted = replace(life.plan[place], fault=Replay(disturbed=disturbed))
    return _with_plan(life, (*life.plan[:place], scripted, *life.plan[place + 1 :]))


def _fewer_disturbances(life: Life, still: Fails) -> Life:
    place, scripted = next(_replays(life.plan))
    assert isinstance(scripted.fault, Replay)
    kept = without(
        scripted.fault.disturbed, lambda fewer: still(_with_disturbances(life, place, fewer))
    )
    return _with_disturbances(life, place, kept)


def _replays(plan: Plan) -> Iterator[tuple[int, Scripted]]:
    return ((n, each) for n, each in enumerate(plan) if isinstance(each.fault, Replay))


def timeline(world: World) -> list[str]:
    """A run's trace as lines for people."""
    return [
        f"{entry.at:>7}  {entry.node:<10} {entry.what:<13} {entry.leg or '':<5} {entry.detail}"
        for entry in world.trace
    ]
