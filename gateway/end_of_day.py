"""What the end of a business day brings: pairs that fail from then on, and what has expired.

- A pair that has not settled when the business day it was due on is over is told so (sese.024
  `Flng`, with the reason that it was pending for), once. It is tried again as before.
- An instruction without a counterpart, and a pair that neither settles nor is cancelled, is
  cancelled by the system (`Canc/CANS`, fxtr.017 RSCD) some business days after its settlement date
  or, if that is later, after its status changed last.

Every replica looks: at its own pairs, and at all unmatched instructions under the lock of matching.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec

from gateway import allegements, cancellations, instructions, payments
from gateway.days import Days
from gateway.fx_pairs import FxPair, FxSide, status
from gateway.instructions import Unmatched
from gateway.jobs import UNTOLD
from gateway.journal import LOST, QUERIES, Journal, Notice, PairEnd, PendingPair, deliver
from gateway.pairs import MatchedPair, Side, cancelled, notice
from gateway.sql import Connection, Pool
from protocols.iso20022.codes import CancellationReason, FailingReason, PendingReason
from protocols.iso20022.fx import TradeStatus

PERIOD_SECONDS: Final = 15.0
"""How often the waiting pairs are looked at, in memory: 100,000 of them in 0.1 s. A cut-off is a
matter of minutes."""

UNMATCHED_SECONDS: Final = 600.0
"""How often the unmatched instructions are, in the database: they expire by the day."""

SLICE: Final = 500
"""Pairs looked at before other tasks get their turn: half a millisecond."""

FIRST_ID: Final = "00000000-0000-0000-0000-000000000000"
"""Where a list of instructions begins: before every id."""

BATCH_MAX: Final = 200
"""Pairs, or instructions, of one transaction: matching, and intake, wait for it."""


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
        waiting: Callable[[], Sequence[tuple[PendingPair, MatchedPair]]],
        changed: Callable[[PendingPair, MatchedPair], None],
        over: Callable[[str], None],
        say: Callable[[str], None],
    ) -> None:
        self._pool = pool
        self._journal = journal
        self._days = days
        self._unmatched_days = unmatched_days
        self._matched_days = matched_days
        self._delivered = delivered
        self._waiting = waiting
        self._changed = changed
        self._over = over
        self._say = say

    async def run(self) -> None:
        """Look again and again until cancelled."""
        looked_at = -math.inf
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            try:
                await self.pairs()
                if time.monotonic() - looked_at >= UNMATCHED_SECONDS:
                    await self.unmatched()
                    looked_at = time.monotonic()
            except LOST as error:
                self._say(f"the end of the business day waits for the database: {error!r}")

    # ------------------------------------------------------------------ pairs

    async def pairs(self) -> None:
        """Judge the pairs of this replica as memory has them, and again under lock those that
        something is due for."""
        due: dict[str, MatchedPair] = {}
        for n, (wait, pair) in enumerate(self._waiting()):
            if self._fails(wait, pair) or self._expired(wait, pair):
                due[pair.id] = pair
            if n % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        ids = list(due)
        for start in range(0, len(ids), BATCH_MAX):
            await self._change({id: due[id] for id in ids[start : start + BATCH_MAX]})

    def _fails(self, wait: PendingPair, pair: MatchedPair) -> bool:
        day = self._days.current(pair.instruction)
        return not wait.failing and wait.settle_on < day.date and pair.settlement_date < day.date

    def _expired(self, wait: PendingPair, pair: MatchedPair) -> bool:
        since = max(wait.settle_on, wait.told_on)
        if (self._days.today() - since).days < self._matched_days:
            return False  # business days are not more than days, and take longer to count
        return self._days.elapsed(pair.instruction, since) > self._matched_days

    async def _change(self, pairs: dict[str, MatchedPair]) -> None:
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

    def _told_failing(self, wait: PendingPair, pair: MatchedPair) -> list[Notice]:
        if isinstance(pair, FxPair):
            return []  # fxtr.017 knows one pending status, and it was told
        now = self._days.now()
        told = pair.told_pending((wait.advised, wait.mirrored), now, failing=True)
        return [notice(side, message, now) for side, message in told]

    async def _expire(self, connection: Connection, pair: MatchedPair) -> list[Notice]:
        now = self._days.now()
        await connection.execute(QUERIES["drop_pending"], [pair.id])
        await cancellations.conclude(connection, [PairEnd(pair=pair.id, settled=False)], now)
        told = pair.told_cancelled(now, by_system=True)
        return [notice(side, message, now) for side, message in told]

    # ------------------------------------------------------------------ unmatched

    async def unmatched(self) -> None:
        """End the instructions that nobody has matched in time."""
        before = self._days.today() - timedelta(days=self._unmatched_days)
        after = FIRST_ID
        while True:
            page = await instructions.unmatched(self._pool, before, after, BATCH_MAX)
            if over := [item for item in page if self._is_over(item)]:
                await self._expire_unmatched([item.side.id for item in over])
            if len(page) < BATCH_MAX:
                return
            after = page[-1].side.id

    async def _expire_unmatched(self, ids: Sequence[str]) -> None:
        """Those that are unmatched still, now that nothing can be matched meanwhile."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(QUERIES["lock_matching"])
            found = await instructions.still_unmatched(connection, ids)
            notices = await self._end(connection, found)
        self._delivered({item.member for item in notices})

    def _is_over(self, found: Unmatched) -> bool:
        instruction = found.side.instruction
        since = max(instruction.settlement_date, _date(found.changed_at))
        return self._days.elapsed(instruction, since) > self._unmatched_days

    async def _end(self, connection: Connection, found: Sequence[Unmatched]) -> list[Notice]:
        if not found:
            return []
        now = self._days.now()
        sides = [item.side for item in found]
        notices = await payments.reject_cancelled(connection, sides, now)
        for item in found:
            notices.append(_expired(item.side, now))
            if item.alleged and isinstance(item.side, Side):
                notices.append(allegements.removed(item.side, now))
        ids = [item.side.id for item in found]
        await connection.execute(QUERIES["cancel_instructions"], ids, None)
        await deliver(connection, notices)
        return notices


def _failing_code(code: str) -> str:
    """The same code, if it is a reason of failing."""
    if code == PendingReason.FUTU.value:  # we were away on its date
        return str(FailingReason.CYCL.value)
    return code if code in FailingReason._value2member_map_ else str(FailingReason.OTHR.value)


def _expired(side: Side | FxSide, now: int) -> Notice:
    if isinstance(side, FxSide):
        return notice(side, status(side, TradeStatus.RESCINDED, now), now)
    return notice(side, cancelled(side, None, CancellationReason.CANS), now)


def _date(at: int) -> date:
    return datetime.fromtimestamp(at // 1_000_000_000, UTC).date()
