"""The journal and everything that is written with it, on PostgreSQL.

`append` takes entries of many settlements in one transaction, each at the last folded sequence + 1
of its settlement; an entry whose place is taken is refused alone, and its writer loads the journal
again, folds it, and decides again. What goes out because of an entry (notices, the pair's next
attempt) is in the same transaction: it is there exactly if the entry is.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from gateway.sql import Connection, Executor, Pool, Record
from htlc.coordinator import evolve, propose
from htlc.events import Decision, Event, Proposed
from htlc.settlement import Phase, Settlement
from htlc.units import SettlementId
from ledgers.queries import named_queries

QUERIES: Final = named_queries(Path(__file__).with_name("queries.sql"))

LOST: Final = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # "cannot switch to state": how asyncpg tells many cut connections
    asyncpg.OperatorInterventionError,  # shutdown, start, a statement cancelled by a person
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    asyncpg.PostgresSystemError,  # an I/O error below the server
    asyncpg.TransactionRollbackError,  # deadlock, serialization
    asyncpg.ReadOnlySQLTransactionError,  # a standby, after a failover that we have not seen yet
)
"""What a connection that is lost or refused, or a server that cannot serve at the moment, may
raise: nothing is wrong with what was written; its outcome is unknown, and it is tried again."""

CHANNEL: Final = "lockstep_journal"
"""Where replicas tell each other of requests that they wrote. Polling guarantees, this wakes."""

_events = msgspec.json.Decoder(tuple[Event, ...])
_encoder = msgspec.json.Encoder()


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A message for a member's mailbox. `content` is the typed message as JSON text."""

    member: str
    id: str
    definition: str
    related: str | None
    created_at: int
    settlement: str | None
    content: str


class PendingPair(msgspec.Struct, frozen=True, kw_only=True):
    """A matched pair that waits: what was last advised (a reason code), and when to try again."""

    pair: str
    due_at: int
    attempts: int
    advised: str


class PairEnd(msgspec.Struct, frozen=True, kw_only=True):
    """A pair is over, and a party has asked for its cancellation: there are answers to give."""

    pair: str
    settled: bool


class PaymentEnd(msgspec.Struct, frozen=True, kw_only=True):
    """A payment order is over: SETTLED or REJECTED."""

    payment: str
    state: str


