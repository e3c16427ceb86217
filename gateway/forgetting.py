"""What a gateway may forget: answers under an `Idempotency-Key` that nobody will ask for again.

Effects happen once for ever, by the ids in the bodies; the key only repeats an answer to one who
has lost it. Nothing else in the database is ever removed by a gateway.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from gateway.journal import LOST, QUERIES
from gateway.sql import Pool

KEEP: Final = timedelta(days=7)
"""A client that was stopped over a long weekend, and asks again on Tuesday, gets its answer."""

PERIOD_SECONDS: Final = 600.0
"""Between two looks: at 1,000 posts a second 600,000 rows, some seconds of work."""

BATCH_MAX: Final = 5_000
"""Rows of one statement: some 50 ms, so that no lock is held and no standby lags for long."""


class Forgetting:
    """Removes old answers as long as the gateway runs. Replicas may do it side by side."""

    def __init__(self, pool: Pool, say: Callable[[str], None], keep: timedelta = KEEP) -> None:
        self._pool = pool
        self._say = say
        self._keep = keep

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            try:
                while await self.forget() == BATCH_MAX:
                    pass  # there is more
            except LOST as error:
                self._say(f"old answers are kept for now, the database is away: {error!r}")
            await asyncio.sleep(PERIOD_SECONDS)

    async def forget(self) -> int:
        """Remove what is too old, at most one batch; how many rows that were."""
        rows = await self._pool.fetch(QUERIES["forget_idempotent"], self._keep, BATCH_MAX)
        return len(rows)
