"""Whether a process can write to its database: tried every second, told to the probes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

EVERY_SECONDS: Final = 1.0

STALE_SECONDS: Final = 3.0
"""Not ready when no write has succeeded for this long: a restart of PostgreSQL (0.1 to 2 s) takes
no replica out of service."""


class Pulse:
    """Writes, again and again. `away` is what a write may raise while the database is away."""

    def __init__(
        self, write: Callable[[], Awaitable[None]], away: tuple[type[Exception], ...]
    ) -> None:
        self._write = write
        self._away = away
        self._written = time.monotonic()  # the database was prepared a moment ago
        self._why = ""

    async def run(self) -> None:
        """Try until cancelled."""
        while True:
            try:
                await self._write()
                self._written = time.monotonic()
            except self._away as error:
                self._why = f" ({error})"
            await asyncio.sleep(EVERY_SECONDS)

    def check(self) -> str | None:
        """Why the database counts as away; None if it does not."""
        age = time.monotonic() - self._written
        return f"no write for {age:.0f} s{self._why}" if age > STALE_SECONDS else None
