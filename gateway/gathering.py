"""A queue that is emptied in batches: whatever has gathered is taken at once.

`asyncio.Queue` hands its items out one by one and keeps account of what becomes of each. Six
commands and entries of a settlement pass through a queue.

An idle system takes what there is at once. A busy one waits as long as more comes: settlements that
move in small groups, each with a transaction, a request and a wake-up of its own at every hop, cost
more than those that move together, and as all of them wait for the same processors, the moments
come back before the batch is done.
"""

import asyncio
from typing import Final, Generic, TypeVar

T = TypeVar("T")

MANY: Final = 16
"""Items in the last batch from which on more is expected to be on its way: a system with fewer
settlements in flight than this answers as fast as it can."""

GATHER_SECONDS: Final = 0.004
GATHER_MOMENTS: Final = 6
"""What is waited for more, and how often at most. With 256 swaps in flight batches are three times
as large with it, and a swap costs a fourth less processor time (of 5 ms once: a fifth)."""

GROWTH: Final = 1.1
"""By how much a batch must have grown in a moment to wait for another one."""


class Gathering(Generic[T]):
    """Items in the order in which they were put, for any number of takers."""

    def __init__(self) -> None:
        self._items: list[T] = []
        self._last = 0  # how many were taken
        self._there = asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, *items: T) -> None:
        if items:
            self._items.extend(items)
            self._there.set()

    async def take(self, most: int) -> list[T]:
        """Wait for something, and if more is expected for that, then take all that has gathered, up
        to `most`."""
        taken: list[T] = []
        while not taken:
            while not self._items:
                self._there.clear()
                await self._there.wait()
            if self._last >= MANY:
                await self._gather(most)
            taken = self._items[:most]  # nothing, if another taker was faster
        self._last = len(taken)
        del self._items[:most]
        return taken

    async def _gather(self, most: int) -> None:
        for _ in range(GATHER_MOMENTS):
            before = len(self._items)
            if before >= most:
                return
            await asyncio.sleep(GATHER_SECONDS)
            if len(self._items) <= before * GROWTH:
                return
