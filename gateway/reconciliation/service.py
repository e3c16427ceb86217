"""Reconciles the ledgers every day at a set time and when an operator asks, and stops what does not
agree.

A break stops new locks of its asset, or on the whole ledger where it is of no one asset. Whatever
ends a lock goes on: executes, cancels and refunds are owed to the parties, and hold no new risk.
The next run that agrees lifts the stop. Breaks are in the database, so every replica obeys them.

Each comparison is of one posting of the ledger (`ledgers.books`), so traffic disturbs nothing: a
break is there at the first look. One run at a time, over all replicas.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time
from typing import Final, Protocol

from gateway import port
from gateway.directory import Directory
from gateway.journal import LOST
from gateway.port import Difference
from gateway.process.ending import ending
from gateway.reconciliation.book import OwnBook
from gateway.reconciliation.compare import BreakKind, Found, of_accounts, of_assets, totals
from gateway.reconciliation.notices import announcer
from gateway.reconciliation.store import Announce, Run, Store
from gateway.sql import Pool, Record, alone
from htlc.units import LedgerId
from ledgers.block import place
from ledgers.books import Books, placed
from ledgers.port import Ledger, LedgerUnreachable
from ledgers.remote import RemoteLedgerError

WATCH_SECONDS: Final = 2.0
"""How soon another replica's run is obeyed."""

DAILY_SECONDS: Final = 10.0
"""How often it is asked whether the set time has come."""

ASK_SECONDS: Final = 20.0
"""How long a request waits for the run that it asked for: below the 30 s of clients and proxies.
The first run of a ledger reads its whole history and may take longer; it goes on."""

OVERDUE: Final = 3_600 * 1_000_000_000
"""A leg has ended and its settlement has not, for an hour: beyond every window that is configured
by default (ten minutes), something is wrong with one of them."""

ALONE: Final = "lockstep.reconciliation"
"""The work that one replica does at a time (`sql.alone`)."""

AWAY: Final = (LedgerUnreachable, RemoteLedgerError)


class Readable(Books, Ledger, Protocol):
    """A ledger that can be reconciled: what it says of its accounts, and its facts."""


