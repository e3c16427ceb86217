"""How late the event loop is: what every task waits for its turn at least."""

import asyncio
import time
from typing import Final

from ledgers.distribution import Distribution

EVERY_SECONDS: Final = 0.25
"""Between two measurements: one of some microseconds, often enough to see a pause of a second."""


class LoopLag:
    """Asks for a timer again and again, and notes how much later it fires."""

    def __init__(self) -> None:
        self.seen = Distribution()
        self.last = 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            asked = time.monotonic()
            await asyncio.sleep(EVERY_SECONDS)
            self.last = max(0.0, time.monotonic() - asked - EVERY_SECONDS)
            self.seen.observe(self.last)
