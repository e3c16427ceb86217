"""Getting to know the ledgers: what each says it is and keeps, and whether it can be trusted."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from gateway import preflight
from gateway.directory import Directory
from gateway.journal import QUERIES
from gateway.links import Link
from gateway.sql import Pool
from htlc.units import LedgerId
from ledgers.port import Description, LedgerUnreachable
from ledgers.remote import RemoteLedgerError

PREFLIGHT_AGAIN_SECONDS: Final = 30.0
"""A ledger that failed the preflight is asked again: it is repaired without us being restarted."""


class Acquaintance:
    """Asks every ledger; `learned` is called for each that has told, `trusted` when locks may go
    to one."""

    def __init__(
        self,
        pool: Pool,
        directory: Directory,
        links: Mapping[LedgerId, Link],
        *,
        learned: Callable[[], None],
        trusted: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self._pool = pool
        self._directory = directory
        self._links = links
        self._learned = learned
        self._trusted = trusted
        self._say = say

    async def run(self) -> None:
        """Until every ledger is known and trusted."""
        async with asyncio.TaskGroup() as group:
            for name in self._links:
                group.create_task(self._acquaint(name))

    async def _acquaint(self, name: LedgerId) -> None:
        """Ask a ledger what it is until it says so, and until it can be trusted; it may start
        after us."""
        link, distrusted = self._links[name], self._directory.distrusted
        while (
            fault := preflight.fault(name, description := await self._describe(link))
        ) is not None:
            if distrusted.get(name) != fault:
                self._say(f"PAGE: nothing settles on ledger {name}: {fault}")
            distrusted[name] = fault
            await asyncio.sleep(PREFLIGHT_AGAIN_SECONDS)
        distrusted.pop(name, None)
        link.trusted = True
        link.read(description.at)
        self._learn(name, description)
        text = msgspec.json.encode(description).decode()
        await self._pool.execute(QUERIES["store_description"], name, text)
        self._trusted()

    def _learn(self, name: LedgerId, description: Description) -> None:
        self._directory.learn(name, description)
        self._learned()

    async def remember(self) -> None:
        """What the ledgers told before the last start."""
        for row in await self._pool.fetch(QUERIES["load_descriptions"]):
            if (name := LedgerId(row["ledger"])) in self._links:
                self._learn(name, msgspec.json.decode(row["description"], type=Description))

    async def _describe(self, link: Link) -> Description:
        pause = 0.05
        while True:
            try:
                return await link.ledger.describe()
            except (LedgerUnreachable, RemoteLedgerError) as error:
                self._say(f"ledger {link.name} does not tell what it is yet: {error}")
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)
