"""What the end of a business day brings: pairs that fail from then on, and what has expired.

- A pair that has not settled when the business day it was due on is over is told so (sese.024
  `Flng`, with the reason that it was pending for), once. It is tried again as before.
- An instruction without a counterpart, and a pair that neither settles nor is cancelled, is
  cancelled by the system (`Canc/CANS`, fxtr.017 RSCD) some business days after its settlement date
  or, if that is later, after its status changed last.

Every replica looks: at its own pairs, and at all unmatched instructions under the lock of matching.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec

from gateway import allegements, cancellations, instructions
from gateway.days import Days
from gateway.fx_pairs import FxPair, FxSide, status
from gateway.instructions import Unmatched
from gateway.jobs import UNTOLD
from gateway.journal import LOST, QUERIES, Journal, Notice, PairEnd, PendingPair, deliver
from gateway.pairs import Pair, Side, cancelled, notice
from gateway.sql import Connection, Pool
from protocols.iso20022.codes import CancellationReason, FailingReason
from protocols.iso20022.fx import TradeStatus

PERIOD_SECONDS: Final = 5.0
"""How often it is looked for what is due; a cut-off is a matter of minutes."""

FIRST_ID: Final = "00000000-0000-0000-0000-000000000000"
"""Where a list of instructions begins: before every id."""

BATCH_MAX: Final = 200
"""Pairs, or instructions, of one transaction: some 20 ms."""


class EndOfDay:
    """Looks for what the calendar brings about, as long as the gateway runs."""

    def __init__(
        self,
        pool: Pool,
        journal: Journal,
        days: Days,
        *,
        unmatched_days: int,
        matched_days: int,
        delivered: Callable[[Iterable[str]], None],
        changed: Callable[[PendingPair, Pair | FxPair], None],
        over: Callable[[str], None],
        say: Callable[[str], None],
    ) -> None:
        self._pool = pool
        self._journal = journal
        self._days = days
        self._unmatched_days = unmatched_days
        self._matched_days = matched_days
        self._delivered = delivered
        self._changed = changed
        self._over = over
        self._say = say

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            try:
                await self.look()
            except LOST as error:
                self._say(f"the end of the business day waits for the database: {error!r}")

    async def look(self) -> None:
        """Tell and end what is due now."""
        rows = await self._pool.fetch(QUERIES["open_pairs"], self._journal.replica)
        ids = [str(row["pair"]) for row in rows]
        for start in range(0, len(ids), BATCH_MAX):
            await self._pairs(ids[start : start + BATCH_MAX])
        await self._unmatched()

    # ------------------------------------------------------------------ pairs

    async def _pairs(self, ids: Sequence[str]) -> None:
        """Judge pairs as they are known, and judge again under lock those that something is due
        for."""
        known = await instructions.load_pairs(self._pool, ids)
        due = []
        for row in await self._pool.fetch(QUERIES["resting_pairs"], list(ids)):
            wait = PendingPair.of(row)
            if self._fails(wait, known[wait.pair]) or self._expired(wait, known[wait.pair]):
                due.append(wait.pair)
        if due:
            await self._change({id: known[id] for id in due})

    def _fails(self, wait: PendingPair, pair: Pair | FxPair) -> bool:
        day = self._days.current(pair.instruction)
        return not wait.failing and wait.settle_on < day.date and pair.settlement_date < day.date

    def _expired(self, wait: PendingPair, pair: Pair | FxPair) -> bool:
        since = max(wait.settle_on, wait.told_on)
        return self._days.elapsed(pair.instruction, since) > self._matched_days

    async def _change(self, pairs: dict[str, Pair | FxPair]) -> None:
        notices: list[Notice] = []
        changed: list[PendingPair] = []
        over: list[str] = []
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(QUERIES["lock_resting_pairs"], list(pairs))
            for wait in map(PendingPair.of, rows):
                pair = pairs[wait.pair]
                if self._expired(wait, pair):
                    notices += await self._expire(connection, pair)
                    over.append(pair.id)
                elif self._fails(wait, pair):
                    fails = self._failing(wait)
                    changed.append(fails)
                    notices += self._told_failing(fails, pair)
            await self._journal.put_pending(connection, changed)
            await deliver(connection, notices)
        for id in over:
            self._over(id)
        for wait in changed:
            self._changed(wait, pairs[wait.pair])
        self._delivered({item.member for item in notices})

    def _failing(self, wait: PendingPair) -> PendingPair:
        """From now on; with the reasons it was pending for, where both are known."""
        other = str(FailingReason.OTHR.value)
        known = wait.advised not in ("", UNTOLD)
        return msgspec.structs.replace(
            wait,
            failing=True,
            advised=_failing_code(wait.advised) if known else other,
            mirrored=_failing_code(wait.mirrored) if known else other,
            told_on=self._days.today(),
        )

    def _told_failing(self, wait: PendingPair, pair: Pair | FxPair) -> list[Notice]:
        if isinstance(pair, FxPair):
            return []  # fxtr.017 knows one pending status, and it was told
        now = self._days.now()
        told = pair.told_pending((wait.advised, wait.mirrored), now, failing=True)
        return [notice(side, message, now) for side, message in told]

    async def _expire(self, connection: Connection, pair: Pair | FxPair) -> list[Notice]:
        now = self._days.now()
        await connection.execute(QUERIES["drop_pending"], [pair.id])
        await cancellations.conclude(connection, [PairEnd(pair=pair.id, settled=False)], now)
        told = pair.told_cancelled(now, by_system=True)
        return [notice(side, message, now) for side, message in told]

    # ------------------------------------------------------------------ unmatched

    async def _unmatched(self) -> None:
        """End the instructions that nobody has matched in time."""
        before = self._days.today() - timedelta(days=self._unmatched_days)
        after = FIRST_ID
        while True:
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(QUERIES["lock_matching"])
                found = await instructions.unmatched(connection, before, after, BATCH_MAX)
                notices = await self._end(connection, [x for x in found if self._is_over(x)])
            self._delivered({item.member for item in notices})
            if len(found) < BATCH_MAX:
                return
            after = found[-1].side.id

    def _is_over(self, found: Unmatched) -> bool:
        instruction = found.side.instruction
        since = max(instruction.settlement_date, _date(found.changed_at))
        return self._days.elapsed(instruction, since) > self._unmatched_days

    async def _end(self, connection: Connection, found: Sequence[Unmatched]) -> list[Notice]:
        if not found:
            return []
        now = self._days.now()
        notices = []
        for item in found:
            notices.append(_expired(item.side, now))
            if item.alleged and isinstance(item.side, Side):
                notices.append(allegements.removed(item.side, now))
        ids = [item.side.id for item in found]
        await connection.execute(QUERIES["cancel_instructions"], ids, None)
        await deliver(connection, notices)
        return notices


def _failing_code(code: str) -> str:
    """The same code, or OTHR where it is no reason of failing (FUTU and a few more)."""
    return code if code in FailingReason._value2member_map_ else str(FailingReason.OTHR.value)


def _expired(side: Side | FxSide, now: int) -> Notice:
    if isinstance(side, FxSide):
        return notice(side, status(side, TradeStatus.RESCINDED, now), now)
    return notice(side, cancelled(side, None, CancellationReason.CANS), now)


def _date(at: int) -> date:
    return datetime.fromtimestamp(at // 1_000_000_000, UTC).date()
