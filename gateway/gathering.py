"""A queue that is emptied in batches: whatever has gathered is taken at once.

`asyncio.Queue` hands its items out one by one and keeps account of what becomes of each. Six
commands and entries of a settlement pass through a queue.
"""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Gathering(Generic[T]):
    """Items in the order in which they were put, for any number of takers."""

    def __init__(self) -> None:
        self._items: list[T] = []
        self._there = asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        if not self._items:
            self._there.set()
        self._items.append(item)

    async def take(self, most: int) -> list[T]:
        """Wait for something, then take all that has gathered, up to `most`."""
        while not self._items:
            self._there.clear()
            await self._there.wait()
        taken = self._items[:most]
        del self._items[:most]
        return taken
