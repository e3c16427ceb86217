"""Taking on what is open and ours: the same after a start, a takeover and a lost connection.

What is open is folded from the journal and given to the runner, which asks the core what is owed:
there is no other way to recover.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from gateway import instructions, payments
from gateway.journal import LOST, QUERIES, Journal, PendingPair
from gateway.lease import HEARTBEAT_SECONDS
from gateway.origins import Origins
from gateway.pending import PendingPairs
from gateway.runner import Runner
from gateway.sql import Pool
from htlc.units import SettlementId

ADOPT_MAX: Final = 1_000
"""Settlements folded at once after a start: some megabytes of journal."""


class Recovery:
    """Adopts settlements and waiting pairs of this replica, and drops those of others."""

    def __init__(
        self,
        pool: Pool,
        journal: Journal,
        runner: Runner,
        pending: PendingPairs,
        origins: Origins,
    ) -> None:
        self._pool = pool
        self._journal = journal
        self._runner = runner
        self._pending = pending
        self._origins = origins
        self._wanted = asyncio.Event()

    def lost(self) -> None:
        """A connection was lost in the middle of a transaction: what it wrote has to be found."""
        self._wanted.set()

    async def run(self) -> None:
        """After a lost connection: adopt whatever of ours is open and not in memory."""
        while True:
            await self._wanted.wait()
            await asyncio.sleep(HEARTBEAT_SECONDS)
            self._wanted.clear()
            try:
                await self.now()
            except LOST:
                self._wanted.set()

    async def take_back(self) -> None:
        """What has become ours is adopted, if not now then as soon as the database allows."""
        try:
            await self.now()
        except LOST:
            self._wanted.set()
            raise

    async def now(self) -> None:
        """Adopt everything that is open and ours."""
        rows = await self._pool.fetch(QUERIES["open_pairs"], self._journal.replica)
        waits = {str(row["pair"]): PendingPair.of(row) for row in rows}
        rows = await self._pool.fetch(QUERIES["open_settlements"], self._journal.replica)
        missing = [SettlementId(str(row["settlement"])) for row in rows]
        missing = [id for id in missing if id not in self._runner.lives]
        for start in range(0, len(missing), ADOPT_MAX):
            await self._adopt(missing[start : start + ADOPT_MAX], waits)
        known = await instructions.load_pairs(self._pool, list(waits))
        for id, wait in waits.items():
            self._pending.wait(wait, known[id])

    async def relinquish(self) -> None:
        """Drop what other replicas took over while we were frozen or cut off."""
        lives, waiting = list(self._runner.lives), list(self._pending)
        own = self._journal.replica
        rows = await self._pool.fetch(QUERIES["open_settlements"], own)
        for id in set(lives) - {SettlementId(str(row["settlement"])) for row in rows}:
            self._runner.relinquish(id)
        rows = await self._pool.fetch(QUERIES["open_pairs"], own)
        for pair in set(waiting) - {str(row["pair"]) for row in rows}:
            self._pending.forget(pair)

    async def _adopt(self, ids: Sequence[SettlementId], waits: dict[str, PendingPair]) -> None:
        loaded = await self._journal.load(ids)
        pair_ids = [item.pair for item in loaded.values() if item.pair]
        known = await instructions.load_pairs(self._pool, pair_ids)
        standing = await payments.used(self._pool, known)
        for item in loaded.values():
            self._runner.adopt(item, self._origins.loaded(item, known, waits, standing))
