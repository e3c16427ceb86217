"""Business days of two currencies: a value date over by its cut-off, and what expires (RSCD)."""

from collections.abc import AsyncIterator
from datetime import date

import pytest

from gateway.calendars import CalendarSettings
from tests.gateway import test_fx_trades as fx
from tests.gateway.systems import BUYER, SELLER, System, until
from tests.gateway.test_business_days import TARGET, Clock, calendars, wake

TOKYO = CalendarSettings(time_zone="Asia/Tokyo", closed_weekdays=("sat", "sun"))
stopped = fx.stopped
VALUE = date(2026, 10, 8)


@pytest.fixture
async def market(
    stopped: System, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[System, Clock]]:
    async with stopped.gateway(ledgers=calendars(stopped, euro=TARGET, franc=TOKYO)) as running:
        clock = Clock(running, monkeypatch)
        clock.set("2026-10-08T09:00:00Z")
        yield running, clock


async def test_a_trade_settles_while_the_same_day_is_open_on_both_ledgers(
    market: tuple[System, Clock],
) -> None:
    running, clock = market
    await fx.send(running, fx.trade(SELLER, settlement_date=date(2026, 10, 10)))
    assert await fx.said(running, SELLER) == ["INVA DDAT"]
    clock.set("2026-10-08T15:00:00Z")  # an hour after the cut-off in Berlin; Friday in Tokyo
    for member in (SELLER, BUYER):
        await fx.send(running, fx.trade(member, settlement_date=VALUE))
    assert (await fx.said(running, BUYER))[-1] == "FMTC LATE"
    clock.set("2026-10-08T22:00:00Z")  # Friday has begun in Berlin as well
    wake(running)
    await until(lambda: _settled(running))
    assert (await fx.said(running, SELLER))[-3:] == ["FMTC LATE", "SMAT", "STLD"]


async def _settled(running: System) -> bool:
    return (await fx.said(running, SELLER))[-1] == "STLD"


async def test_a_trade_that_nobody_matches_is_rescinded_when_its_time_is_over(
    market: tuple[System, Clock],
) -> None:
    running, clock = market
    await fx.send(running, fx.trade(SELLER, settlement_date=VALUE))
    clock.set("2026-11-05T09:00:00Z")
    await running.engine._end_of_day().unmatched()
    assert (await fx.said(running, SELLER))[-1] == "UMTC"
    clock.set("2026-11-06T09:00:00Z")
    await running.engine._end_of_day().unmatched()
    assert (await fx.said(running, SELLER))[-1] == "RSCD"
