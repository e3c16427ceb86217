"""admi.004: business days and breaks, told once to the members that have an account there."""

from datetime import date

from msgspec.structs import replace

from gateway.calendars import Day
from htlc.units import LedgerId
from tests.gateway.cash_messages import all_heard
from tests.gateway.systems import BUYER, System

HOUR = 3_600_000_000_000


class Calendars:
    """A calendar that is moved by hand."""

    def __init__(self) -> None:
        self.day = Day(date=date(2026, 10, 8), opens_at=0, closes_at=2**62)

    def current(self, ledgers: tuple[str, ...], at: int) -> Day:
        return self.day


async def test_a_business_day_and_a_break_are_told_once(running: System) -> None:
    events = running.engine.tellers.system_events
    calendars = Calendars()
    await events.look()
    assert await all_heard(running, BUYER) == []  # what a new gateway finds is no event
    events._calendars = calendars  # type: ignore[assignment]
    await events.look()
    heard = await all_heard(running, BUYER)
    assert sorted(heard) == ["004/EBDY", "004/EBDY", "004/SBDY", "004/SBDY"]
    calendars.day = replace(calendars.day, opens_at=2**61)
    await events.look()
    await events.look()
    assert (await all_heard(running, BUYER))[4:] == ["004/EBDY"] * 2
    calendars.day = Day(date=date(2026, 10, 9), opens_at=0, closes_at=2**62)
    await events.look()
    running.engine.directory.distrusted[LedgerId("bank")] = "its probe is not what it declares"
    await events.look()
    del running.engine.directory.distrusted[LedgerId("bank")]
    events._known.clear()  # as another replica, or after a start
    await events.look()
    assert (await all_heard(running, BUYER))[6:] == ["004/SBDY"] * 2 + ["004/BRKB", "004/BRKE"]
