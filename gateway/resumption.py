"""A pair that waits is looked at again: it settles now, or waits for something else and is told so.

Something that it waited for has come (a release, a payment order) or has gone (a hold, a recall).
The caller has locked the pair's row, so that no attempt begins beside this.
"""

from collections.abc import Awaitable, Callable, Set

from gateway import linkage, waiting
from gateway.days import Days
from gateway.elsewhere import CONFLICTS_MAX
from gateway.jobs import AttemptJob, Begun, Done
from gateway.journal import QUERIES, Journal, Loaded, PendingPair, deliver
from gateway.pairs import MatchedPair, notice
from gateway.payments import Payments, Standing
from gateway.sql import Connection
from htlc.settlement import Phase
from htlc.units import MemberId

Begin = Callable[
    [Connection, int, AttemptJob, Done, Standing, Set[MemberId]], Awaitable[list[Begun]]
]
"""Opens an attempt of a pair, with its orders and the requests for cancellation that stand."""


class Resumption:
    """Looks at waiting pairs again, inside the transaction of an intake."""

    def __init__(self, journal: Journal, payments: Payments, begin: Begin, days: Days) -> None:
        self._journal = journal
        self._payments = payments
        self._begin = begin
        self._days = days

    async def waits(self, connection: Connection, pair: str) -> PendingPair | Loaded | None:
        """The row of a pair that waits, locked; the attempt that is under way or has settled it; or
        None if that changes too fast to be told."""
        for _ in range(CONFLICTS_MAX):
            attempt = await self._journal.last_attempt(connection, pair)
            if attempt is not None and not _is_over(attempt):
                return attempt
            row = await connection.fetchrow(QUERIES["lock_pending"], pair)
            if row is not None:
                again = await self._journal.last_attempt(connection, pair)
                if again is None or _is_over(again):
                    return PendingPair.of(row)
        return None

    async def resume(
        self, connection: Connection, n: int, waits: PendingPair, pair: MatchedPair, done: Done
    ) -> list[Begun]:
        """Try a pair that waits, unless there is (still) something that it has to wait for."""
        standing = (await self._payments.standing(connection, [pair], done.told))[pair.id]
        linked = bool(await linkage.waiting(connection, [pair]))
        wait = waiting.must_wait(pair, self._days, standing.unpaid, linked=linked)
        if wait is not None:
            await self.keep(connection, waits, pair, wait, done)
            return []
        job = AttemptJob(pair=pair, wait=waits)
        asking = await connection.fetch(QUERIES["cancellations"], [pair.id])
        members = {MemberId(row["member"]) for row in asking}
        openings = await self._begin(connection, n, job, done, standing, members)
        if openings:
            done.over.append(pair.id)
        return openings

    async def look(
        self, connection: Connection, waits: PendingPair, pair: MatchedPair, done: Done
    ) -> None:
        """Something has gone: a pair may have to wait for more than its time now."""
        standing = (await self._payments.standing(connection, [pair], done.told))[pair.id]
        linked = bool(await linkage.waiting(connection, [pair]))
        wait = waiting.must_wait(pair, self._days, standing.unpaid, linked=linked)
        if wait is not None:
            await self.keep(connection, waits, pair, wait, done)

    async def keep(
        self,
        connection: Connection,
        waits: PendingPair,
        pair: MatchedPair,
        wait: waiting.Wait,
        done: Done,
    ) -> None:
        """The pair waits on, for this; both sides are told if it is something else than before."""
        kept = waiting.kept(waits, wait, self._days.today())
        await self._journal.put_pending(connection, [kept])
        done.waits.append((kept, pair))
        if (kept.advised, kept.failing) == (waits.advised, waits.failing):
            return
        now, codes = self._days.now(), (kept.advised, kept.mirrored)
        told = pair.told_pending(codes, now, failing=kept.failing, text=wait.text)
        notices = [notice(side, message, now) for side, message in told]
        await deliver(connection, notices)
        done.told.update(item.member for item in notices)


def _is_over(attempt: Loaded) -> bool:
    """Ended, and the pair goes on without it."""
    return attempt.state.ended and attempt.state.phase is not Phase.SETTLED
