"""Four registries in one process: nodes over one log in memory, each with a database of its own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from htlc.units import Duration, LedgerId
from ledgers.hosted import Clock
from ledgers.icsd import node
from ledgers.icsd.epoch import Epoch, Member, RegistryId
from ledgers.icsd.hosted import RegistryLedger
from ledgers.icsd.log import OrderedLog
from ledgers.icsd.memory_log import MemoryLog
from ledgers.icsd.node import Node
from ledgers.icsd.replica import Pace
from ledgers.icsd.start import Identity, Network, registry
from tests import postgres
from tests.ledgers.worlds import LEDGER, TEST_KEY, TRAITS, ManualClock, World, furnish

NAMES = tuple(RegistryId(name) for name in ("DE", "FR", "KZ", "UZ"))
KEYS = {
    # The first signs as the other ledgers of the tests do: its blocks can be compared with theirs.
    name: TEST_KEY if number == 1 else Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    for number, name in enumerate(NAMES, 1)
}
AT_ONCE = Pace(tick=Duration(0), heartbeat=Duration(10**18), again=Duration(0), gather=Duration(0))
"""Blocks follow demand alone: the clock of the tests stands still."""

START_SECONDS = 60.0


def network(pace: Pace = AT_ONCE, names: Sequence[RegistryId] = NAMES) -> Network:
    members = tuple(
        Member(registry=name, public_key=KEYS[name].public_key().public_bytes_raw())
        for name in names
    )
    epoch = Epoch(number=1, members=members, start=1)
    return Network(network=LedgerId(LEDGER), epoch=epoch, profile=TRAITS.profile, pace=pace)


class Registry:
    """One registry: its database stays, its node comes and goes."""

    def __init__(
        self, its: Network, name: RegistryId, dsn: str, log: Callable[[], OrderedLog], clock: Clock
    ) -> None:
        self.name = name
        self.dsn = dsn
        self._its = its
        self.connect = log
        self._clock = clock

    @contextlib.asynccontextmanager
    async def alive(self) -> AsyncIterator[RegistryLedger]:
        """One life of the node. Cancelled at the end of the block, wherever it is then."""
        log = self.connect()
        identity = Identity(registry=self.name, key=KEYS[self.name], clock=self._clock)
        async with registry(self._its, identity, self.dsn, log, TRAITS, Duration(0)) as ledger:
            running = asyncio.create_task(ledger.node.run())
            try:
                yield ledger
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                await log.close()


async def until(true: Callable[[], bool], seconds: float = START_SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)


async def serving(node: Node) -> Node:
    await until(lambda: node.caught_up)
    return node


async def databases(server: str, names: Sequence[str]) -> dict[str, str]:
    """An empty database for each name: schemas of one, because making databases takes longer than
    most of what is done with them."""
    connection = await asyncpg.connect(postgres.dsn(server))
    for name in names:
        await connection.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE; CREATE SCHEMA "{name}"')
    await connection.close()
    return {name: f'{postgres.dsn(server)}&search_path="{name}"' for name in names}


async def registries(
    server: str,
    clock: Clock,
    pace: Pace = AT_ONCE,
    log: MemoryLog | None = None,
    names: Sequence[RegistryId] = NAMES,
) -> list[Registry]:
    """Registries of one network, each with an empty database, none of them alive."""
    log = MemoryLog() if log is None else log
    its = network(pace, names)
    dsns = await databases(server, names)
    return [Registry(its, name, dsns[name], log.connect, clock) for name in names]


@contextlib.asynccontextmanager
async def all_alive(four: Sequence[Registry]) -> AsyncIterator[list[RegistryLedger]]:
    """One life of all of them together."""
    async with contextlib.AsyncExitStack() as stack:
        ledgers = [await stack.enter_async_context(each.alive()) for each in four]
        for ledger in ledgers:
            await serving(ledger.node)
        yield ledgers


@contextlib.asynccontextmanager
async def icsd_world(server: str, names: Sequence[RegistryId] = NAMES) -> AsyncIterator[World]:
    """The network as one ledger, spoken to at the first of its registries."""
    clock = ManualClock()
    with pytest.MonkeyPatch.context() as patient:
        # What a ledger may be asked again for, a suite given to every ledger need not expect.
        patient.setattr(node, "ANSWER_SECONDS", START_SECONDS)
        async with _icsd_world(server, clock, names) as world:
            yield world


@contextlib.asynccontextmanager
async def _icsd_world(
    server: str, clock: ManualClock, names: Sequence[RegistryId]
) -> AsyncIterator[World]:
    async with all_alive(await registries(server, clock, names=names)) as ledgers:
        yield await furnish(World(ledgers[0], clock))
        await agree(ledgers)


async def agree(ledgers: Sequence[RegistryLedger]) -> None:
    """Every node comes to the same block with the same roots, and none has stopped."""

    def places() -> set[object]:
        return {
            (ledger.node.head.height, ledger.node.head.place, ledger.node.replica.view.state)
            for ledger in ledgers
        }

    await until(lambda: len(places()) == 1)
    assert [ledger.node.stopped for ledger in ledgers] == [None] * len(ledgers)
