"""Calendars, cut-offs, failing and expiry through the whole gateway, by a clock that is set."""

import contextlib
from collections.abc import AsyncIterator
from datetime import date, datetime
from pathlib import Path

import msgspec
import pytest

from gateway import allegements, desk
from gateway.calendars import CalendarSettings
from gateway.config import LedgerSettings
from gateway.machine import arrangement, world
from protocols.iso20022.advice import Confirmation
from protocols.iso20022.instruction import Movement
from tests.gateway.requests import ask, cancellation, heard, hold
from tests.gateway.systems import BUYER, ISIN, OPENING, SELLER, System, system, until
from tests.gateway.test_instructions import both, instruction, send, told

TARGET = CalendarSettings(
    time_zone="Europe/Berlin",
    closed_weekdays=("sat", "sun"),
    holiday_sets=("TARGET",),
    dvp_cut_off="16:00",
)
THURSDAY = date(2026, 10, 8)


class Clock:
    """What the gateway takes for the time of day."""

    def __init__(self, running: System, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now = 0
        running.engine.days.now = lambda: self._now
        monkeypatch.setattr(desk, "now_ns", lambda: self._now)

    def set(self, text: str) -> None:
        self._now = int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000


def calendars(running: System, **by_ledger: CalendarSettings) -> dict[str, LedgerSettings]:
    return {
        name: msgspec.structs.replace(access, calendar=by_ledger.get(name, CalendarSettings()))
        for name, access in running.settings.ledgers.items()
    }


@pytest.fixture
async def market(
    dsns: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[System, Clock]]:
    """A system whose registry keeps the days of TARGET; its bank is open day and night."""
    async with contextlib.AsyncExitStack() as stack:
        made = await stack.enter_async_context(system(dsns, tmp_path))
        await stack.enter_async_context(made.gateway(ledgers=calendars(made, registry=TARGET)))
        clock = Clock(made, monkeypatch)
        clock.set("2026-10-08T09:00:00Z")
        yield made, clock


def wake(running: System) -> None:
    """What a timer of the waiting pairs does when it is due."""
    for id in tuple(running.engine.pending):
        running.engine.pending._try(id)


async def last(running: System, member: str) -> str:
    return (await heard(running, member))[-1]


async def test_a_closed_day_is_refused_and_a_business_day_ahead_waits(
    market: tuple[System, Clock],
) -> None:
    running, clock = market
    await send(running, instruction(Movement.DELI, settlement_date=date(2026, 10, 10)))
    assert await heard(running, SELLER) == ["Rjctd/DDAT"]
    deliver, receive = both(settlement_date=date(2026, 10, 9))
    await send(running, deliver)
    await send(running, receive)
    assert await last(running, SELLER) == "Mtchd Pdg/FUTU"
    assert await last(running, BUYER) == "AckdAccptd Mtchd Pdg/FUTU"
    clock.set("2026-10-08T23:59:59Z")  # past midnight at the registry, not yet at the bank
    wake(running)
    assert not running.engine.runner.lives
    clock.set("2026-10-09T00:00:00Z")
    wake(running)
    await until(lambda: _settled(running, BUYER))


async def _settled(running: System, member: str) -> bool:
    return await last(running, member) == "settled"


async def test_who_comes_after_the_cut_off_is_late_and_settles_on_the_next_business_day(
    market: tuple[System, Clock],
) -> None:
    running, clock = market
    friday = date(2026, 10, 9)
    deliver, receive = both(settlement_date=friday)
    clock.set("2026-10-09T13:59:59Z")
    await send(running, deliver)
    clock.set("2026-10-09T14:00:00Z")
    await send(running, receive)
    assert await heard(running, SELLER) == ["AckdAccptd Umtchd/CMIS", "Mtchd Flng/CLAT"]
    assert await heard(running, BUYER) == ["AckdAccptd/LATE Mtchd Flng/LATE"]
    deliver, receive = both(settlement_date=THURSDAY)
    await send(running, deliver)  # a date in the past, by night: the same business day
    await send(running, receive)
    assert await last(running, SELLER) == "Mtchd Flng/LATE"
    assert await last(running, BUYER) == "AckdAccptd/LATE Mtchd Flng/LATE"
    wake(running)
    assert not running.engine.runner.lives
    clock.set("2026-10-12T06:00:00Z")
    wake(running)
    await until(lambda: _times(running, "settled", 2))
    assert len(await heard(running, BUYER)) == 4


async def _times(running: System, said: str, times: int) -> bool:
    return (await heard(running, BUYER)).count(said) == times


async def test_what_has_not_settled_when_its_day_ends_fails_with_its_reason_once(
    market: tuple[System, Clock],
) -> None:
    running, clock = market
    deliver, receive = both(quantity=str(OPENING[ISIN] + 1), settlement_date=THURSDAY)
    await send(running, deliver)
    await send(running, receive)
    await until(lambda: _lacks(running))
    await until(lambda: len(running.engine.pending) == 1)
    look = running.engine._end_of_day().pairs
    await look()
    assert await last(running, SELLER) == "Mtchd Pdg/LACK"
    clock.set("2026-10-08T14:00:00Z")
    await look()
    await look()
    assert (await heard(running, SELLER))[-2:] == ["Mtchd Pdg/LACK", "Mtchd Flng/LACK"]
    assert (await heard(running, BUYER))[-2:] == ["Mtchd Pdg/CLAC", "Mtchd Flng/CLAC"]
    clock.set("2026-10-09T09:00:00Z")
    wake(running)  # the next attempt has the same reason: no news
    await until(lambda: _attempts(running, 2))
    await until(lambda: len(running.engine.pending) == 1)
    assert await last(running, SELLER) == "Mtchd Flng/LACK"
    assert await running.engine.pool.fetchval("SELECT failing FROM pending_pair")
    await ask(running, hold(deliver, True))
    assert (await heard(running, SELLER))[-2:] == ["Mtchd Flng/PREA", "031/Cmpltd"]
    assert await last(running, BUYER) == "Mtchd Flng/PRCY"


async def _lacks(running: System) -> bool:
    return await last(running, SELLER) == "Mtchd Pdg/LACK"


async def _attempts(running: System, number: int) -> bool:
    query = (
        "SELECT count(*) FROM settlement s LEFT JOIN open_settlement o USING (settlement)"
        " WHERE o.replica IS NULL"
    )
    return bool(await running.engine.pool.fetchval(query) == number)


async def test_what_nobody_ends_expires_after_its_business_days(
    market: tuple[System, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    running, clock = market
    monkeypatch.setattr(running.engine.allegements, "_after", 0.0)
    monkeypatch.setattr(allegements, "PERIOD_SECONDS_MAX", 0.01)
    alone = instruction(Movement.DELI, settlement_date=THURSDAY, quantity="7")
    await send(running, alone)
    await running.engine.allegements.tell()
    deliver, receive = both(hold=True, settlement_date=THURSDAY)
    await send(running, deliver)
    await send(running, receive)
    await ask(running, cancellation(deliver))
    end_of_day = running.engine._end_of_day()

    async def look() -> None:
        await end_of_day.pairs()
        await end_of_day.unmatched()

    clock.set("2026-11-05T09:00:00Z")  # the 20th business day after Thursday
    await look()
    assert "Canc/CANS" not in await heard(running, SELLER)
    clock.set("2026-11-06T09:00:00Z")
    await look()
    assert (await heard(running, SELLER))[-1] == "Canc/CANS"
    assert (await heard(running, BUYER))[-1] == "AllegementRemoval"
    await look()
    assert (await heard(running, SELLER)).count("Canc/CANS") == 1
    clock.set("2027-02-05T09:00:00Z")
    await look()  # 60 business days since it was told that it fails
    assert (await heard(running, SELLER))[-2:] == ["027/Canc/CANI", "Canc/CANS"]
    assert await last(running, BUYER) == "Canc/CANS"
    assert len(running.engine.pending) == 0
    assert await running.engine.pool.fetchval("SELECT count(*) FROM pending_pair") == 0
    await ask(running, cancellation(deliver))
    assert await last(running, SELLER) == "027/Dnd/DCAN"


async def _confirmed(running: System) -> bool:
    """Among whatever else is told: that the day before has ended, for example."""
    return any(isinstance(item, Confirmation) for item in await told(running, BUYER))


async def test_a_business_date_set_by_hand_settles_what_is_due_then(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    async with system(dsns, tmp_path) as made:
        days = calendars(made, registry=TARGET, bank=TARGET)
        deliver, receive = both(settlement_date=date(2031, 3, 6))
        async with made.gateway(ledgers=days, business_date="2031-03-05") as running:
            await send(running, deliver)
            await send(running, receive)
            assert await last(running, BUYER) == "AckdAccptd Mtchd Pdg/FUTU"
        async with made.gateway(ledgers=days, business_date="2031-03-06") as running:
            await until(lambda: _confirmed(running))


def test_a_calendar_survives_the_way_from_a_world_to_the_gateways_configuration(
    tmp_path: Path,
) -> None:
    shipped = (world.WORLDS / "dvp.toml").read_text()
    table = (
        "\n[ledgers.registry.calendar]\n"
        'time_zone = "Europe/Berlin"\nclosed_weekdays = ["sat", "sun"]\n'
        'holidays = [2026-12-24]\nholiday_sets = ["TARGET"]\ndvp_cut_off = "16:00"\n'
    )
    path = tmp_path / "w.toml"
    path.write_text(shipped + table)
    known = world.load(path).ledgers["registry"].calendar
    assert known.holidays == (date(2026, 12, 24),)
    assert arrangement.plain(known)["holidays"] == [date(2026, 12, 24)]
