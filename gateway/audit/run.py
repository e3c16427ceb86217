"""One audit from begin to end: snapshots, ledgers, gateway, the second look, the report.

The snapshots of all databases are taken within moments, the ledgers' before the gateway's: what
stands on a ledger must have been opened in the journal by then. Each is held until its database has
been read, so that what is compared belongs together.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

import msgspec

from gateway.audit import databases, notices
from gateway.audit.databases import UNREACHABLE, AuditError, Snapshot, opened
from gateway.audit.findings import Head, Notebook, Report
from gateway.audit.gateway import GatewayAudit
from gateway.audit.ledger import LedgerAudit, Locked, Progress
from gateway.audit.places import KEY_BYTES, Places
from htlc.units import Duration, Instant, seconds
from ledgers.port import Description

UNWINDING: Final = seconds(60)
"""How long a lock may stay open after it had to be resolved, while all are up: a site's restart.
The gateway unwinds within seconds; what takes longer should be looked at."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller of an audit decides. `earlier` are the heads that an earlier one reported."""

    unwinding: Duration = UNWINDING
    earlier: Mapping[str, Head] = {}


async def audit(places: Places, wanted: Wanted, progress: Progress) -> Report:
    """Check everything that can be checked from these databases. Raises AuditError."""
    begun = time.monotonic()
    try:
        async with AsyncExitStack() as stack:
            run = Run(wanted, progress)
            await run.open(places, stack)
            await run.check(places)
            return run.report(time.monotonic() - begun)
    except UNREACHABLE as error:
        raise AuditError(f"a database cannot be read: {error}") from error


class Run:
    """The parts of one audit."""

    def __init__(self, wanted: Wanted, progress: Progress) -> None:
        self._wanted = wanted
        self._progress = progress
        self._notebook = Notebook()
        self._snapshots: dict[str, Snapshot] = {}
        self._ledgers: list[LedgerAudit] = []
        self._gateway: GatewayAudit | None = None
        self._journal: Snapshot | None = None

    async def open(self, places: Places, stack: AsyncExitStack) -> None:
        """Connect everywhere first, then take the snapshots one after the other."""
        for name, dsn in places.ledgers.items():
            self._snapshots[name] = await stack.enter_async_context(
                opened(name, dsn, databases.LEDGER)
            )
        if places.gateway is not None:
            self._journal = await stack.enter_async_context(
                opened("the gateway", places.gateway, databases.GATEWAY)
            )
        for snapshot in self._snapshots.values():
            await snapshot.take()
        if self._journal is not None:
            await self._journal.take()
            self._gateway = GatewayAudit(
                self._journal,
                self._snapshots,
                self._notebook,
                unwinding=self._wanted.unwinding,
                progress=self._progress,
            )

    async def check(self, places: Places) -> None:
        """Ledgers one by one, then the gateway against all of them, then the second look."""
        keys = await self._keys(places)
        for name, snapshot in self._snapshots.items():
            await self._ledger(name, snapshot, keys[name])
        if self._gateway is not None and self._journal is not None:
            self._gateway.judge_strangers()
            await self._gateway.run()
            await notices.instructions(self._journal, self._notebook)
            await notices.mailboxes(self._journal, self._notebook)
        for snapshot in (*self._snapshots.values(), *([self._journal] if self._journal else [])):
            await snapshot.release()
        if self._gateway is not None:
            await self._gateway.confirm()

    async def _ledger(self, name: str, snapshot: Snapshot, key: bytes) -> None:
        head = await snapshot.row("head")
        if head["ledger"] != name:
            raise AuditError(f"the database of {name} is the ledger {head['ledger']}")
        if self._gateway is not None:
            self._gateway.clocks[name] = Instant(head["clock"])
        ledger = LedgerAudit(
            snapshot,
            key,
            self._notebook,
            on_locks=_nobody if self._gateway is None else self._gateway.on_locks,
            progress=self._progress,
            earlier=self._wanted.earlier.get(name),
        )
        self._ledgers.append(ledger)
        await ledger.run()

    async def _keys(self, places: Places) -> dict[str, bytes]:
        """The pinned keys, else what each ledger told the gateway, or was when audited before."""
        keys = dict(places.keys)
        for row in await self._journal.fetch("ledgers") if self._journal else []:
            if row["ledger"] in places.ledgers and row["ledger"] not in keys:
                keys[row["ledger"]] = _told(row["ledger"], row["description"])
                told = (
                    f"the blocks of {row['ledger']} are judged by the key that it told the gateway"
                )
                self._notebook.notes.append(f"{told}; pin it with --key")
        for name in places.ledgers:
            if name not in keys:
                raise AuditError(f"the public key of {name} is not known; give it with --key")
        return keys

    def report(self, took: float) -> Report:
        notebook = self._notebook
        return Report(
            clean=not notebook.total,
            findings_total=notebook.total,
            findings=tuple(notebook.findings()),
            excused_total=notebook.excused_count,
            excused=tuple(notebook.excused),
            checked=tuple(notebook.table()),
            heads={ledger.name: ledger.head for ledger in self._ledgers},
            notes=tuple(notebook.notes),
            settlements=self._gateway.settlements if self._gateway else 0,
            postings=sum(ledger.postings for ledger in self._ledgers),
            seconds=round(took, 3),
        )


def _told(ledger: str, description: str) -> bytes:
    """The public key that a ledger told the gateway. Raises AuditError."""
    try:
        key = msgspec.json.decode(description, type=Description).public_key
    except msgspec.DecodeError as error:
        raise AuditError(f"{_unread(ledger)}: {error}; give its key with --key") from None
    if len(key) != KEY_BYTES:
        raise AuditError(f"{_unread(ledger)}: its key has {len(key)} bytes; give it with --key")
    return key


def _unread(ledger: str) -> str:
    return f"what {ledger} told the gateway of itself cannot be read"


async def _nobody(ledger: str, locks: Sequence[Locked]) -> None:
    """Without a gateway's database nobody asks whose locks they are."""
