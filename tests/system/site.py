"""A running `up` for several tests in a row, with one account of everything that was ever sent."""

import asyncio
import contextlib
import itertools
import re
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from gateway.client import GatewayClient, GatewayUnreachableError
from gateway.machine import world as worlds
from gateway.machine.world import World
from tests.system import test_crash as account
from tests.system.load import DEADLINE, Load, Sent
from tests.system.machine import Machine, machine, patience

WORKERS = 5
"""Concurrent clients of a load; each rests for 0.1 s after a trade, as the account of what was
sent takes its time too."""


class Site:
    """An `up`, and the trades of all tests that it served."""

    def __init__(self, data: Path, running: Machine, session: aiohttp.ClientSession) -> None:
        self.data = data
        self.running = running
        self.session = session
        self.world: World = worlds.load(worlds.find("dvp"))
        self.sent: list[Sent] = []
        self._seeds = itertools.count(1)

    def load(self, *urls: str) -> "Spread":
        """Traffic to gateways (by default: to that of `up`), one after the other."""
        return Spread(self, urls or (self.running.url,), next(self._seeds))

    def dsn(self, service: str) -> str:
        """Of a service's database."""
        text = (self.data / "services" / f"{service}.toml").read_text()
        found = re.search(r'^dsn = "(.*)"$', text, flags=re.MULTILINE)
        assert found is not None
        return found[1]

    async def get(self, url: str) -> tuple[int, Any]:
        """Status and JSON of a probe."""
        async with self.session.get(url) as response:
            return response.status, await response.json()

    async def metric(self, url: str, sample: str) -> float:
        """The value of one sample at a `/metrics`; 0 if it is not there."""
        async with self.session.get(f"{url}/metrics") as response:
            text = await response.text()
        found = re.search(rf"^{re.escape(sample)} (\S+)$", text, flags=re.MULTILINE)
        return float(found[1]) if found else 0.0

    async def settles(self, load: "Spread") -> float:
        """Seconds until a trade that is sent now has settled, asked again until it is taken."""
        begun = time.monotonic()
        await load.swap()
        trade = load.sent[-1]
        assert trade.settlement is not None
        while True:
            with contextlib.suppress(GatewayUnreachableError):
                view = await load.clients[trade.seller].settlement(trade.settlement)
                if view.state == "SETTLED":
                    return time.monotonic() - begun
                assert view.state != "CANCELLED", view
            assert time.monotonic() < begun + DEADLINE, "it never settled"
            await asyncio.sleep(0.02)

    async def until(self, url: str, status: int, within: float) -> Any:
        """What a probe answers once it answers with that status."""
        async with asyncio.timeout(within):
            while True:
                found, content = await self.get(url)
                if found == status:
                    return content
                await asyncio.sleep(0.05)


class Spread(Load):
    """Trades over several gateways: each goes to the next one, and what one refuses goes to the
    next one again. What is sent is noted at the site as well."""

    def __init__(self, site: Site, urls: Sequence[str], seed: int) -> None:
        super().__init__(site.running, site.world, site.session, seed)
        self._site = site
        self._rings = itertools.cycle(
            [
                {
                    member: GatewayClient(site.session, url, site.running.token(member))
                    for member in self.clients
                }
                for url in urls
            ]
        )
        self.clients = next(self._rings)

    async def trade(self, *, by_message: bool) -> None:
        """One trade, through the gateway whose turn it is."""
        self.clients = next(self._rings)
        await (self.pair() if by_message else self.swap())

    async def _again(self) -> None:
        self.clients = next(self._rings)
        await super()._again()

    def note(self) -> None:
        """Hand over to the site's account what was sent."""
        self._site.sent += self.sent


@contextlib.asynccontextmanager
async def site(data: Path, *options: str) -> AsyncIterator[Site]:
    """Run `up`. At the end: every trade of every load has settled, once, on both ledgers, every
    party was told so once, and every holding is what the trades explain."""
    async with (
        machine(data, *patience(data), *options) as running,
        aiohttp.ClientSession() as session,
    ):
        made = Site(data, running, session)
        before = await account.holdings(running, session)
        yield made
        everything = made.load()
        everything.sent = made.sent
        await account.check(running, session, everything, before)


@contextlib.asynccontextmanager
async def traffic(load: Spread) -> AsyncIterator[None]:
    """Trades all the time, of both kinds; at the end of the block, the last ones are taken."""
    stop = asyncio.Event()

    async def trader(number: int) -> None:
        while not stop.is_set():
            await load.trade(by_message=number % 2 == 0)
            await asyncio.sleep(0.1)

    traders = [asyncio.create_task(trader(number)) for number in range(WORKERS)]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*traders)
        load.note()
