"""When settlements are to be looked at again: what time alone may change, by tenths of a second.

A timer of the event loop for each settlement costs as much as two of its turns, for nearly every
one is cancelled unused. Here a settlement stands in the slot of its tenth, and leaves it when it
ends.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

TICK: Final = 0.1
"""Seconds: far below the delivery and lookup times that every schedule counts with, and what comes
too early is asked again anyway."""

T = TypeVar("T")


class Wakes(Generic[T]):
    """Calls `woken` for each item, not before its time and a tick after it at most."""

    def __init__(self, woken: Callable[[T], None]) -> None:
        self._woken = woken
        self._slots: dict[int, dict[T, None]] = {}
        self._slot_of: dict[T, int] = {}
        self._passed = self._slot(time.monotonic())

    def __len__(self) -> int:
        return len(self._slot_of)

    def put(self, item: T, delay: float) -> None:
        """Wake it in so many seconds, and not when it was to be woken before."""
        self.drop(item)
        slot = max(self._slot(time.monotonic() + delay), self._passed) + 1
        self._slots.setdefault(slot, {})[item] = None
        self._slot_of[item] = slot

    def drop(self, item: T) -> None:
        """It need not be woken any more."""
        slot = self._slot_of.pop(item, None)
        if slot is not None:
            del self._slots[slot][item]

    async def run(self) -> None:
        """Wake until cancelled."""
        while True:
            await asyncio.sleep(TICK)
            while self._passed < self._slot(time.monotonic()):
                self._passed += 1
                for item in self._slots.pop(self._passed, ()):
                    del self._slot_of[item]
                    self._woken(item)

    @staticmethod
    def _slot(at: float) -> int:
        return int(at / TICK)
