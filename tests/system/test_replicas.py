"""Two gateway processes on one database: what one leaves, the other finishes within seconds."""

import asyncio
import os
import signal
import time
from pathlib import Path

import aiohttp
import pytest

from gateway.machine import world as worlds
from tests.system.load import EURO, Load
from tests.system.machine import Machine, machine, patience
from tests.system.replica import replica

TRADES = 200

HAND_OVER_SECONDS_MAX = 60.0
"""Three seconds until a replica counts as gone, one heartbeat, and the work itself: seven or so on
a quiet machine. Without a hand-over they would lapse, after two minutes in this world."""

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


async def knows_the_ledgers(there: Load) -> None:
    """A replica opens nothing before every ledger of it has told what it is."""
    await there.swap()
    await there.settled()


async def test_the_other_replica_finishes_what_a_killed_one_has_begun(data: Path) -> None:
    world = worlds.load(worlds.find("dvp"))
    async with (
        machine(data, *patience(data)) as running,
        replica(data, "gateway-b") as other,
        aiohttp.ClientSession() as session,
    ):
        euro = running.pid_of(EURO)
        assert euro is not None
        there = Load(
            Machine(running.process, running.ready | {"gateway": other.url}), world, session, 1
        )
        await knows_the_ledgers(there)
        os.kill(euro, signal.SIGSTOP)  # the cash legs cannot be locked: everything stays open
        await asyncio.gather(*(there.swap() for _ in range(TRADES)))
        os.kill(other.pid, signal.SIGKILL)
        os.kill(euro, signal.SIGCONT)
        begun = time.monotonic()
        here = Load(running, world, session, 2)
        here.sent = there.sent
        told = await here.settled(HAND_OVER_SECONDS_MAX)
        print(f"{TRADES} settlements handed over in {time.monotonic() - begun:.1f} s")
        assert (
            sum(tally["state SETTLED"] for tally in told.values())
            == 2 * len(there.sent)
            > 2 * TRADES
        )


async def test_any_replica_shows_and_cancels_what_another_one_runs(data: Path) -> None:
    world = worlds.load(worlds.find("dvp"))
    async with (
        machine(data) as running,
        replica(data, "gateway-b") as other,
        aiohttp.ClientSession() as session,
    ):
        euro = running.pid_of(EURO)
        assert euro is not None
        there = Load(
            Machine(running.process, running.ready | {"gateway": other.url}), world, session, 3
        )
        await knows_the_ledgers(there)
        os.kill(euro, signal.SIGSTOP)
        here = Load(running, world, session, 4)
        await there.swap()
        trade = there.sent[-1]
        assert trade.settlement is not None
        while (await here.clients[trade.buyer].settlement(trade.settlement)).state == "PROPOSED":
            await asyncio.sleep(0.01)  # one party alone may withdraw what is only proposed
        for member in (trade.seller, trade.buyer):
            view = await here.clients[member].cancel(trade.settlement, "both of us want out")
            assert view.id == trade.settlement
        os.kill(euro, signal.SIGCONT)
        deadline = time.monotonic() + 180
        while (view := await here.clients[trade.buyer].settlement(trade.settlement)).state not in (
            "CANCELLED",
            "REJECTED",
        ):
            assert time.monotonic() < deadline, view
            await asyncio.sleep(0.1)
        assert view.decision is not None
        assert view.decision.reason == "CANCEL_ACCEPTED"
