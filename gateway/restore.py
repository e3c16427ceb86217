"""A restore is declared: the journal may lack records, and a new epoch begins (design rule 17).

One transaction: appends of replicas that were started before are refused from its commit on, and
every settlement that is open and undecided has `Restored` in its journal, which is what the core
goes by. What the journal has lost altogether is found on the ledgers, by `taking_up`, when a
gateway starts.
"""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

import msgspec

from gateway.cancellations import conclude
from gateway.epoch import Epoch
from gateway.journal import QUERIES, Entry, Journal, Loaded
from gateway.sql import Connection, Pool
from htlc.coordinator import evolve
from htlc.events import Restored
from htlc.units import Instant, SettlementId

PORTION: Final = 1_000
"""Journals folded at once: some megabytes."""

_NOBODY: Final = 0
"""No replica: what the declaration appends is nobody's work."""


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """What declaring a restore did. `again`: it had been declared before, and no gateway has
    started since, so nothing was done."""

    epoch: int
    declared_at: str
    again: bool
    restored: tuple[str, ...] = ()  # open, opened before, undecided: they go by rule 17 now
    protocols: dict[str, int] = {}  # of those
    decided: int = 0  # open, with a decision, which stands
    proposed: int = 0  # open, and not opened yet


async def declare(pool: Pool, since_at: Instant | None = None) -> Declared:
    """Begin a new epoch, unless one has been begun and nothing has happened in it. `since_at`: what
    happened on ledgers before is in the copy for sure."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(QUERIES["lock_epoch"])
        last = await connection.fetchrow(QUERIES["restore"])
        if last is not None and last["begun_at"] is None:
            return Declared(epoch=last["epoch"], declared_at=_text(last["declared_at"]), again=True)
        return await _declare(pool, connection, since_at)


async def _declare(pool: Pool, connection: Connection, since_at: Instant | None) -> Declared:
    row = await connection.fetchrow(QUERIES["begin_epoch"])
    assert row is not None, "the first migration makes the row"
    epoch = Epoch(number=row["epoch"], mark=str(row["mark"]))
    declared_at = await connection.fetchval(QUERIES["declare_restore"], epoch.number, since_at)
    journal = Journal(pool, conclude, epoch=epoch, replica=_NOBODY)
    restored: list[str] = []
    kinds: Counter[str] = Counter()
    protocols: Counter[str] = Counter()
    async for portion in _open(journal, connection):
        entries = []
        for id, loaded in portion.items():
            kinds[kind := _kind(loaded)] += 1
            if kind == "restored":
                entries.append(_entry(id, loaded, epoch))
                protocols[str(loaded.state.protocol)] += 1
        assert all(await journal.append_in(connection, entries)), "nobody else can append now"
        restored += [entry.settlement for entry in entries]
    return Declared(
        epoch=epoch.number,
        declared_at=_text(declared_at),
        again=False,
        restored=tuple(restored),
        protocols=dict(protocols),
        decided=kinds["decided"],
        proposed=kinds["proposed"],
    )


async def _open(
    journal: Journal, connection: Connection
) -> AsyncIterator[dict[SettlementId, Loaded]]:
    last = "00000000-0000-0000-0000-000000000000"
    while rows := await connection.fetch(QUERIES["all_open"], last, PORTION):
        ids = [SettlementId(str(row["settlement"])) for row in rows]
        yield await journal.load_in(connection, ids)
        last = ids[-1]


def _kind(loaded: Loaded) -> str:
    if loaded.state.agreement is None:
        return "proposed"
    return "restored" if loaded.state.decided is None else "decided"


def _entry(id: SettlementId, loaded: Loaded, epoch: Epoch) -> Entry:
    event = Restored(epoch=epoch.number)
    return Entry(
        settlement=id,
        sequence=loaded.sequence + 1,
        events=(event,),
        phase=evolve(loaded.state, event).phase,
    )


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