class Reconciliation:
    """Runs, and what follows from them."""

    def __init__(
        self,
        pool: Pool,
        directory: Directory,
        ledgers: Mapping[LedgerId, Readable],
        *,
        daily_at: time | None,
        now: Callable[[], int],
        today: Callable[[], date],
        delivered: Callable[[Iterable[str]], None],
        say: Callable[[str], None],
        announce: Announce | None = None,
    ) -> None:
        self._pool = pool
        self._store = Store(pool)
        self._directory = directory
        self._ledgers = ledgers
        self._daily_at = daily_at
        self._now = now
        self._today = today
        self._delivered = delivered
        self._say = say
        self._announce = announce or announcer(directory, lambda *_: False)
        self._begun_at = now()
        self._running: asyncio.Task[None] | None = None
        self.runs: dict[str, Run] = {}
        self.breaks: dict[str, int] = {}  # open ones, by ledger
        self.failures: dict[str, str] = {}  # why the last run of a ledger came to no end

    # ------------------------------------------------------------------ stops

    async def run(self) -> None:
        """Watch and reconcile until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(ending(self._watch()))
            group.create_task(ending(self._daily()))

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(*LOST):  # what was known stands until the database is back
                await self.look()
            await asyncio.sleep(WATCH_SECONDS)

    async def look(self) -> None:
        """Learn what is open, whoever found it."""
        stops = await self._store.stops()
        self._directory.stopped = set(stops)
        self.breaks = dict.fromkeys(self._directory.ledgers, 0)
        for (ledger, _), count in stops.items():
            self.breaks[ledger] = self.breaks.get(ledger, 0) + count
        self.runs = {run.ledger: run for run in await self._store.runs()}

    async def differences(self, names: Iterable[str], since: int) -> list[Difference]:
        """Open breaks of these ledgers, and those lifted after an instant (`port.Reconciling`)."""
        wanted = set(names)
        return [each for each in await self._store.breaks(since) if each.ledger in wanted]

    async def reconciled(self, names: Iterable[str]) -> list[port.Reconciled]:
        """The last run of each of these ledgers."""
        runs = {run.ledger: run for run in await self._store.runs()}
        return [self._reconciled(name, runs.get(name)) for name in names]

    def _reconciled(self, name: str, run: Run | None) -> port.Reconciled:
        failure = self.failures.get(name)
        if run is None:
            return port.Reconciled(ledger=name, failure=failure)
        return port.Reconciled(
            ledger=name,
            business_date=run.business_date,
            started_at=run.started_at,
            ended_at=run.ended_at,
            holdings=run.holdings,
            facts=run.facts,
            totals=run.totals,
            failure=failure,
        )

    @property
    def running(self) -> bool:
        return self._running is not None and not self._running.done()

    # ------------------------------------------------------------------ when

    async def _daily(self) -> None:
        while self._daily_at is not None:
            await asyncio.sleep(DAILY_SECONDS)
            due = [name for name in self._ledgers if self._is_due(name, self._daily_at)]
            if due and not self.running:
                await self.ask(due, afresh=False)

    def _is_due(self, name: LedgerId, at: time) -> bool:
        """The set time has come, today, since the last run (or since this process started)."""
        now = self._now()
        clock = datetime.combine(datetime.fromtimestamp(now // 10**9, UTC).date(), at, UTC)
        due_at = int(clock.timestamp()) * 10**9
        last = self.runs.get(name)
        return (self._begun_at if last is None else last.started_at) < due_at <= now

    async def ask(self, names: Iterable[str], *, afresh: bool) -> bool:
        """Run for these ledgers; whether it has ended by now. If a run is under way, wait for that
        one. Goes on when the caller goes away."""
        if not self.running:
            work = self._reconcile(tuple(LedgerId(name) for name in names), afresh)
            self._running = asyncio.create_task(work, name="reconciliation")
        assert self._running is not None
        done, _ = await asyncio.wait({self._running}, timeout=ASK_SECONDS)
        return bool(done)

    async def _reconcile(self, names: tuple[LedgerId, ...], afresh: bool) -> None:
        try:
            async with alone(self._pool, ALONE) as taken:
                for name in names if taken else ():
                    await self._ledger(name, afresh)
            await self.look()
        except LOST as error:
            self._say(f"reconciliation waits for the database: {error!r}")

    async def _ledger(self, name: LedgerId, afresh: bool) -> None:
        """One ledger. One that is away is left for the next time: it has told nothing."""
        try:
            fresh, lifted = await self._compare(name, afresh)
        except AWAY as error:
            self.failures[name] = str(error)
            self._say(f"ledger {name} could not be reconciled: {error}")
            return
        self.failures.pop(name, None)
        for each in fresh:
            self._say(f"PAGE: reconciliation break on {name}: {told(each)}")
        for each in lifted:
            self._say(f"reconciliation break on {name} is lifted: {told(each)}")

    # ------------------------------------------------------------------ what

    async def _compare(
        self, name: LedgerId, afresh: bool
    ) -> tuple[list[Difference], list[Difference]]:
        started, ledger = self._now(), self._ledgers[name]
        book = OwnBook(self._pool, name, ledger)
        if afresh:
            await book.forget()
        positions = await ledger.conservation()
        as_of = positions[0].as_of if positions else ""
        known, holdings = await book.place(), 0
        if place(as_of) < place(known):
            found, shown = [_went_back(as_of, known)], totals(positions, {})
        else:
            await book.reach(as_of)
            by_postings = await book.told()
            shown = totals(positions, by_postings)
            found = list(of_assets(positions, by_postings))
            async for count, wrong in self._accounts(ledger, book):
                holdings += count
                found += wrong
            legs = await self._store.legs(name, self._now() - OVERDUE)
            found += [_leg(row) for row in legs]
        run = Run(
            ledger=name,
            business_date=self._today(),
            started_at=started,
            ended_at=self._now(),
            as_of=as_of,
            holdings=holdings,
            facts=book.facts,
            totals=shown,
        )
        fresh, lifted, members = await self._store.keep(run, found, self._announce)
        self._delivered(members)
        return fresh, lifted

    async def _accounts(
        self, ledger: Readable, book: OwnBook
    ) -> AsyncIterator[tuple[int, list[Found]]]:
        """Every account against the record, page by page, each as of its own posting."""
        after = ""
        while True:
            page = await ledger.holdings(None, after)
            await book.reach(page.as_of)
            last = None if page.next is None else placed(page.next)
            kept = await book.kept(placed(after), last)
            yield len(page.holdings), list(of_accounts(page.holdings, kept))
            if page.next is None:
                return
            after = page.next


def _went_back(as_of: str, known: str) -> Found:
    return Found(
        kind=BreakKind.ORDER,
        expected=place(known)[0],
        found=place(as_of)[0],
        what=f"the ledger ends at posting {as_of or 'none'}; it has told {known}: it has forgotten",
    )


def _leg(row: Record) -> Found:
    """The quantity that has moved for a settlement that says otherwise, or the other way round."""
    quantity = int(row["quantity"])
    done = "executed" if row["executed"] else "gone back"
    return Found(
        kind=BreakKind.LEG,
        asset=row["asset"],
        account=str(row["contract"]),  # of which contract: legs have no account of their own
        expected=0 if row["executed"] else quantity,
        found=quantity if row["executed"] else 0,
        what=f"the leg is {done}, its settlement {row['settlement']} is {row['phase']}",
    )


def told(each: Difference) -> str:
    """A break in a line for people."""
    where = " ".join(part for part in (each.asset, each.account) if part) or "all of it"
    return f"{where}: {each.kind}: expected {each.expected}, found {each.found}: {each.what}"
