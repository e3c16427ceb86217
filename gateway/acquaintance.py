"""Getting to know the ledgers: what each says of itself, and whether it can be trusted.

What they told is kept, so that after a restart instructions are judged before they answer again.
"""

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
    """Asks each ledger what it is. `learned` is called whenever one has told."""

    def __init__(
        self,
        links: Mapping[LedgerId, Link],
        directory: Directory,
        pool: Pool,
        *,
        learned: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self._links = links
        self._directory = directory
        self._pool = pool
        self._learned = learned
        self._say = say

    async def remember(self) -> None:
        """What the ledgers told before the last start."""
        for row in await self._pool.fetch(QUERIES["load_descriptions"]):
            if (name := LedgerId(row["ledger"])) in self._links:
                description = msgspec.json.decode(row["description"], type=Description)
                self._directory.learn(name, description)
        self._learned()

    async def run(self, name: LedgerId) -> None:
        """Ask a ledger what it is until it says so, and until it can be trusted; it may start
        after us."""
        link = self._links[name]
        while (
            fault := preflight.fault(name, description := await self._describe(link))
        ) is not None:
            if self._directory.distrusted.get(name) != fault:
                self._say(f"PAGE: nothing settles on ledger {name}: {fault}")
            self._directory.distrusted[name] = fault
            await asyncio.sleep(PREFLIGHT_AGAIN_SECONDS)
        self._directory.distrusted.pop(name, None)
        link.trusted = True
        link.read(description.at)
        self._directory.learn(name, description)
        self._learned()
        text = msgspec.json.encode(description).decode()
        await self._pool.execute(QUERIES["store_description"], name, text)

    async def _describe(self, link: Link) -> Description:
        pause = 0.05
        while True:
            try:
                return await link.ledger.describe()
            except (LedgerUnreachable, RemoteLedgerError) as error:
                self._say(f"ledger {link.name} does not tell what it is yet: {error}")
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)
