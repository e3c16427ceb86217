"""A ledger in PostgreSQL: the rule book of `book`, the rows of `store`, one transaction per batch.

Theory of operation
-------------------
Calls that come while a transaction runs wait in a queue and share the next one: under load a commit
serves hundreds of operations, at rest a single one goes at once. One task per process takes from
the queue; a caller that is cancelled only stops waiting. The head row makes batches serial over
all replicas of a ledger, so replicas add availability, not speed.

The rows that a batch loaded are kept for the next one. The two hashes of the head (last block, last
act of administration) name the whole state, so the next batch is judged by them without asking, and
written by one statement that does nothing unless the head still has these hashes: then nobody has
written since, and whatever was read in between was of that state, too. Otherwise, and for acts of
administration, the head is locked first and kept rows are compared with it. A batch whose outcome
is not known drops them.

Ledger time is `max(clock in the head, wall clock)`, and is stored by the very transaction whose
answers carry it, `look` included: an answer "absent at t" binds every later batch of every replica,
even after a crash. Hence no answer is ever given before its commit.

A lost connection leaves the outcome open: every operation of the batch is answered Unknown, and
asking again is safe because every operation is idempotent.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from htlc.units import AccountId, HtlcId, Instant
from ledgers import arrays, store
from ledgers.administration import Act
from ledgers.batch import Reply, Request, Statistics, Writer
from ledgers.block import Block, Proof, Seal
from ledgers.books import Holdings, Position
from ledgers.hosted import (
    BATCH_MAX,
    AccountView,
    Clock,
    Spoken,
    Traits,
    description,
)
from ledgers.merkle import HASH_BYTES
from ledgers.migrate import migrate
from ledgers.parties import Principal
from ledgers.port import (
    Answer,
    Cursor,
    Description,
    Fact,
    LedgerUnreachable,
    Operation,
    Refusal,
    Unknown,
)
from ledgers.reading import Reader, is_our_own_error

QUEUE_MAX: Final = 20_000
"""Operations that may wait: ten full batches, about a second; who comes later is told at once that
the ledger is overloaded instead of waiting for an answer that comes too late."""

BATCH_SECONDS: Final = 10.0
"""Deadline of one transaction: a hundred times what a full batch takes. After that the
outcome is open."""

SERVER_SETTINGS: Final = {
    # One plan per statement for ever, made for short arrays: each key by its index. A plan made
    # while the tables are small would scan them all, and would be kept when they are large.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
    # A replica that was cut off must not hold the head for longer than its own deadline.
    "idle_in_transaction_session_timeout": f"{int(BATCH_SECONDS)}s",
    "statement_timeout": f"{int(BATCH_SECONDS)}s",
}


async def open_pool(dsn: str, *, connections: int = 4) -> "asyncpg.Pool[asyncpg.Record]":
    """A pool for one ledger: one connection writes, the others read."""
    arrays.quicken()
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=connections,
        timeout=BATCH_SECONDS,
        command_timeout=BATCH_SECONDS,
        server_settings=SERVER_SETTINGS,
        reset=_nothing_to_reset,
    )


async def _nothing_to_reset(_connection: object) -> None:
    """No session state is set on a pooled connection; asking the server to undo what was not done
    is a round trip beside every read."""


async def prepare(pool: "asyncpg.Pool[asyncpg.Record]", seal: Seal) -> None:
    """Migrate the database and make sure that it is this ledger's. Safe when replicas start at
    once, and again on every start."""
    async with pool.acquire() as connection:
        await migrate(connection, store.MIGRATIONS)  # type: ignore[arg-type]  # a pool's proxy
        await connection.execute(store.QUERIES["create_head"], seal.ledger, bytes(HASH_BYTES))
        ledger = await connection.fetchval("SELECT ledger FROM head")
    if ledger != seal.ledger:
        raise ValueError(f"this database is the ledger {ledger!r}, not {seal.ledger!r}")


class PostgresLedger:
    """A ledger whose truth is in PostgreSQL. Any number of replicas may serve one database."""

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        seal: Seal,
        clock: Clock,
        traits: Traits | None = None,
    ) -> None:
        self.traits = Traits() if traits is None else traits
        self.seal = seal
        self._writer = Writer(pool, seal, clock, self.traits.profile)
        self._reader = Reader(pool, seal.ledger)
        self._queue: deque[Request] = deque()
        self._queued = 0
        self._worker: asyncio.Task[None] | None = None

    @property
    def statistics(self) -> Statistics:
        """The numbers of this replica."""
        return self._writer.statistics

    @property
    def queued(self) -> int:
        """Operations and questions that wait for their turn."""
        return self._queued

    async def touch(self) -> None:
        """Commit a batch of nothing but the ledger's time: that the database can be written.
        Raises LedgerUnreachable."""
        await self._ask(Request(_future()))

    def as_principal(self, by: Principal) -> Spoken:
        return Spoken(self, by)

    async def close(self) -> None:
        """Finish what is queued and give the connection back; the pool stays the caller's."""
        if self._worker is not None:
            await asyncio.wait([self._worker])
        await self._writer.close()

    # --- what callers ask ------------------------------------------------------------------------

    async def submit(
        self, by: Principal, operations: Sequence[Operation]
    ) -> list[Answer | Unknown]:
        answers: list[Answer | Unknown] = []
        for start in range(0, len(operations), BATCH_MAX):
            part = operations[start : start + BATCH_MAX]
            answers += await self._answers(Request(_future(), by=by, operations=part))
        return answers

    async def look(self, ids: Sequence[HtlcId]) -> list[Answer | Unknown]:
        answers: list[Answer | Unknown] = []
        for start in range(0, len(ids), BATCH_MAX):
            part = ids[start : start + BATCH_MAX]
            answers += await self._answers(Request(_future(), ids=part))
        return answers

    async def _answers(self, request: Request) -> Sequence[Answer | Unknown]:
        try:
            return (await self._ask(request)).answers
        except LedgerUnreachable as error:
            return [Unknown(why=str(error))] * request.size

    async def describe(self) -> Description:
        reply = await self._ask(Request(_future()))
        instruments = await self._reader.instruments()
        return description(
            self.seal.ledger, self.traits, instruments, reply.at, self.seal.public_key
        )

    async def administer(self, by: Principal, acts: Sequence[Act]) -> list[Refusal | None]:
        outcomes: list[Refusal | None] = []
        for start in range(0, len(acts), BATCH_MAX):
            part = acts[start : start + BATCH_MAX]
            outcomes += (await self._ask(Request(_future(), by=by, acts=part))).outcomes
        return outcomes

    async def account(self, id: AccountId) -> AccountView | None:
        return await self._reader.account(id)

    async def accounts(self, owner: str | None, after: AccountId, limit: int) -> list[AccountView]:
        return await self._reader.accounts(owner, after, limit)

    async def blocks(self, after: int, limit: int) -> list[Block]:
        return await self._reader.blocks(after, limit)

    async def proof(self, height: int, position: int) -> Proof | None:
        return await self._reader.proof(height, position)

    async def facts(self, by: Principal, after: Cursor, limit: int) -> list[Fact]:
        return await self._reader.facts(by, after, limit)

    async def holdings(self, account: AccountId | None, after: str, limit: int) -> Holdings:
        return await self._reader.holdings(account, after, limit)

    async def movements(
        self, account: AccountId, after: Cursor, until: Cursor | None, limit: int
    ) -> list[Fact]:
        return await self._reader.movements(account, after, until, limit)

    async def last_before(self, at: Instant) -> Cursor:
        return await self._reader.last_before(at)

    async def conservation(self) -> list[Position]:
        return await self._reader.conservation()

    # --- the queue -------------------------------------------------------------------------------

    async def _ask(self, request: Request) -> Reply:
        """Wait for the batch that serves the request. Raises LedgerUnreachable."""
        if self._queued + request.size > QUEUE_MAX:
            self.statistics.overloaded += request.size
            raise LedgerUnreachable("overloaded")
        self._queue.append(request)
        self._queued += request.size
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(), name=f"ledger {self.seal.ledger}")
        return await request.future

    def _take(self) -> list[Request]:
        """The next batch, in order; what nobody waits for any more is left out."""
        taken: list[Request] = []
        size = 0
        while self._queue and size + self._queue[0].size <= BATCH_MAX:
            request = self._queue.popleft()
            self._queued -= request.size
            if not request.future.done():
                taken.append(request)
                size += request.size
        return taken

    async def _work(self) -> None:
        while self._queue:
            if requests := self._take():
                await self._serve(requests)

    async def _serve(self, requests: list[Request]) -> None:
        """Run one batch and tell its callers; never raises, or the others would wait for ever."""
        try:
            async with asyncio.timeout(BATCH_SECONDS):
                replies = await self._writer.run(requests)
        except Exception as error:
            await self._writer.discard()
            if not is_our_own_error(error):
                self.statistics.unknown += sum(request.size for request in requests)
                error = LedgerUnreachable(f"outcome not known: {type(error).__name__}: {error}")
            for request in requests:
                if not request.future.done():
                    request.future.set_exception(error)
            return
        for request, reply in zip(requests, replies, strict=True):
            if not request.future.done():
                request.future.set_result(reply)


def _future() -> "asyncio.Future[Any]":
    return asyncio.get_running_loop().create_future()
