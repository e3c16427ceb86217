"""Intake: what members send becomes durable, and settlements begin, in one transaction per batch.

Messages, proposals of agreed swaps, and further attempts of pending pairs all come through here.
What is judged without the store (schema, business rules, the shape of a swap) is judged before it
is queued; what needs the store (duplicates, matching, ids) inside the transaction, by pure code.
A sender is answered when its batch is durable.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Final

from gateway import fx_trades, inbound, instructions, linkage, waiting
from gateway.admission import Admission, keys_of
from gateway.agreed import AgreedSwaps
from gateway.attempts import Attempts, Openers
from gateway.cancellations import Cancellations
from gateway.fx_pairs import FxPair
from gateway.fx_requests import FxRequests
from gateway.group import GroupWriter, Overloaded
from gateway.holds import Holds
from gateway.inbound import Arrival
from gateway.jobs import (
    Admit,
    AttemptJob,
    Begun,
    Done,
    Job,
    MessageJob,
    SwapJob,
    note_started,
    nothing_done,
)
from gateway.journal import LOST, QUERIES, Journal, PendingPair, deliver
from gateway.liquidity import LiquidityIntake
from gateway.orders import Orders
from gateway.pairs import Pair
from gateway.payments import Payments
from gateway.recalls import Recalls
from gateway.sql import Connection, Pool

BATCH_MAX: Final = 100
"""Jobs (requests) in one transaction: with up to 500 items each it stays within a second."""

QUEUE_MAX: Final = 2_000
"""Requests that may wait: some seconds of work. Beyond it, members are told to come back."""


class Intake:
    """The queue of jobs and its transaction."""

    def __init__(
        self,
        pool: Pool,
        journal: Journal,
        openers: Openers,
        *,
        done: Callable[[Job, Done], None],
        failed: Callable[[Job, Exception], None],
        lost: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self._pool = pool
        self._journal = journal
        self._openers = openers
        self._lost = lost
        self._cancellations = Cancellations(journal, openers.now)
        self._payments = Payments(openers.attorney, openers.now)
        self._attempts = Attempts(
            journal, lambda: self._openers, self._payments, self._cancellations
        )
        self._agreed = AgreedSwaps(
            pool, journal, begin=self._attempts.begin, origin=openers.swap_origin
        )
        self._fx = FxRequests(journal, openers.now)
        resumption = self._attempts.resumption
        #: What becomes of each family of messages that `protocols.iso20022.inbound` reads.
        self._families: Mapping[str, Admit] = {
            "camt.050": LiquidityIntake(openers.keeper, openers.new_id, openers.now).admit,
            "camt.056": Recalls(resumption, openers.now).admit,
            "fxtr.014": self._trades,
            "fxtr.015": self._fx_requests,
            "fxtr.016": self._fx_requests,
            "pacs.009": Orders(resumption, openers.now).admit,
            "sese.020": self._cancellations.admit,
            "sese.023": self._instructions,
            "sese.030": Holds(resumption, openers.now).admit,
        }
        self.writer: GroupWriter[Job, Done] = GroupWriter(
            self._write, done, failed, batch_max=BATCH_MAX, queue_max=QUEUE_MAX, say=say
        )

    def put(self, job: Job) -> bool:
        """Queue a job; False if too many wait already."""
        try:
            self.writer.put(job)
        except Overloaded:
            return False
        return True

    async def _write(self, jobs: Sequence[Job]) -> list[Done]:
        try:
            if all(isinstance(job, SwapJob) for job in jobs):
                done = nothing_done(jobs)
                await self._agreed.open(jobs, done)
                return done
            async with self._pool.acquire() as connection, connection.transaction():
                return await self._write_in(connection, jobs)
        except LOST:
            self._lost()  # what was written before the connection went is found by recovery
            raise

    async def _write_in(self, connection: Connection, jobs: Sequence[Job]) -> list[Done]:
        done = nothing_done(jobs)
        arrivals = [
            (n, arrival)
            for n, job in enumerate(jobs)
            if isinstance(job, MessageJob)
            for arrival in job.arrivals
        ]
        if arrivals:
            await self._messages(connection, arrivals, done)
        openings = await self._attempts.again(connection, jobs, done)
        await self._open(connection, openings, done)
        await self._agreed.open_in(connection, jobs, done)
        return done

    async def _open(
        self,
        connection: Connection,
        openings: Sequence[Begun],
        done: Sequence[Done],
    ) -> None:
        if not openings:
            return
        new = await self._journal.open_in(connection, [opening for _, opening, _ in openings])
        note_started(openings, new, done)

    # ------------------------------------------------------------------ messages

    async def _messages(
        self,
        connection: Connection,
        arrivals: Sequence[tuple[int, Arrival]],
        done: Sequence[Done],
    ) -> None:
        """Keep what is new; then each run of one family, in order, goes to what deals with it."""
        await connection.execute(QUERIES["lock_matching"])
        inbox = await inbound.known(connection, [arrival for _, arrival in arrivals])
        fresh = []
        for n, arrival in arrivals:
            before = len(inbox.new)
            done[n].messages.append(inbox.take(arrival))
            if len(inbox.new) > before:
                fresh.append((n, arrival))
        await inbound.store(connection, inbox.new)
        for family, run in groupby(fresh, key=lambda item: item[1].family):
            openings = await self._families[family](connection, list(run), done)
            await self._open(connection, openings, done)  # a later run may cancel it

    async def _instructions(
        self,
        connection: Connection,
        arrivals: Sequence[tuple[int, Arrival]],
        done: Sequence[Done],
    ) -> list[Begun]:
        keys = keys_of(arrival for _, arrival in arrivals)
        known = await instructions.known(connection, [arrival for _, arrival in arrivals], keys)
        days = self._openers.days
        admission = Admission(
            known, self._openers.now(), late=days.late, tolerance=self._openers.tolerance
        )
        for (_, arrival), its in zip(arrivals, keys, strict=True):
            admission.take(arrival, its)
        brought = {arrival.key: n for n, arrival in arrivals}
        last = done[arrivals[-1][0]]
        standing = await self._payments.standing(connection, admission.pairs, last.told)
        links = await linkage.keep(connection, admission.accepted()) or known.links
        linked = await linkage.waiting(connection, admission.pairs if links else ())
        waits: dict[str, waiting.Wait] = {}
        kept: list[tuple[PendingPair, Pair]] = []
        for pair in admission.pairs:
            unpaid = standing[pair.id].unpaid
            wait = waiting.must_wait(pair, days, unpaid, linked=pair.id in linked)
            if wait is not None:
                waits[pair.id] = wait
                fresh = waiting.fresh(pair, days)
                kept.append((waiting.kept(fresh, wait, days.today()), pair))
        admission.tell(waits)
        await instructions.store(connection, admission)
        await deliver(connection, admission.notices)
        await self._journal.put_pending(connection, [wait for wait, _ in kept])
        last.waits.extend(kept)
        openings: list[Begun] = []
        for pair in admission.pairs:
            if pair.id not in waits:
                n = _completed_by(pair, brought)
                job = AttemptJob(pair=pair, wait=waiting.fresh(pair, days))
                paid = standing[pair.id]
                openings += await self._attempts.attempt(connection, n, job, done[n], paid)
        return openings

    async def _trades(
        self,
        connection: Connection,
        arrivals: Sequence[tuple[int, Arrival]],
        done: Sequence[Done],
    ) -> list[Begun]:
        openers, last = self._openers, arrivals[-1][0]
        found, told = await fx_trades.admit(
            connection, [arrival for _, arrival in arrivals], openers.now(), openers.days
        )
        done[last].told.update(told)
        return await self._found(connection, found, last, done)

    async def _fx_requests(
        self,
        connection: Connection,
        arrivals: Sequence[tuple[int, Arrival]],
        done: Sequence[Done],
    ) -> list[Begun]:
        openings: list[Begun] = []
        for n, arrival in arrivals:
            found = await self._fx.take(connection, arrival, self._openers.days, done[n])
            openings += await self._found(connection, found, n, done)
        return openings

    async def _found(
        self, connection: Connection, pairs: Sequence[FxPair], n: int, done: Sequence[Done]
    ) -> list[Begun]:
        """Pairs of trades that are matched now: those of today settle, the others wait."""
        days = self._openers.days
        openings: list[Begun] = []
        standing = await self._payments.standing(connection, pairs, done[n].told)
        for pair in pairs:
            paid, fresh = standing[pair.id], waiting.fresh(pair, days)
            wait = waiting.must_wait(pair, days, paid.unpaid)
            if wait is None:
                job = AttemptJob(pair=pair, wait=fresh)
                openings += await self._attempts.attempt(connection, n, job, done[n], paid)
                continue
            if wait.text is None:  # that its date lies ahead was told with the match
                fresh = waiting.kept(fresh, wait, days.today())
            await self._attempts.resumption.keep(connection, fresh, pair, wait, done[n])
        return openings


def _completed_by(pair: Pair, brought: Mapping[tuple[str, str], int]) -> int:
    """The job that brought the later side of a pair: what becomes of it belongs to that one."""
    keys = (
        (side.member, side.related.business_message_id) for side in (pair.deliver, pair.receive)
    )
    return max(brought[key] for key in keys if key in brought)
