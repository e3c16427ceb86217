"""Answers under an `Idempotency-Key`: kept, and forgotten when nobody will ask for them again.

Effects happen once for ever, by the ids in the bodies; the key only repeats an answer to one who
has lost it. Nothing else in the database is ever removed by a gateway.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from gateway.journal import LOST, QUERIES
from gateway.port import Conflict
from gateway.sql import Pool

KEEP: Final = timedelta(days=7)
"""A client that was stopped over a long weekend, and asks again on Tuesday, gets its answer."""

PERIOD_SECONDS: Final = 600.0
"""Between two looks: at 1,000 posts a second 600,000 rows, some seconds of work."""

BATCH_MAX: Final = 5_000
"""Rows of one statement: some 50 ms, so that no lock is held and no standby lags for long."""


async def remember(
    pool: Pool, member: str, key: str, digest: bytes, status: int, answer: str
) -> tuple[int, str] | Conflict:
    """Bind a key to a request (status 0), or keep its answer, once; what is kept afterwards, or
    Conflict if the key came with another body."""
    while True:
        await pool.execute(QUERIES["store_idempotent"], member, key, digest, status, answer)
        row = await pool.fetchrow(QUERIES["load_idempotent"], member, key)
        if row is None:  # it was old, and has been forgotten since
            continue
        if row["digest"] != digest:
            return Conflict(what=f"Idempotency-Key {key} came with another body before")
        return row["status"], row["answer"]


class Forgetting:
    """Removes old answers as long as the gateway runs. Replicas may do it side by side."""

    def __init__(self, pool: Pool, say: Callable[[str], None]) -> None:
        self._pool = pool
        self._say = say

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
        rows = await self._pool.fetch(QUERIES["forget_idempotent"], KEEP, BATCH_MAX)
        return len(rows)
