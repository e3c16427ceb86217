"""What is done to a registry's database while its node does not run: compared, and mended."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.config import database
from gateway.icsd_node.settings import NodeProcess
from htlc.units import Instant
from ledgers.icsd import repair
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.repair import Difference
from ledgers.icsd.start import Identity
from ledgers.icsd.store import Store, prepare
from ledgers.postgres import open_pool


def identity(settings: NodeProcess) -> Identity:
    """Which registry it is. Raises ConfigurationError."""
    return Identity(registry=RegistryId(settings.registry), key=settings.key(), clock=wall_clock)


def wall_clock() -> Instant:
    return Instant(time.time_ns())


@asynccontextmanager
async def _store(settings: NodeProcess) -> AsyncIterator[Store]:
    network = settings.network()
    async with await open_pool(database(settings.dsn)) as pool:
        await prepare(pool, network.network, RegistryId(settings.registry), network.epoch)
        yield Store(pool)


async def differences(settings: NodeProcess) -> list[Difference]:
    """The rows of the book that are not as a quorum has certified. Raises Lost."""
    async with _store(settings) as store:
        return await repair.differences(settings.network(), store)


async def mend(settings: NodeProcess) -> list[Difference]:
    """The same, and they are put right. Raises Lost, Fenced if the node runs."""
    async with _store(settings) as store:
        return await repair.repair(settings.network(), store)
