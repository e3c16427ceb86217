"""Intake of agreed swaps: all of a batch are opened with one statement."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from gateway import claims, instructions
from gateway.jobs import Begun, Done, Job, Proposal, Started, SwapJob, note_started
from gateway.journal import Journal, Opening
from gateway.live import Origin
from gateway.port import Conflict
from gateway.sql import Connection, Executor, Pool
from htlc.events import Event, Proposed
from htlc.swap import Swap
from htlc.units import SettlementId


class Begin(Protocol):
    """Makes the first journal entry of a settlement, and what is adopted once it is written."""

    def __call__(
        self, proposed: Proposed, opened: Event | None, origin: Origin, *, digest: bytes
    ) -> tuple[Opening, Started]: ...


class AgreedSwaps:
    """Opens swaps that came as JSON; whoever posts the same terms again is told the same id."""

    def __init__(
        self, pool: Pool, journal: Journal, *, begin: Begin, origin: Callable[[Swap], Origin]
    ) -> None:
        self._pool = pool
        self._journal = journal
        self._begin = begin
        self._origin = origin

    async def open(self, jobs: Sequence[Job], done: Sequence[Done]) -> None:
        """Where there is nothing else in the batch: durable when it returns."""
        await self._write(self._pool, self._journal.open, jobs, done)

    async def open_in(
        self, connection: Connection, jobs: Sequence[Job], done: Sequence[Done]
    ) -> None:
        """The same within a transaction of the caller's."""
        await self._write(connection, partial(self._journal.open_in, connection), jobs, done)

    async def _write(
        self,
        executor: Executor,
        write: Callable[[Sequence[Opening]], Awaitable[list[bool]]],
        jobs: Sequence[Job],
        done: Sequence[Done],
    ) -> None:
        """Open what is new; only of what is not, what it is is read."""
        first: dict[SettlementId, tuple[int, Proposal]] = {}
        for n, job in enumerate(jobs):
            if isinstance(job, SwapJob):
                for proposal in job.proposals:
                    first.setdefault(proposal.swap.id, (n, proposal))
        if not first:
            return
        swaps = [(proposal.swap, proposal.digest) for _, proposal in first.values()]
        await claims.post(executor, self._journal, swaps)
        openings = [self._opening(n, proposal) for n, proposal in first.values()]
        new = await write([opening for _, opening, _ in openings])
        note_started(openings, new, done)
        digests = {id: proposal.digest for id, (_, proposal) in first.items()}
        if earlier := [id for id, is_new in zip(first, new, strict=True) if not is_new]:
            known = await instructions.known_digests(executor, earlier)
            assert known.keys() >= set(earlier), "opened before, unless the epoch is over"
            digests |= known
        for job, its in zip(jobs, done, strict=True):
            if isinstance(job, SwapJob):
                its.swaps.extend(_same_terms(proposal, digests) for proposal in job.proposals)

    def _opening(self, n: int, proposal: Proposal) -> Begun:
        swap = proposal.swap
        opening, started = self._begin(
            Proposed(swap=swap, consents=tuple(sorted(proposal.consents))),
            proposal.opened,
            self._origin(swap),
            digest=proposal.digest,
        )
        return n, opening, started


def _same_terms(
    proposal: Proposal, digests: Mapping[SettlementId, bytes]
) -> SettlementId | Conflict:
    id = proposal.swap.id
    if digests[id] == proposal.digest:
        return id
    return Conflict(what=f"id {id} is known with other terms")
