"""Attempts of matched pairs, and the first journal entry of every settlement.

Everything here happens inside the transaction of an intake: an attempt is opened with what caused
it, or not at all.
"""

from collections.abc import Callable, Sequence, Set
from typing import Final

import msgspec

from gateway import cancellations, claims, linkage, party_locks, payments, waiting
from gateway.cancellations import Cancellations
from gateway.cash import CashLegs
from gateway.days import Days
from gateway.jobs import FOREVER, AttemptJob, Begun, Done, Job, Started
from gateway.journal import QUERIES, Entry, Journal, Loaded, Notice, Opening, PendingPair
from gateway.liquidity import Keeper
from gateway.live import Origin
from gateway.pairs import MatchedPair, notice
from gateway.payments import Payments, Standing
from gateway.resumption import Resumption
from gateway.sql import Connection
from htlc.coordinator import evolve, propose
from htlc.events import Decided, Event, Proposed
from htlc.settlement import Settlement
from htlc.swap import Swap
from htlc.units import MemberId, SettlementId
from protocols.matching import Tolerance

UNHEARD_AGAIN: Final = 1_000_000_000
"""Nanoseconds until a matched pair is tried again whose ledger has not told what it keeps."""


class Openers(msgspec.Struct, frozen=True, kw_only=True):
    """What intake asks of the rest of the gateway; all pure or in memory."""

    #: The swap of a pair's attempt; None if reference data cannot tell (any more).
    pair_swap: Callable[[SettlementId, MatchedPair], Swap | None]
    #: The event that opens a settlement at once, if everything is known for it.
    opening: Callable[[Settlement], Event | None]
    pair_origin: Callable[[MatchedPair, PendingPair, Standing], Origin]
    swap_origin: Origin
    #: Notices to payers who have not consented yet.
    proposed: Callable[[Settlement, int], tuple[Notice, ...]]
    #: Whether a member has given the gateway a power of attorney.
    attorney: Callable[[str], bool]
    #: The swap with an end to the wait for consent.
    with_consent_time: Callable[[Swap], Swap]
    #: The ledger of a currency, and its decimals there.
    keeper: Keeper
    new_id: Callable[[], str]
    now: Callable[[], int]
    days: Days
    tolerance: Tolerance


class Attempts:
    """Opens attempts, and gives every settlement its first entry."""

    def __init__(
        self,
        journal: Journal,
        openers: Callable[[], Openers],
        paid_by: Payments,
        cancellations: Cancellations,
    ) -> None:
        self._journal = journal
        self._ask = openers
        self._payments = paid_by
        self._cancellations = cancellations
        self.resumption = Resumption(journal, paid_by, self.attempt, openers().days)

    async def again(
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
        for id in [id for id, members in asking.items() if len(members) == 2]:
            n, job = wanted[id]
            await self._cancellations.end(connection, job.pair, done[n])
            del asking[id]
        pairs = [wanted[id][1].pair for id in asking]
        standing = await self._payments.standing(connection, pairs, done[0].told)
        linked = await linkage.waiting(connection, pairs)
        openings = []
        for id in (id for id in wanted if id in asking):  # in the order in which they were put
            n, job = wanted[id]
            if standing[id].unpaid or id in linked:  # its time has come, and something is missing
                openings += await self.resumption.resume(
                    connection, n, stands[id], job.pair, done[n]
                )
                continue
            job = msgspec.structs.replace(job, wait=stands[id])  # told more meanwhile, perhaps
            openings += await self.attempt(connection, n, job, done[n], standing[id], asking[id])
        return openings

    async def attempt(
        self,
        connection: Connection,
        n: int,
        job: AttemptJob,
        done: Done,
        standing: Standing,
        cancelling: Set[MemberId] = frozenset(),
    ) -> list[Begun]:
        """Open an attempt; none where a ledger has not told what it keeps, or reconciliation has
        stopped what it moves: then the pair waits."""
        asked = self._ask()
        id = SettlementId(asked.new_id())
        swap = asked.pair_swap(id, job.pair)
        if swap is None:
            if asked.days.is_stopped(job.pair):
                stop = waiting.stopped(asked.days)
                await self.resumption.keep(connection, job.wait, job.pair, stop, done)
                return []
            due_at = asked.now() + UNHEARD_AGAIN
            await claims.wait(connection, self._journal, job, due_at, done)
            return []
        cash = CashLegs(job.pair, standing.orders)
        if await claims.take(connection, self._journal, job, swap, cash, asked.now(), done):
            return []
        said: Set[MemberId] = swap.payers  # that they have matched is their consent
        if (block := party_locks.party_block(job.pair)) is not None:
            swap = party_locks.with_secret(swap, block)
            if not await self._is_fresh(connection, swap):
                await self._cancellations.end(connection, job.pair, done, by_system=True)
                return []
            said = party_locks.consents(job.pair, block, standing.orders)
            said |= {payer for payer in swap.payers if asked.attorney(payer)}
            swap = swap if said >= swap.payers else asked.with_consent_time(swap)
        await payments.use(connection, job.pair, standing)
        proposed = Proposed(swap=swap, consents=tuple(sorted(said)))
        opened = asked.opening(propose(proposed)) if said >= swap.payers else None
        if isinstance(opened, Decided):
            opened = None  # the runner finds the same, and tells the sides what it means to them
        running = msgspec.structs.replace(job.wait, due_at=FOREVER, attempts=job.attempt)
        opening, started = self.begin(
            proposed,
            opened,
            asked.pair_origin(job.pair, job.wait, standing),
            pair=job.pair.id,
            attempt=job.attempt,
            pending=running if job.advised else None,
            notices=self._selected(job),
            cancelling=cancelling,
        )
        return [(n, opening, started)]

    async def _is_fresh(self, connection: Connection, swap: Swap) -> bool:
        """Whether a party's hash was never used: whoever has seen its preimage once, in a claim
        that came too late for example, could claim what is locked behind it again."""
        assert swap.secret is not None, "the vault's keys are derived for each attempt"
        used = await connection.fetchval(QUERIES["use_hash"], swap.secret.digest, swap.id)
        return used is not None

    def _selected(self, job: AttemptJob) -> tuple[Notice, ...]:
        """Notices that a pair's settlement date has come."""
        if job.attempt > 1 or job.advised not in waiting.DATED:
            return ()
        now = self._ask().now()
        return tuple(notice(side, told, now) for side, told in job.pair.told_selected(now))

    def begin(
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
        asked = self._ask()
        now = asked.now()
        state = before = propose(proposed)
        events: tuple[Event, ...] = (proposed,)
        if opened is not None:
            state = evolve(state, opened)
            events = (proposed, opened)
            if cancelling:
                state, requests = cancellations.asked(state, cancelling)
                events += requests
            notices = (*notices, *origin.advise(before, state).notices)
        else:
            notices = (*notices, *asked.proposed(state, now))
        entry = Entry(
            settlement=proposed.swap.id,
            sequence=1,
            events=events,
            phase=state.phase,
            decision=state.decision,
            ended=state.ended,
            notices=notices,
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
