"""Intake: what members send becomes durable, and settlements begin, in one transaction per batch.

Messages, proposals of agreed swaps, and further attempts of pending pairs all come through here.
What is judged without the store (schema, business rules, the shape of a swap) is judged before it
is queued; what needs the store (duplicates, matching, ids) inside the transaction, by pure code.
A sender is answered when its batch is durable.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from itertools import groupby
from typing import Final

import msgspec

from gateway import cancellations, claims, fx_trades, inbound, instructions, linkage, waiting
from gateway.admission import Admission
from gateway.agreed import AgreedSwaps
from gateway.cancellations import Cancellations
from gateway.days import Days
from gateway.fx_pairs import FxPair
from gateway.fx_requests import FxRequests
from gateway.group import GroupWriter, Overloaded
from gateway.holds import Holds
from gateway.inbound import Arrival
from gateway.jobs import (
    FOREVER,
    Admit,
    AttemptJob,
    Begun,
    Done,
    Job,
    MessageJob,
    Started,
    SwapJob,
    note_started,
    nothing_done,
)
from gateway.journal import (
    LOST,
    QUERIES,
    Entry,
    Journal,
    Loaded,
    Notice,
    Opening,
    PendingPair,
    deliver,
)
from gateway.live import Origin
from gateway.pairs import MatchedPair, Pair, notice
from gateway.sql import Connection, Pool
from htlc.coordinator import evolve, propose
from htlc.events import Decided, Event, Proposed
from htlc.settlement import Settlement
from htlc.swap import Swap
from htlc.units import MemberId, SettlementId
from protocols.matching import Tolerance

BATCH_MAX: Final = 100
"""Jobs (requests) in one transaction: with up to 500 items each it stays within a second."""

QUEUE_MAX: Final = 2_000
"""Requests that may wait: some seconds of work. Beyond it, members are told to come back."""

UNHEARD_AGAIN: Final = 1_000_000_000
"""Nanoseconds until a matched pair is tried again whose ledger has not told what it keeps."""


class Openers(msgspec.Struct, frozen=True, kw_only=True):
    """What intake asks of the rest of the gateway; all pure or in memory."""

    #: The swap of a pair's attempt; None if reference data cannot tell (any more).
    pair_swap: Callable[[SettlementId, MatchedPair], Swap | None]
    #: The event that opens a settlement at once, if everything is known for it.
    opening: Callable[[Settlement], Event | None]
    pair_origin: Callable[[MatchedPair, PendingPair], Origin]
    swap_origin: Callable[[Swap], Origin]
    #: Notices to payers who have not consented yet.
    proposed: Callable[[Settlement, int], tuple[Notice, ...]]
    new_id: Callable[[], str]
    now: Callable[[], int]
    days: Days
    tolerance: Tolerance


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
        self._agreed = AgreedSwaps(pool, journal, begin=self._begin, origin=openers.swap_origin)
        self._cancellations = Cancellations(journal, openers.now)
        self._fx = FxRequests(journal, openers.now)
        holds = Holds(journal, self._attempt, openers.days)
        #: What becomes of each family of messages that `protocols.iso20022.inbound` reads.
        self._families: Mapping[str, Admit] = {
            "fxtr.014": self._trades,
            "fxtr.015": self._fx_requests,
            "fxtr.016": self._fx_requests,
            "sese.020": self._cancellations.admit,
            "sese.023": self._instructions,
            "sese.030": holds.admit,
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
        openings = await self._attempts(connection, jobs, done)
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
        known = await instructions.known(connection, [arrival for _, arrival in arrivals])
        days = self._openers.days
        admission = Admission(
            known, self._openers.now(), late=days.late, tolerance=self._openers.tolerance
        )
        for _, arrival in arrivals:
            admission.take(arrival)
        brought = {arrival.key: n for n, arrival in arrivals}
        openings: list[Begun] = []
        await linkage.keep(connection, admission.accepted())
        linked = await linkage.waiting(connection, admission.pairs)
        waits: dict[str, waiting.Wait] = {}
        kept: list[tuple[PendingPair, Pair]] = []
        for pair in admission.pairs:
            wait, fresh = waiting.must_wait(pair, days), waiting.fresh(pair, days)
            if wait is None and pair.id in linked:
                wait = linkage.wait(days.now())
            if wait is None:
                begun = AttemptJob(pair=pair, wait=fresh)
                n = _completed_by(pair, brought)
                openings += await self._attempt(connection, n, begun, done[n])
                continue
            waits[pair.id] = wait
            kept.append((waiting.kept(fresh, wait, days.today()), pair))
        admission.tell(waits)
        await instructions.store(connection, admission)
        await deliver(connection, admission.notices)
        await self._journal.put_pending(connection, [wait for wait, _ in kept])
        done[arrivals[-1][0]].waits.extend(kept)
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
        for pair in pairs:
            wait, fresh = waiting.must_wait(pair, days), waiting.fresh(pair, days)
            if wait is None:
                job = AttemptJob(pair=pair, wait=fresh)
                openings += await self._attempt(connection, n, job, done[n])
                continue
            kept = waiting.kept(fresh, wait, days.today())
            await self._journal.put_pending(connection, [kept])
            done[n].waits.append((kept, pair))
        return openings

    async def _attempts(
        self, connection: Connection, jobs: Sequence[Job], done: Sequence[Done]
    ) -> list[Begun]:
        """Further attempts of the pairs that still wait for one. A pair whose sides have both asked
        for cancellation while the attempt before came to its end is cancelled instead."""
        wanted = {
            job.pair.id: (n, job) for n, job in enumerate(jobs) if isinstance(job, AttemptJob)
        }
        if not wanted:
            return []
        tries = [job.attempt for _, job in wanted.values()]
        due = await connection.fetch(QUERIES["due_pairs"], list(wanted), tries, FOREVER)
        stands = {str(row["pair"]): PendingPair.of(row) for row in due}
        asking: dict[str, set[MemberId]] = {pair: set() for pair in stands}
        for row in await connection.fetch(QUERIES["cancellations"], list(asking)):
            asking[str(row["pair"])].add(MemberId(row["member"]))
        openings = []
        linked = await linkage.waiting(connection, [wanted[pair][1].pair for pair in asking])
        for pair in (id for id in wanted if id in asking):  # in the order in which they were put
            members = asking[pair]
            n, job = wanted[pair]
            job = msgspec.structs.replace(job, wait=stands[pair])  # told more meanwhile, perhaps
            if len(members) == 2:
                await self._cancellations.end(connection, job.pair, done[n])
            elif pair in linked:
                await self._linked(connection, job, done[n])
            else:
                openings += await self._attempt(connection, n, job, done[n], members)
        return openings

    async def _linked(self, connection: Connection, job: AttemptJob, done: Done) -> None:
        """A pair whose time has come waits for a linked instruction; that is told once."""
        days = self._openers.days
        kept = waiting.kept(job.wait, linkage.wait(days.now()), days.today())
        if job.advised == kept.advised:
            kept = msgspec.structs.replace(kept, told_on=job.wait.told_on)
        else:
            now = self._openers.now()
            told = job.pair.told_pending(linkage.LINKED, now, failing=kept.failing)
            await deliver(connection, [notice(side, message, now) for side, message in told])
            done.told.update(job.pair.members)
        await self._journal.put_pending(connection, [kept])
        done.waits.append((kept, job.pair))

    async def _attempt(
        self,
        connection: Connection,
        n: int,
        job: AttemptJob,
        done: Done,
        cancelling: Set[MemberId] = frozenset(),
    ) -> list[Begun]:
        id = SettlementId(self._openers.new_id())
        swap = self._openers.pair_swap(id, job.pair)
        if swap is None:
            due_at = self._openers.now() + UNHEARD_AGAIN
            await claims.wait(connection, self._journal, job, due_at, done)
            return []
        if await claims.take(connection, self._journal, job, swap, self._openers.now(), done):
            return []
        proposed = Proposed(swap=swap, consents=tuple(sorted(swap.payers)))  # matched: consent
        opened = self._openers.opening(propose(proposed))
        if isinstance(opened, Decided):
            opened = None  # the runner finds the same, and tells the sides what it means to them
        running = msgspec.structs.replace(job.wait, due_at=FOREVER, attempts=job.attempt)
        opening, started = self._begin(
            proposed,
            opened,
            self._openers.pair_origin(job.pair, job.wait),
            pair=job.pair.id,
            attempt=job.attempt,
            pending=running if job.advised else None,
            notices=self._selected(job),
            cancelling=cancelling,
        )
        return [(n, opening, started)]

    def _selected(self, job: AttemptJob) -> tuple[Notice, ...]:
        """Notices that a pair's settlement date has come."""
        if job.attempt > 1 or job.advised not in waiting.DATED:
            return ()
        now = self._openers.now()
        return tuple(notice(side, told, now) for side, told in job.pair.told_selected(now))

    def _begin(
        self,
        proposed: Proposed,
        opened: Event | None,
        origin: Origin,
        *,
        digest: bytes | None = None,
        pair: str | None = None,
        attempt: int | None = None,
        pending: PendingPair | None = None,
        notices: tuple[Notice, ...] = (),
        cancelling: Set[MemberId] = frozenset(),
    ) -> tuple[Opening, Started]:
        """The first journal entry: PROPOSED, and OPEN with it where it is due at once. Nothing
        depends on the one without the other, so they share the record."""
        now = self._openers.now()
        state = before = propose(proposed)
        events: tuple[Event, ...] = (proposed,)
        if opened is not None:
            state, requests = cancellations.asked(evolve(state, opened), cancelling)
            events = (proposed, opened, *requests)
            notices = (*notices, *origin.advise(before, state).notices)
        entry = Entry(
            settlement=proposed.swap.id,
            sequence=1,
            events=events,
            phase=state.phase,
            decision=state.decision,
            ended=state.ended,
            notices=(*notices, *self._openers.proposed(state, now)),
            pending=pending,
        )
        opening = Opening(
            entry=entry,
            created_at=now,
            members=tuple(sorted(state.swap.parties)),
            digest=digest,
            pair=pair,
            attempt=attempt,
        )
        loaded = Loaded(
            state=state,
            sequence=1,
            created_at=now,
            pair=pair,
            attempt=attempt,
            replica=self._journal.replica,
        )
        return opening, Started(loaded=loaded, origin=origin)


def _completed_by(pair: Pair, brought: Mapping[tuple[str, str], int]) -> int:
    """The job that brought the later side of a pair: what becomes of it belongs to that one."""
    keys = (
        (side.member, side.related.business_message_id) for side in (pair.deliver, pair.receive)
    )
    return max(brought[key] for key in keys if key in brought)
