"""Statements on demand and at the end of each business day.

- **On demand** (INDA): from where the last daily statement ended up to now.
- **Daily** (DAIL): when a ledger's business day is over by its own clock, for every account of each
  member, also where nothing happened. The first begins where the business day began; each of the
  others where the one before ended, and it opens with what that one closed with. Days that were
  missed are made up for, in order. One replica does it; a statement is in its mailbox whole or not
  at all, and once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Final, Protocol, TypedDict

from gateway.calendars import Calendars
from gateway.ids import new_id
from gateway.journal import LOST
from gateway.port import Busy, Denied, Refused, StatementMade, StatementWanted
from gateway.sql import Pool, alone
from gateway.statements.days import (
    closed_days,
    closes_at,
    day_before,
    last_closed,
    midnight,
    utc_date,
)
from gateway.statements.known import Known, Referring
from gateway.statements.pages import Pages, StatementError
from gateway.statements.periods import KINDS, Kind, Numbered, Period, Source, Subject
from gateway.statements.store import Sent, Store
from htlc.swap import Fault
from htlc.units import INSTANT_MAX, AccountId, Instant, LedgerId
from ledgers.books import Books
from ledgers.port import Description, LedgerUnreachable
from ledgers.remote import RemoteLedgerError
from protocols.iso20022.lexical import bic11
from protocols.iso20022.statements import Frequency, StatementPage

PERIOD_SECONDS: Final = 10.0
"""How often it is looked for a business day that is over: some seconds later will do."""

ALONE: Final = "lockstep.statements"
"""The work that one replica does at a time (`sql.alone`)."""

AWAY: Final = (LedgerUnreachable, RemoteLedgerError)


class Begins(TypedDict):
    """Where a period begins."""

    from_cursor: str
    from_at: int
    opening_date: date


class Stated(Books, Protocol):
    """A ledger that can be stated: its accounts, and what it is."""

    async def describe(self) -> Description: ...


class Statements:
    """Makes statements; one at a time, so that what is in memory of them is bounded."""

    def __init__(
        self,
        pool: Pool,
        directory: Known,
        calendars: Calendars,
        ledgers: Mapping[LedgerId, Stated],
        *,
        references: Callable[[str], Referring],
        daily: bool,
        now: Callable[[], int],
        learned: Callable[[], None],
        delivered: Callable[[Iterable[str]], None],
        say: Callable[[str], None],
    ) -> None:
        self._pool = pool
        self._store = Store(pool)
        self._directory = directory
        self._calendars = calendars
        self._ledgers = ledgers
        self._references = references
        self._daily = daily
        self._now = now
        self._learned = learned
        self._delivered = delivered
        self._say = say
        self._one = asyncio.Lock()
        self._paged: set[str] = set()

    # ------------------------------------------------------------------ on demand

    async def state(
        self, member: str, wanted: StatementWanted
    ) -> Sequence[StatementMade] | Refused | Denied | Busy:
        """Make what a member asks for and deliver it (`port.Statements`)."""
        if faults := self._faults(member, wanted):
            return Refused(faults=faults)
        try:
            async with self._one:
                subjects = await self._subjects(member, wanted)
                if wanted.day is None:
                    return [await self._intraday(subject) for subject in subjects]
                return await self._again(subjects, wanted.day)
        except AWAY:
            return Busy()
        except StatementError as error:
            self._say(f"PAGE: no statement for {member}: {error}")
            return Denied(code="OTHR", why=f"the ledger's postings do not agree: {error}")

    def _faults(self, member: str, wanted: StatementWanted) -> tuple[Fault, ...]:
        accounts = self._directory.members[bic11(member)].accounts
        if wanted.ledger is not None and wanted.ledger not in self._directory.ledgers:
            known = ", ".join(sorted(self._directory.ledgers))
            return (Fault(field="ledger", rule=f"one of {known}"),)
        named = [wanted.ledger] if wanted.ledger is not None else list(accounts)
        if wanted.account is not None and not any(
            wanted.account in accounts.get(ledger, ()) for ledger in named
        ):
            return (Fault(field="account", rule=f"{wanted.account} is no account of {member}"),)
        kinds = {kind for ledger in named for kind in KINDS[self._directory.ledgers[ledger].kind]}
        if wanted.kind is not None and wanted.kind not in kinds:
            return (
                Fault(field="kind", rule="holdings and movements of securities, cash of money"),
            )
        return ()

    async def _subjects(self, member: str, wanted: StatementWanted) -> list[Subject]:
        found: list[Subject] = []
        for ledger, accounts in self._directory.members[bic11(member)].accounts.items():
            if wanted.ledger not in (None, ledger):
                continue
            await self._acquaint(LedgerId(ledger))
            for account in accounts:
                if wanted.account in (None, account):
                    found += await self._of_account(bic11(member), ledger, AccountId(account))
        return [subject for subject in found if wanted.kind in (None, subject.kind)]

    async def _acquaint(self, name: LedgerId) -> Instant:
        """Ask a ledger for its time, and for the instruments it keeps by now."""
        description = await self._ledgers[name].describe()
        self._directory.learn(name, description)
        self._learned()
        return description.at

    async def _of_account(self, member: str, ledger: str, account: AccountId) -> list[Subject]:
        access = self._directory.ledgers[ledger]
        lei = self._directory.members[member].lei
        kinds = KINDS[access.kind]
        return [
            Subject(
                member=member,
                ledger=ledger,
                account=account,
                kind=kind,
                asset=asset,
                lei=lei,
                depository=access.depository,
            )
            for kind in kinds
            for asset in (await self._currencies(ledger, account) if kind is Kind.CASH else ("",))
        ]

    async def _currencies(self, ledger: str, account: AccountId) -> list[str]:
        """What an account has ever held; where that is nothing, all that the ledger keeps."""
        page = await self._ledgers[LedgerId(ledger)].holdings(account)
        kept = self._directory.descriptions[LedgerId(ledger)].assets
        return [held.asset for held in page.holdings] or sorted(each.asset for each in kept)

    async def _intraday(self, subject: Subject) -> StatementMade:
        before = await self._store.last(subject, Frequency.DAILY)
        latest = await self._store.last(subject, Frequency.INTRADAY)
        books, now = self._ledgers[LedgerId(subject.ledger)], self._now()
        period = await self._since(subject, before, now)
        wanted = Numbered(
            id=new_id(),
            subject=subject,
            number=1 if latest is None else latest.number + 1,
            period=Period(
                frequency=Frequency.INTRADAY,
                business_date=self._calendars.current((subject.ledger,), now).date,
                to_cursor=await books.last_before(INSTANT_MAX),
                to_at=now,
                **period,
            ),
        )
        made = await self._make(wanted, None if before is None else before.closing)
        return made if made is not None else await self._intraday(subject)  # the number was taken

    async def _since(self, subject: Subject, before: Sent | None, now: int) -> Begins:
        """Where a statement begins that follows a daily one, or where the business day began."""
        if before is not None:
            return Begins(
                from_cursor=before.to_cursor,
                from_at=before.to_at,
                opening_date=before.business_date,
            )
        day = last_closed(self._calendars, subject.ledger, now)
        at = midnight(now) if day is None else closes_at(self._calendars, subject.ledger, day)
        return await self.begins(subject.ledger, at, day or utc_date(at - 1))

    async def begins(self, ledger: str, at: int, day: date) -> Begins:
        """Where a first period begins: at an instant, after the business day that had ended."""
        cursor = await self._ledgers[LedgerId(ledger)].last_before(Instant(at))
        return Begins(from_cursor=cursor, from_at=at, opening_date=day)

    async def _again(
        self, subjects: Sequence[Subject], day: date
    ) -> Sequence[StatementMade] | Refused:
        """The statements of a business day that is over, as they were sent."""
        known = [await self._store.daily(subject, day) for subject in subjects]
        missing = [subject for subject, found in zip(subjects, known, strict=True) if found is None]
        if missing:
            rule = f"no daily statement of {missing[0].account} was sent for {day}"
            return Refused(faults=(Fault(field="date", rule=rule),))
        made = [await self._make(found, None, again=True) for found in known if found is not None]
        return [each for each in made if each is not None]

    # ------------------------------------------------------------------ making

    async def _make(
        self, wanted: Numbered, opening: int | None, *, again: bool = False
    ) -> StatementMade | None:
        """Make the pages and put them into the mailbox; None if its number is taken by now."""
        subject, now, staged = wanted.subject, self._now(), new_id()
        source = Source(books=self._ledgers[LedgerId(subject.ledger)], ledger=subject.ledger)
        pages = Pages(source, self._directory, self._references(subject.member), wanted)
        try:
            count, definition = await self._store.stage(
                staged, _pages(pages, subject, opening), now
            )
            sent = await self._store.send(
                wanted, definition, count, now, closing=pages.closing, again=again, staged=staged
            )
        finally:
            await asyncio.shield(self._store.drop(staged))
        self._delivered({subject.member})
        return _made(wanted, count, definition) if sent else None

    # ------------------------------------------------------------------ daily

    async def run(self) -> None:
        """Look for business days that are over until cancelled."""
        said = ""
        while self._daily:
            why = await self._closed()
            if why not in ("", said):  # once, not every time that it is looked
                self._say(f"statements wait for {why}")
            said = why
            await asyncio.sleep(PERIOD_SECONDS)

    async def _closed(self) -> str:
        """Make the statements that are due; what that waits for."""
        try:
            await self.close_days()
        except LOST as error:
            return f"the database: {error!r}"
        except AWAY as error:
            return f"a ledger: {error}"
        return ""

    async def close_days(self) -> None:
        """Make the statements of every day that is over, unless another replica does."""
        async with alone(self._pool, ALONE) as taken:
            if taken:
                await self._store.tidy(self._now())
                for ledger in self._directory.ledgers:
                    await self._close_days(ledger)

    async def _close_days(self, ledger: str) -> None:
        known = await self._store.day(ledger)
        now = self._now()
        if known is None:  # nothing was served before: days begin to count
            day = last_closed(self._calendars, ledger, now)
            if day is not None:
                await self._store.close(ledger, day, closes_at(self._calendars, ledger, day))
            return
        for day in closed_days(self._calendars, ledger, known[0], now):
            at = await self._acquaint(LedgerId(ledger))
            if at < closes_at(self._calendars, ledger, day):
                return  # by the ledger's own clock it is not over yet
            await self.make_day(ledger, day)

    async def make_day(self, ledger: str, day: date) -> None:
        """The statements of one business day of one ledger, which is over."""
        wrong = 0
        for bic, member in self._directory.members.items():
            for account in member.accounts.get(ledger, ()):
                for subject in await self._of_account(bic, ledger, AccountId(account)):
                    try:
                        async with self._one:
                            await self._day_of(subject, day)
                    except StatementError as error:
                        wrong += 1
                        self._page(f"no statement of {day} for {bic}: {error}")
        if not wrong:
            await self._store.close(ledger, day, closes_at(self._calendars, ledger, day))

    def _page(self, what: str) -> None:
        """Call a person, once: the day is tried again until its statements are made."""
        if what not in self._paged:
            self._paged.add(what)
            self._say(f"PAGE: {what}")

    async def _day_of(self, subject: Subject, day: date) -> None:
        before = await self._store.last(subject, Frequency.DAILY)
        if before is not None and before.business_date >= day:
            return  # made before this replica, or before its last start
        ends = closes_at(self._calendars, subject.ledger, day)
        if before is None:
            first = day_before(self._calendars, subject.ledger, day)
            begun = closes_at(self._calendars, subject.ledger, first)
            period = await self.begins(subject.ledger, begun, first)
        else:
            period = await self._since(subject, before, ends)
        cursor = await self._ledgers[LedgerId(subject.ledger)].last_before(Instant(ends))
        wanted = Numbered(
            id=new_id(),
            subject=subject,
            number=1 if before is None else before.number + 1,
            period=Period(
                frequency=Frequency.DAILY,
                business_date=day,
                to_cursor=cursor,
                to_at=ends,
                **period,
            ),
        )
        await self._make(wanted, None if before is None else before.closing)


def _pages(pages: Pages, subject: Subject, opening: int | None) -> AsyncIterator[StatementPage]:
    match subject.kind:
        case Kind.HOLDINGS:
            return pages.holdings()
        case Kind.MOVEMENTS:
            return pages.movements()
        case Kind.CASH:
            return pages.cash(opening)


def _made(wanted: Numbered, pages: int, definition: str) -> StatementMade:
    subject = wanted.subject
    return StatementMade(
        id=wanted.id.replace("-", ""),
        kind=subject.kind,
        ledger=subject.ledger,
        account=subject.account,
        asset=subject.asset or None,
        frequency=wanted.period.frequency,
        business_date=wanted.period.business_date,
        number=wanted.number,
        pages=pages,
        definition=definition,
    )
