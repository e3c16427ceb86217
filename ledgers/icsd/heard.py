"""What a connection to the log has heard and its reader has not taken yet: bounded, newest kept."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

HINT: Final = ("", b"")
"""The log may have grown."""

KEPT: Final = 1_024
"""Votes of 250 blocks from four registries. Who is that far behind reads the log first and is told
the votes that still matter again."""


class Heard:
    """One reader's queue. Hints are one bit: many of them tell no more than one."""

    def __init__(self) -> None:
        self._told: deque[tuple[str, bytes]] = deque(maxlen=KEPT)
        self._grown = False
        self._over = False
        self._awake = asyncio.Event()

    def hint(self) -> None:
        """The log may have grown."""
        self._grown = True
        self._awake.set()

    def told(self, subject: str, data: bytes) -> None:
        self._told.append((subject, data))
        self._awake.set()

    def close(self) -> None:
        """The reader ends after what it has not taken yet."""
        self._over = True
        self._awake.set()

    async def each(self) -> AsyncIterator[tuple[str, bytes]]:
        """What is heard, until close(): what was told before the hint."""
        while True:
            self._awake.clear()
            while self._told:
                yield self._told.popleft()
            if self._grown:
                self._grown = False
                yield HINT
            if self._over:
                return
            if not self._told and not self._grown:
                await self._awake.wait()
