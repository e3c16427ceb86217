"""A replica's lease on its work: renewed every second, taken over when it has run out.

The lease only says who works; it does not protect. What protects is the journal: an entry is taken
only at the sequence after the last one, so a replica that was frozen, or cut off, and wakes up in
the belief that it still holds its lease, finds its place taken, loads the journal and does what the
new holder does. Its commands to ledgers are repetitions of the same ids and do nothing twice.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.epoch import FOR_ROW, SupersededError
from gateway.journal import LOST, QUERIES, Journal
from gateway.sql import Pool
from gateway.tally import Tally

HEARTBEAT_SECONDS: Final = 1.0
TAKEOVER_SECONDS: Final = 3.0
"""A replica that has not been seen for three heartbeats is dead or cut off: its work is taken over.
Should it live after all, the journal lets only one of the two decide."""

RELEASE_SECONDS: Final = 1.0
"""For the last word to the database at the end; without it, the lease runs out by itself."""


class Lease:
    """Renews the lease of one replica, takes over what others have left, and lets go of what
    others have taken. `recover` adopts what is ours by now, `relinquish` drops what is not."""

    def __init__(
        self,
        pool: Pool,
        journal: Journal,
        *,
        recover: Callable[[], Awaitable[None]],
        relinquish: Callable[[], Awaitable[None]],
        tally: Tally,
        say: Callable[[str], None],
    ) -> None:
        self._pool = pool
        self._journal = journal
        self._replica = journal.replica
        self._recover = recover
        self._relinquish = relinquish
        self._tally = tally
        self._say = say
        self._renewed = time.monotonic()  # it was registered a moment ago
        self.renewed_at = time.time()  # the same by the wall clock, for people

    @property
    def age(self) -> float:
        """Seconds since the database last took the heartbeat."""
        return time.monotonic() - self._renewed

    async def run(self) -> None:
        """Renew and take over until cancelled. Raises SupersededError when a restore has begun
        another epoch of the journal."""
        while True:
            try:
                await self._beat()
            except LOST as error:
                self._say(f"no heartbeat: {error!r}")
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _beat(self) -> None:
        ran_out = self.age > TAKEOVER_SECONDS
        mark = self._journal.epoch.mark
        if await self._pool.fetchval(QUERIES["heartbeat"], self._replica, mark) is None:
            await self._journal.ask_current(self._pool)
            raise SupersededError(FOR_ROW)
        if ran_out:  # frozen, or cut off: others may have taken over
            await self._relinquish()
        self._renewed, self.renewed_at = time.monotonic(), time.time()
        await self._take_over()

    async def _take_over(self) -> None:
        own = (self._replica, TAKEOVER_SECONDS)
        rows = await self._pool.fetch(QUERIES["take_over_settlements"], *own)
        waiting = await self._pool.fetch(QUERIES["take_over_pairs"], *own)
        if rows or waiting:
            self._tally.taken_over += len(rows)
            self._say(f"taking over {len(rows)} settlements and {len(waiting)} pairs")
            await self._recover()

    async def release(self) -> None:
        """Others may take over at once. The last act of a replica that stops in order."""
        work = asyncio.create_task(self._release(), name="release")
        # Not cancelled: the end of a query that is cancelled waits for a server that hangs.
        await asyncio.wait({work}, timeout=RELEASE_SECONDS)

    async def _release(self) -> None:
        with contextlib.suppress(*LOST):
            await self._pool.execute(QUERIES["release"], self._replica)
