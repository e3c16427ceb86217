"""What is open and ours, taken on: at the start, after a takeover, after a lost connection."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway import instructions, payments
from gateway.cash import Ordered
from gateway.journal import QUERIES, Journal, Loaded, PendingPair
from gateway.live import Origin
from gateway.pairs import MatchedPair
from gateway.payments import Standing
from gateway.runner import Runner
from gateway.sql import Pool
from htlc.swap import Swap
from htlc.units import SettlementId

ADOPT_MAX: Final = 1_000
"""Settlements folded at once after a start: some megabytes of journal."""


class Adoption:
    """Folds the journals of what the runner does not have yet, and hands it over."""

    def __init__(
        self,
        pool: Pool,
        journal: Journal,
        runner: Runner,
        pair_origin: Callable[[MatchedPair, int, str, Standing], Origin],
        swap_origin: Callable[[Swap], Origin],
    ) -> None:
        self._pool = pool
        self._journal = journal
        self._runner = runner
        self._pair_origin = pair_origin
        self._swap_origin = swap_origin

    async def recover(self) -> tuple[dict[str, PendingPair], Mapping[str, MatchedPair]]:
        """Adopt every settlement that is open and ours; the pairs of ours that wait."""
        rows = await self._pool.fetch(QUERIES["open_pairs"], self._journal.replica)
        waits = {
            str(row["pair"]): PendingPair(
                pair=str(row["pair"]),
                due_at=row["due_at"],
                attempts=row["attempts"],
                advised=row["advised"],
            )
            for row in rows
        }
        rows = await self._pool.fetch(QUERIES["open_settlements"], self._journal.replica)
        missing = [SettlementId(str(row["settlement"])) for row in rows]
        missing = [id for id in missing if id not in self._runner.lives]
        for start in range(0, len(missing), ADOPT_MAX):
            await self._adopt(missing[start : start + ADOPT_MAX], waits)
        return waits, await instructions.load_pairs(self._pool, list(waits))

    async def _adopt(self, ids: Sequence[SettlementId], waits: Mapping[str, PendingPair]) -> None:
        loaded = await self._journal.load(ids)
        pair_ids = [item.pair for item in loaded.values() if item.pair]
        known = await instructions.load_pairs(self._pool, pair_ids)
        orders = await payments.used(self._pool, known)
        for item in loaded.values():
            self._runner.adopt(item, self._origin(item, known, waits, orders))

    def _origin(
        self,
        item: Loaded,
        known: Mapping[str, MatchedPair],
        waits: Mapping[str, PendingPair],
        orders: Mapping[str, Mapping[str, Ordered]],
    ) -> Origin:
        if item.pair is None:
            return self._swap_origin(item.state.swap)
        assert item.attempt is not None, "a pair's settlement is one of its attempts"
        advised = waits[item.pair].advised if item.pair in waits else ""
        standing = Standing(orders=orders[item.pair])
        return self._pair_origin(known[item.pair], item.attempt, advised, standing)
