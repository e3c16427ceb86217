"""Transfers between the registries while they are being killed, and what must be true of them.

Each client does one thing at a time and asks until it is answered, always under the same id. So
afterwards everything asked was answered; and if one transfer was answered before another one was
begun, it must stand before it in the network's chain.
"""

import asyncio
import random
import time
import uuid
from collections import Counter

import msgspec

from htlc.units import Quantity
from ledgers.block import read_leaf
from ledgers.icsd.store import Archived
from ledgers.port import Answer, LedgerUnreachable, Transfer
from tests.ledgers.icsd.servers import MEMBERS
from tests.ledgers.worlds import EUR
from tests.system.registry_site import ACCOUNTS, BOND, FUNDS, Site, account

AGREE_SECONDS = 60.0
"""For the last blocks to reach everybody: some heartbeats, or one new leader of the log."""


class Asked(msgspec.Struct):
    """One transfer, and when (monotonic clock)."""

    transfer: Transfer
    registry: str
    begun: float
    answered: float = 0.0
    tries: int = 0


class Load:
    """Clients at every registry."""

    def __init__(self, site: Site, dice: random.Random) -> None:
        self.asked: list[Asked] = []
        self.answered = Counter[str]()
        self.longest = 0.0
        self._site = site
        self._dice = dice
        self._over = asyncio.Event()

    async def client(self, registry: str) -> None:
        while not self._over.is_set():
            await self._transfer(registry)
            await asyncio.sleep(self._dice.uniform(0.0, 0.1))

    def stop(self) -> None:
        """After what is under way, which is asked until it is answered."""
        self._over.set()

    async def _transfer(self, registry: str) -> None:
        one = Asked(self._made(registry), registry, time.monotonic())
        self.asked.append(one)
        ledger = self._site.members[registry].as_("holder")
        while not one.answered:
            one.tries += 1
            try:
                [told] = await ledger.apply([one.transfer])
            except LedgerUnreachable:
                told = None
            if isinstance(told, Answer):
                assert told.refusal is None, (one, told)
                one.answered = time.monotonic()
            else:
                await asyncio.sleep(0.1)
        self.answered[registry] += 1
        self.longest = max(self.longest, one.answered - one.begun)

    def _made(self, registry: str) -> Transfer:
        dice = self._dice
        debit, credit = dice.sample(range(ACCOUNTS), 2)
        return Transfer(
            id=str(uuid.UUID(int=dice.getrandbits(128))),
            debit=account(registry, debit),
            credit=account(dice.choice(MEMBERS), credit),
            asset=EUR,
            quantity=Quantity(dice.randint(1, 9)),
        )


# --- what must be true ---------------------------------------------------------------------------


async def check(site: Site, load: Load) -> int:
    """Everything, on every registry; returns the height that they agree at."""
    archives = await _agreed(site)
    heights = check_archives(archives)
    chains = [await member.chain() for member in site.members.values()]
    longest = max(chains, key=len)
    assert all(chain == longest[: len(chain)] for chain in chains), "one chain, on all registries"
    check_chain([read_leaf(leaf).id for _, _, leaf in longest], load.asked)
    await check_books(site, load)
    return heights


async def _agreed(site: Site) -> list[dict[int, Archived]]:
    """The archives, when the registries' books have come to the same height."""
    async with asyncio.timeout(AGREE_SECONDS):
        while True:
            archives = [await member.archive() for member in site.members.values()]
            chains = {len(await member.chain()) for member in site.members.values()}
            if len(chains) == 1 and max(map(max, archives)) - min(map(max, archives)) <= 1:
                return archives
            await asyncio.sleep(0.3)


def check_archives(archives: list[dict[int, Archived]]) -> int:
    """Equal heights have equal blocks and equal roots, and no height is missing."""
    for archive in archives:
        assert sorted(archive) == list(range(1, len(archive) + 1)), "a block is missing"
    for height in range(1, min(map(len, archives)) + 1):
        told = {(a[height].header.hash, a[height].statement) for a in archives}
        assert len(told) == 1, f"the registries differ at height {height}"
    return max(map(len, archives))


def check_chain(order: list[str], asked: list[Asked]) -> None:
    """What was acknowledged is there, once, and in an order that nobody can object to."""
    places = {id: place for place, id in enumerate(order)}
    assert len(places) == len(order), "nothing is done twice"
    by_id = {one.transfer.id: one for one in asked}
    lost = [id for id, one in by_id.items() if one.answered and id not in places]
    assert not lost, f"acknowledged, and not in the chain: {lost}"
    latest_begun = 0.0
    for id in order:
        if (one := by_id.get(id)) is not None:
            assert one.answered > latest_begun, "answered before one that stands before it began"
            latest_begun = max(latest_begun, one.begun)


async def check_books(site: Site, load: Load) -> None:
    """Balances are what the transfers make of the funds, on every registry."""
    expected = Counter(
        {
            (account(name, number), asset): FUNDS
            for name in MEMBERS
            for number in range(ACCOUNTS)
            for asset in (EUR, BOND)
        }
    )
    for one in load.asked:
        expected[one.transfer.debit, one.transfer.asset] -= one.transfer.quantity
        expected[one.transfer.credit, one.transfer.asset] += one.transfer.quantity
    for member in site.members.values():
        auditor = member.client("auditor")
        told = {
            (view.account, holding.asset): holding.available
            for view in await auditor.accounts()
            for holding in view.holdings
        }
        for place, quantity in expected.items():
            assert told[place] == str(quantity), (member.name, place)
        assert {position.difference for position in await auditor.conservation()} == {"0"}
