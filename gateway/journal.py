"""The journal and everything that is written with it, on PostgreSQL.

`append` takes entries of many settlements in one transaction, each at the last folded sequence + 1
of its settlement; an entry whose place is taken is refused alone, and its writer loads the journal
again, folds it, and decides again. A batch is first written as if no place were taken, which costs
less, and sorted out only if the database says otherwise. What goes out because of an entry
(notices, the pair's next attempt) is in the same transaction: it is there exactly if the entry is.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Final, Self

import asyncpg

from gateway import records
from gateway.columns import entry_columns, notice_columns, party_columns, posting
from gateway.epoch import Epoch, SupersededError, superseded
from gateway.sql import Connection, Executor, Pool, Record
from htlc.coordinator import evolve, propose
from htlc.events import Decision, Event, Proposed
from htlc.settlement import Phase, Settlement
from htlc.units import SettlementId, Value
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


class Notice(Value, frozen=True, kw_only=True):
    """A message for a member's mailbox. `content` is the typed message as JSON text."""

    member: str
    id: str
    definition: str
    related: str | None
    created_at: int
    settlement: str | None
    content: str


class PendingPair(Value, frozen=True, kw_only=True):
    """A matched pair that waits: what both sides were last told (the first side's reason code and
    the second's, pending or failing) and on which business day, and when to try again."""

    pair: str
    due_at: int
    attempts: int
    advised: str
    mirrored: str = ""
    failing: bool = False
    settle_on: date  # the business day from whose end on it fails
    told_on: date

    @classmethod
    def of(cls, row: Record) -> Self:
        """As the store has it."""
        return cls(
            pair=str(row["pair"]),
            due_at=row["due_at"],
            attempts=row["attempts"],
            advised=row["advised"],
            mirrored=row["mirrored"],
            failing=row["failing"],
            settle_on=row["settle_on"],
            told_on=row["told_on"],
        )


class PairEnd(Value, frozen=True, kw_only=True):
    """A pair is over, and a party has asked for its cancellation: there are answers to give."""

    pair: str
    settled: bool


class PaymentEnd(Value, frozen=True, kw_only=True):
    """A payment order is over: SETTLED or REJECTED."""

    payment: str
    state: str


Conclude = Callable[[Connection, Sequence[PairEnd], int], Awaitable[None]]
"""Gives those answers, at an instant (UTC nanoseconds), in the transaction of the end."""


class Entry(Value, frozen=True, kw_only=True):
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


class Opening(Value, frozen=True, kw_only=True):
    """A settlement that is new: its row, its parties, and its first entry."""

    entry: Entry
    created_at: int
    members: tuple[str, ...]
    digest: bytes | None = None
    pair: str | None = None
    attempt: int | None = None


class Loaded(Value, frozen=True, kw_only=True):
    """A settlement as its journal tells it."""

    state: Settlement
    sequence: int
    created_at: int
    pair: str | None
    attempt: int | None
    replica: int | None


