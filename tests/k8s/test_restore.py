"""The restore drill: the gateway's database is backed up, worked on, destroyed in full work, and
restored, while ledgers and gateway run on.

With the archive of the log every acknowledged trade is there and ends on both ledgers. Without it,
a restore lacks records: which ones, is what the ledgers know and the journal does not.
"""

import asyncio
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from gateway.embedded import temporary_directory
from gateway.machine import world as worlds
from tests.k8s.archive import Site, site
from tests.system.load import EURO, REGISTRY, Load
from tests.system.machine import Machine, machine
from tests.system.test_crash import check, holdings, trade

pytestmark = pytest.mark.timeout(900)

WORKERS = 8


@pytest.fixture
def place() -> Iterator[Site]:
    home = temporary_directory()
    try:
        with site(home) as made:
            made.synchronous()
            yield made
    finally:
        shutil.rmtree(home)


async def settlements_of_ledgers(running: Machine, session: aiohttp.ClientSession) -> set[str]:
    """Every settlement that a ledger knows a contract of."""
    known = set()
    for ledger in (REGISTRY, EURO):
        headers = {"Authorization": f"Bearer {running.operator('ledger', ledger)}"}
        url, after = f"{running.ready['ledgers'][ledger]}/v1/facts", ""
        while True:
            async with session.get(url, params={"after": after}, headers=headers) as response:
                facts = (await response.json())["facts"]
            known |= {f["htlc"]["terms"]["settlement"] for f in facts if f.get("htlc")}
            if not facts:
                break
            after = facts[-1]["cursor"]
    return known


def settlements_of_journal(place: Site) -> set[str]:
    return set(place.sql("SELECT settlement FROM settlement", "lockstep").split())


async def test_a_restore_with_the_archive_has_everything_that_was_acknowledged(
    place: Site, data: Path
) -> None:
    world = worlds.load(worlds.find("dvp"))
    async with (
        machine(data, "--dsn", f"gateway={place.dsn()}") as running,
        aiohttp.ClientSession() as session,
    ):
        before = await holdings(running, session)
        load = Load(running, world, session, 7)
        stop, dice = asyncio.Event(), random.Random(7)
        traders = [asyncio.create_task(trade(load, stop, dice)) for _ in range(WORKERS)]
        await asyncio.sleep(1.5)
        await asyncio.to_thread(place.back_up)
        await asyncio.sleep(1.5)
        await asyncio.to_thread(place.destroy)
        acknowledged = len(load.sent)
        await asyncio.to_thread(place.restore, archive=True)
        await asyncio.sleep(1.0)
        stop.set()
        await asyncio.gather(*traders)
        print(f"{acknowledged} trades acknowledged before the loss, {len(load.sent)} in all")
        await check(running, session, load, before)


async def test_what_a_restore_lacks_is_what_the_ledgers_know_beyond_the_journal(
    place: Site, data: Path
) -> None:
    world = worlds.load(worlds.find("dvp"))
    async with (
        machine(data, "--dsn", f"gateway={place.dsn()}") as running,
        aiohttp.ClientSession() as session,
    ):
        load = Load(running, world, session, 8)
        for _ in range(5):
            await load.swap()
        await load.settled()
        await asyncio.to_thread(place.back_up)
        for _ in range(5):
            await load.swap()
        await load.settled()
        lost = {trade.settlement for trade in load.sent[5:]}
        assert (
            await settlements_of_ledgers(running, session) - settlements_of_journal(place) == set()
        ), "nothing is missing before the loss"
        await asyncio.to_thread(place.destroy)
        await asyncio.to_thread(place.restore, archive=False)
        known = await settlements_of_ledgers(running, session)
        assert known - settlements_of_journal(place) == lost
