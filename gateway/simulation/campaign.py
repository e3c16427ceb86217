"""Plays many lives, on several cores, and counts what happened in them."""

import gc
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Final

import msgspec

from gateway.simulation.audit import audit
from gateway.simulation.settings import Life, world_of
from gateway.simulation.swarm import draw
from gateway.simulation.trace import What
from gateway.simulation.world import World
from htlc.swap import LockProtocol

CHUNK: Final = 250
"""Lives that a worker plays before it reports: about half a second."""

GC_AFTER: Final = 200_000
"""Allocations between two collections: a life makes few cycles, all of them when it ends."""

FAILURES_KEPT: Final = 20
"""Failing lives that are named; beyond, they are only counted."""

AUDITED: Final = 25
"""Every so many lives the ledgers' blocks are made and verified: it takes as long as a life."""

COUNTED: Final = {
    What.LOST: "message lost",
    What.DOUBLED: "message doubled",
    What.UNDONE: "reorganisation",
    What.CANCEL_ASKED: "cancellation asked",
}
"""Faults that the trace tells by what came of them."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A life in which something was wrong: a violation, or an assertion of our own code."""

    seed: int
    protocol: LockProtocol
    what: tuple[str, ...]


class Tally(msgspec.Struct, kw_only=True):
    """What a number of lives came to."""

    lives: int = 0
    settlements: int = 0
    events: int = 0
    faults: Counter[str] = msgspec.field(default_factory=Counter)
    ends: Counter[str] = msgspec.field(default_factory=Counter)
    violations: int = 0
    failures: list[Failure] = msgspec.field(default_factory=list)

    def add(self, other: "Tally") -> None:
        self.lives += other.lives
        self.settlements += other.settlements
        self.events += other.events
        self.faults += other.faults
        self.ends += other.ends
        self.violations += other.violations
        self.failures += other.failures[: FAILURES_KEPT - len(self.failures)]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which lives: `count` seeds from `first` on, each under one of the protocols in turn."""

    first: int
    count: int
    protocols: tuple[LockProtocol, ...]

    def lives(self) -> Iterator[tuple[int, LockProtocol]]:
        for seed in range(self.first, self.first + self.count):
            yield seed, self.protocols[seed % len(self.protocols)]

    def chunks(self) -> Iterator["Wanted"]:
        for first in range(self.first, self.first + self.count, CHUNK):
            count = min(CHUNK, self.first + self.count - first)
            yield Wanted(first=first, count=count, protocols=self.protocols)


def played(life: Life) -> tuple[World, tuple[str, ...]]:
    """One life to its end, and everything that was wrong in it."""
    world = world_of(life)
    try:
        run = world.run()
    except AssertionError as error:
        return world, (f"assertion: {error}",)
    found = run.violations
    if life.setting.seed % AUDITED == 0:
        found = (*found, *(v for ledger in world.ledgers.values() for v in audit(ledger)))
    return world, tuple(f"{v.invariant}: {v.what}" for v in found)


def play(wanted: Wanted) -> Tally:
    """Play lives one after the other, in this process."""
    tally = Tally()
    for seed, protocol in wanted.lives():
        world, wrong = played(draw(seed, protocol))
        _count(tally, world)
        if wrong:
            tally.violations += len(wrong)
            tally.failures.append(Failure(seed=seed, protocol=protocol, what=wrong))
    return tally


def _count(tally: Tally, world: World) -> None:
    tally.lives += 1
    tally.events += len(world.trace)
    for entry in world.trace:
        if entry.what is What.FAULT:
            tally.faults[_kind(entry.detail)] += 1
        elif entry.what in COUNTED:
            tally.faults[COUNTED[entry.what]] += 1
    for id in world.journal.entries:
        state, _ = world.journal.load(id)
        tally.settlements += 1
        tally.ends[state.phase] += 1


def _kind(detail: str) -> str:
    """`Step(node=csd, by=7)` is a step, "crashes for 30" crashes, "is down for 7" is down."""
    return detail.split("(")[0] if "(" in detail else detail.split(" for ")[0]


def play_all(wanted: Wanted, jobs: int) -> Iterator[Tally]:
    """The tally after each chunk, summed up."""
    total = Tally()
    for tally in _tallies(list(wanted.chunks()), jobs):
        total.add(tally)
        yield total


def _tallies(chunks: Sequence[Wanted], jobs: int) -> Iterator[Tally]:
    if jobs == 1:
        _prepare()
        yield from map(play, chunks)
        return
    # Spawned, not forked: a fork of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_prepare) as pool:
        yield from pool.map(play, chunks)


def _prepare() -> None:
    gc.set_threshold(GC_AFTER, 20, 20)


def now() -> float:
    """For rates only: nothing in a life reads it."""
    return time.monotonic()
