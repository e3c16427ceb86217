"""What happens to the system as a whole, told to the members concerned (admi.004).

The business day of a ledger begins and ends by its calendar; a ledger is distrusted (nothing is
locked on it) and trusted again. Told to who has an account there, once, whichever replica sees it
first: a row holds what was told last. What a new gateway finds is no event.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from gateway.calendars import Calendars
from gateway.directory import Directory
from gateway.journal import LOST, QUERIES, deliver
from gateway.links import Link
from gateway.pairs import notice_to
from gateway.sql import Pool
from htlc.units import LedgerId
from protocols.iso20022.codes import SystemEventCode
from protocols.iso20022.payment import SystemEvent

PERIOD_SECONDS: Final = 1.0
"""How often it is looked: some comparisons, and no statement while nothing has changed."""

CLOSED: Final = "closed"
TRUSTED: Final = "trusted"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something that members know is another now."""

    ledger: LedgerId
    subject: str
    state: str


class SystemEvents:
    """Looks, and tells, as long as the gateway runs."""

    def __init__(
        self,
        pool: Pool,
        directory: Directory,
        calendars: Calendars,
        links: Mapping[LedgerId, Link],
        *,
        now: Callable[[], int],
        delivered: Callable[[Iterable[str]], None],
        say: Callable[[str], None],
    ) -> None:
        self._pool = pool
        self._directory = directory
        self._calendars = calendars
        self._links = links
        self._now = now
        self._delivered = delivered
        self._say = say
        self._known: dict[str, str] = {}

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            try:
                await self.look()
            except LOST as error:
                self._say(f"system events wait, the database is away: {error!r}")
            await asyncio.sleep(PERIOD_SECONDS)

    async def look(self) -> None:
        """Tell what is another than was told last."""
        for change in self._seen():
            if self._known.get(change.subject) != change.state:
                await self._tell(change)
                self._known[change.subject] = change.state

    def _seen(self) -> Iterable[Change]:
        for name, link in self._links.items():
            day = self._calendars.current((name,), self._now())
            state = str(day.date) if day.is_open(self._now()) else CLOSED
            yield Change(ledger=name, subject=f"day {name}", state=state)
            fault = self._directory.distrusted.get(name)
            if fault is not None or link.trusted:  # else it has not been asked yet
                yield Change(ledger=name, subject=f"trust {name}", state=fault or TRUSTED)

    async def _tell(self, change: Change) -> None:
        members = [
            bic
            for bic, member in self._directory.members.items()
            if member.accounts.get(change.ledger)
        ]
        async with self._pool.acquire() as connection, connection.transaction():
            began = await connection.execute(
                QUERIES["begin_system_state"], change.subject, change.state
            )
            before = await connection.fetchval(QUERIES["lock_system_state"], change.subject)
            if began.endswith(" 1") or before == change.state:
                return  # nothing was told before, or another replica has told it
            await connection.execute(QUERIES["put_system_state"], change.subject, change.state)
            now = self._now()
            notices = [
                notice_to(bic, event, now, about=None)
                for event in events(change, before, now)
                for bic in members
            ]
            await deliver(connection, notices)
        self._delivered(members)


def events(change: Change, before: str, at: int) -> list[SystemEvent]:
    """What is told of a change, in the order in which it happened."""

    def event(code: SystemEventCode, *more: str, text: str | None = None) -> SystemEvent:
        return SystemEvent(code=code, parameters=(change.ledger, *more), text=text, at=at)

    if change.subject.startswith("trust"):
        if change.state == TRUSTED:
            return [event(SystemEventCode.BRKE)]
        return [event(SystemEventCode.BRKB, text=change.state)]
    ended = [] if before == CLOSED else [event(SystemEventCode.EBDY, before)]
    began = [] if change.state == CLOSED else [event(SystemEventCode.SBDY, change.state)]
    return ended + began