class Journal:
    """The store of one gateway; shared by its replicas."""

    def __init__(self, pool: Pool, conclude: Conclude, *, epoch: Epoch, replica: int) -> None:
        self._pool = pool
        self._conclude = conclude
        self.epoch = epoch
        self.replica = replica
        self.alive_at = 0
        """When a replica was last at work before this one was registered (UTC nanoseconds)."""
        self._over: SupersededError | None = None

    def require_current(self) -> None:
        """Raises SupersededError once it is known that another epoch has begun."""
        if self._over is not None:
            raise self._over

    async def ask_current(self, connection: Executor) -> None:
        """Ask the database whether our epoch still lasts; raises SupersededError if not."""
        if (current := await current_epoch(connection)) != self.epoch:
            self._over = superseded(self.epoch, current)
        self.require_current()

    async def append(self, entries: Sequence[Entry]) -> list[bool]:
        """Write what can be written, durably; per entry whether it was. Raises SupersededError."""
        if not any(entry.end or entry.pending or entry.payments for entry in entries):
            return await self._append_all(entries)
        async with self._pool.acquire() as connection, connection.transaction():
            return await self.append_in(connection, entries)

    async def append_in(self, connection: Connection, entries: Sequence[Entry]) -> list[bool]:
        """The same within a transaction of the caller's."""
        written = await self._append(connection, entries)
        done = [entry for entry, is_written in zip(entries, written, strict=True) if is_written]
        if ends := [entry.end for entry in done if entry.end]:
            await self._conclude(connection, ends, time.time_ns())
            # What asked for the cancellation is answered before the end itself is told.
            await deliver(
                connection, [note for entry in done if entry.end for note in entry.notices]
            )
        await self.put_pending(connection, [entry.pending for entry in done if entry.pending])
        await self.end_payments(connection, [end for entry in done for end in entry.payments])
        return written

    async def _append_all(self, entries: Sequence[Entry]) -> list[bool]:
        """A transaction by itself, on the assumption that every place is free."""
        written = await self._written_all(
            "append_all",
            entries,
            [entry.settlement for entry in entries if entry.ended],
            [entry.settled_pair for entry in entries if entry.settled_pair],
        )
        return await self._append(self._pool, entries) if written is None else written

    async def _written_all(
        self, query: str, entries: Sequence[Entry], *others: object
    ) -> list[bool] | None:
        """Write them all with their notices, or nothing; None if any of them stands in the way."""
        try:
            current = await self._pool.fetchval(
                QUERIES[query],
                *posting([notice for entry in entries for notice in entry.notices]),
                self.epoch.number,
                self.epoch.mark,
                *entry_columns(entries),
                *others,
            )
        except asyncpg.UniqueViolationError:
            return None
        if not current:
            await self.ask_current(self._pool)
        return [bool(current)] * len(entries)

    async def _append(self, executor: Executor, entries: Sequence[Entry]) -> list[bool]:
        """Entries, their notices, and the pairs that wait no more."""
        told = [(entry.settlement, n) for entry in entries if not entry.end for n in entry.notices]
        rows = await executor.fetch(
            QUERIES["append"],
            *notice_columns([notice for _, notice in told], [cause for cause, _ in told]),
            *entry_columns(entries),
            [entry.ended for entry in entries],
            [entry.settled_pair for entry in entries],
            self.epoch.number,
            self.epoch.mark,
        )
        if len(rows) < len(entries):
            await self.ask_current(executor)
        written = {str(row["settlement"]) for row in rows}
        return [entry.settlement in written for entry in entries]

    async def open(self, openings: Sequence[Opening]) -> list[bool]:
        """Open what nobody has opened before, with its first entry, durably; per opening whether it
        was. Not for attempts of pairs that wait: they are opened with what else becomes of them."""
        assert not any(opening.entry.pending for opening in openings), "nothing else is written"
        return await self._open_all(openings)

    async def open_in(self, connection: Connection, openings: Sequence[Opening]) -> list[bool]:
        """The same within a transaction of the caller's, attempts of pairs included."""
        new = await self._open(connection, openings)
        waits = [
            opening.entry.pending
            for opening, is_new in zip(openings, new, strict=True)
            if is_new and opening.entry.pending
        ]
        await self.put_pending(connection, waits)
        return new

    async def _open_all(self, openings: Sequence[Opening]) -> list[bool]:
        """A transaction by itself, on the assumption that all are new."""
        entries = [opening.entry for opening in openings]
        assert all(entry.sequence == 1 and not entry.ended for entry in entries), "they begin"
        written = await self._written_all(
            "open_all",
            entries,
            self.replica,
            [opening.created_at for opening in openings],
            [opening.digest for opening in openings],
            [opening.pair for opening in openings],
            [opening.attempt for opening in openings],
            *party_columns(openings),
        )
        return await self._open(self._pool, openings) if written is None else written

    async def _open(self, executor: Executor, openings: Sequence[Opening]) -> list[bool]:
        entries = [opening.entry for opening in openings]
        assert all(entry.sequence == 1 and not entry.ended for entry in entries), "they begin"
        told = [(entry.settlement, notice) for entry in entries for notice in entry.notices]
        settlements, _, *said = entry_columns(entries)
        rows = await executor.fetch(
            QUERIES["open_new"],
            *notice_columns([notice for _, notice in told], [cause for cause, _ in told]),
            settlements,
            [opening.created_at for opening in openings],
            [opening.digest for opening in openings],
            [opening.pair for opening in openings],
            [opening.attempt for opening in openings],
            *said,
            self.replica,
            self.epoch.number,
            self.epoch.mark,
            *party_columns(openings),
        )
        if len(rows) < len(entries):
            await self.ask_current(executor)
        new = {str(row["settlement"]) for row in rows}
        return [entry.settlement in new for entry in entries]

    async def end_in(self, connection: Connection, end: PairEnd, now: int) -> None:
        """Note that a pair is over by what is in the journal already, within a transaction of the
        caller's: it waits no more, and requests about it are answered."""
        await connection.execute(QUERIES["drop_pending"], [end.pair])
        await self._conclude(connection, [end], now)

    async def end_payments(self, connection: Connection, ends: Sequence[PaymentEnd]) -> None:
        """Note payment orders that are over, within a transaction of the caller's."""
        if ends:
            ids, states = [end.payment for end in ends], [end.state for end in ends]
            await connection.execute(QUERIES["end_payments"], ids, states)

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
                [wait.mirrored for wait in waits],
                [wait.failing for wait in waits],
                [wait.settle_on for wait in waits],
                [wait.told_on for wait in waits],
            )

    async def notify(self, id: SettlementId) -> None:
        """Tell the replicas that a journal was written by another than the one that runs it."""
        await self.notify_in(self._pool, id)

    async def notify_in(self, connection: Executor, id: SettlementId) -> None:
        """The same when a transaction of the caller's is committed."""
        await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, id)

    async def load(self, ids: Sequence[SettlementId]) -> dict[SettlementId, Loaded]:
        """Fold the journals of `ids`; unknown ones are left out."""
        return await self.load_in(self._pool, ids)

    async def last_attempt(self, connection: Connection, pair: str) -> Loaded | None:
        """The last attempt of a pair as its journal tells it now, seen by a transaction."""
        id = await connection.fetchval(QUERIES["last_attempt"], pair)
        return None if id is None else (await self.load_in(connection, [id]))[SettlementId(str(id))]

    async def load_in(
        self, connection: Executor, ids: Sequence[SettlementId]
    ) -> dict[SettlementId, Loaded]:
        """The same as a transaction of the caller's sees them."""
        rows = await connection.fetch(QUERIES["load_settlements"], list(ids))
        loaded: dict[SettlementId, Loaded] = {}
        for row in rows:
            id = SettlementId(str(row["settlement"]))
            loaded[id] = _fold(loaded.get(id), row)
        return loaded


async def registered(pool: Pool, conclude: Conclude, name: str) -> Journal:
    """The journal for the replica of that name, in the epoch that lasts now."""
    alive_at = await pool.fetchval(QUERIES["last_alive"])
    replica = await pool.fetchval(QUERIES["register_replica"], name)
    journal = Journal(pool, conclude, epoch=await current_epoch(pool), replica=replica)
    journal.alive_at = alive_at
    return journal


async def current_epoch(connection: Executor) -> Epoch:
    """The epoch that lasts."""
    row = await connection.fetchrow(QUERIES["current_epoch"])
    assert row is not None, "the first migration makes the row"
    return Epoch(number=row["epoch"], mark=str(row["mark"]))


def _fold(before: Loaded | None, row: Record) -> Loaded:
    events = records.events(row["events"])
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
    await connection.execute(QUERIES["deliver"], *posting(notices))
