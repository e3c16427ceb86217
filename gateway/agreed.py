"""Intake of agreed swaps: all of a batch are opened with one statement."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from gateway import claims, instructions
from gateway.jobs import Begun, Done, Job, Proposal, Started, SwapJob, note_started
from gateway.journal import QUERIES, Journal, Opening
from gateway.live import Origin
from gateway.port import Conflict
from gateway.sql import Connection, Executor, Pool
from htlc.events import Event, Proposed
from htlc.swap import Swap
from htlc.units import SettlementId

HASH_USED: Final = "secret.hash was used by another settlement: each is used once, make a new one"


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
        stale = await _stale(executor, [proposal.swap for _, proposal in first.values()])
        first = {id: its for id, its in first.items() if id not in stale}
        digests = await self._digests(executor, write, first, done) if first else {}
        for job, its in zip(jobs, done, strict=True):
            if isinstance(job, SwapJob):
                its.swaps.extend([_same_terms(proposal, digests) for proposal in job.proposals])

    async def _digests(
        self,
        executor: Executor,
        write: Callable[[Sequence[Opening]], Awaitable[list[bool]]],
        first: Mapping[SettlementId, tuple[int, Proposal]],
        done: Sequence[Done],
    ) -> dict[SettlementId, bytes]:
        """Open these; of each, the digest of the terms that its id stands for."""
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
        return digests

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
    if id not in digests:
        return Conflict(what=HASH_USED)
    if digests[id] == proposal.digest:
        return id
    return Conflict(what=f"id {id} is known with other terms")


async def _stale(executor: Executor, swaps: Sequence[Swap]) -> set[SettlementId]:
    """The swaps whose party-held hash another settlement has used: whoever has seen the preimage
    once could claim what is locked behind it again."""
    held = {swap.secret.digest: swap.id for swap in swaps if swap.secret is not None}
    if not held:
        return set()
    await executor.execute(QUERIES["use_hashes"], list(held), list(held.values()))
    rows = await executor.fetch(QUERIES["used_hashes"], list(held))
    users = {row["digest"]: str(row["settlement"]) for row in rows}
    return {
        swap.id
        for swap in swaps
        if swap.secret is not None and users[swap.secret.digest] != swap.id
    }