Conclude = Callable[[Connection, Sequence[PairEnd], int], Awaitable[None]]
"""Gives those answers, at an instant (UTC nanoseconds), in the transaction of the end."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What one settlement appends: events, and what goes out because of them."""

    settlement: SettlementId
    sequence: int
    events: tuple[Event, ...]
    phase: Phase
    decision: Decision | None = None
    ended: bool = False
    notices: tuple[Notice, ...] = ()
    pending: PendingPair | None = None
    settled_pair: str | None = None  # it waits no more
    end: PairEnd | None = None
    payments: tuple[PaymentEnd, ...] = ()


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """A settlement that is new: its row, its parties, and its first entry."""

    entry: Entry
    created_at: int
    members: tuple[str, ...]
    digest: bytes | None = None
    pair: str | None = None
    attempt: int | None = None


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A settlement as its journal tells it."""

    state: Settlement
    sequence: int
    created_at: int
    pair: str | None
    attempt: int | None
    replica: int | None


class Journal:
    """The store of one gateway; shared by its replicas."""

    def __init__(self, pool: Pool, conclude: Conclude, *, epoch: int, replica: int) -> None:
        self._pool = pool
        self._conclude = conclude
        self._epoch = epoch
        self.replica = replica

    async def append(self, entries: Sequence[Entry]) -> list[bool]:
        """Write what can be written, durably; per entry whether it was."""
        async with self._pool.acquire() as connection, connection.transaction():
            return await self.append_in(connection, entries)

    async def append_in(self, connection: Connection, entries: Sequence[Entry]) -> list[bool]:
        """The same within a transaction of the caller's."""
        rows = await connection.fetch(
            QUERIES["append"],
            [entry.settlement for entry in entries],
            [entry.sequence for entry in entries],
            [entry.decision for entry in entries],
            [entry.phase for entry in entries],
            [_encoder.encode(entry.events).decode() for entry in entries],
            [entry.ended for entry in entries],
            self._epoch,
        )
        written = {str(row["settlement"]) for row in rows}
        done = [entry for entry in entries if entry.settlement in written]
        if ends := [entry.end for entry in done if entry.end]:
            await self._conclude(connection, ends, time.time_ns())
        await deliver(connection, [notice for entry in done for notice in entry.notices])
        await self._pairs(connection, done)
        return [entry.settlement in written for entry in entries]

    async def open_in(self, connection: Connection, openings: Sequence[Opening]) -> list[bool]:
        """Open what nobody has opened before, with its first entry; per opening whether it was."""
        rows = await connection.fetch(
            QUERIES["open_new"],
            [opening.entry.settlement for opening in openings],
            [opening.created_at for opening in openings],
            [opening.digest for opening in openings],
            [opening.pair for opening in openings],
            [opening.attempt for opening in openings],
            self.replica,
            [member for opening in openings for member in opening.members],
            [opening.entry.settlement for opening in openings for _ in opening.members],
        )
        new = {str(row["settlement"]) for row in rows}
        entries = [opening.entry for opening in openings if opening.entry.settlement in new]
        written = await self.append_in(connection, entries) if entries else []
        assert all(written), "the first entry of a new settlement has its place to itself"
        return [opening.entry.settlement in new for opening in openings]

    async def _pairs(self, connection: Connection, entries: Sequence[Entry]) -> None:
        await self.put_pending(connection, [entry.pending for entry in entries if entry.pending])
        over = [entry.settled_pair for entry in entries if entry.settled_pair]
        if over:
            await connection.execute(QUERIES["drop_pending"], over)
        if ends := [end for entry in entries for end in entry.payments]:
            await connection.execute(
                QUERIES["end_payments"],
                [end.payment for end in ends],
                [end.state for end in ends],
            )

    async def put_pending(self, connection: Connection, waits: Sequence[PendingPair]) -> None:
        """Note pairs that wait, within a transaction of the caller's."""
        if waits:
            await connection.execute(
                QUERIES["put_pending"],
                [wait.pair for wait in waits],
                [wait.due_at for wait in waits],
                [wait.attempts for wait in waits],
                [wait.advised for wait in waits],
                self.replica,
            )

    async def notify(self, id: SettlementId) -> None:
        """Tell the replicas that a journal was written by another than the one that runs it."""
        await self.notify_in(self._pool, id)

    async def notify_in(self, connection: Executor, id: SettlementId) -> None:
        """The same when a transaction of the caller's is committed."""
        await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, id)

    async def load(self, ids: Sequence[SettlementId]) -> dict[SettlementId, Loaded]:
        """Fold the journals of `ids`; unknown ones are left out."""
        return await self._load(self._pool, ids)

    async def last_attempt(self, connection: Connection, pair: str) -> Loaded | None:
        """The last attempt of a pair as its journal tells it now, seen by a transaction."""
        id = await connection.fetchval(QUERIES["last_attempt"], pair)
        return None if id is None else (await self._load(connection, [id]))[SettlementId(str(id))]

    async def _load(
        self, connection: Executor, ids: Sequence[SettlementId]
    ) -> dict[SettlementId, Loaded]:
        rows = await connection.fetch(QUERIES["load_settlements"], list(ids))
        loaded: dict[SettlementId, Loaded] = {}
        for row in rows:
            id = SettlementId(str(row["settlement"]))
            loaded[id] = _fold(loaded.get(id), row)
        return loaded


def _fold(before: Loaded | None, row: Record) -> Loaded:
    events = _events.decode(row["events"])
    if before is None:
        assert isinstance(events[0], Proposed), "a journal begins with a proposal"
        state, events = propose(events[0]), events[1:]
    else:
        state = before.state
    for event in events:
        state = evolve(state, event)
    return Loaded(
        state=state,
        sequence=row["sequence"],
        created_at=row["created_at"],
        pair=str(row["pair"]) if row["pair"] else None,
        attempt=row["attempt"],
        replica=row["replica"],
    )


async def deliver(connection: Connection, notices: Sequence[Notice]) -> None:
    """Put notices into their mailboxes, in this order."""
    if not notices:
        return
    await connection.execute(
        QUERIES["deliver"],
        [notice.member for notice in notices],
        [notice.id for notice in notices],
        [notice.definition for notice in notices],
        [notice.related for notice in notices],
        [notice.created_at for notice in notices],
        [notice.settlement for notice in notices],
        [notice.content for notice in notices],
    )
