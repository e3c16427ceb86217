"""A registry whose database is lost, or behind a log that is gone: read again from another one.

The other registry's archive takes the place of the log (`archive`). Nothing of it is believed that
the quorum's signatures do not show.
"""

import asyncio
from contextlib import suppress
from typing import Final

from ledgers.icsd.archive import ArchiveLog, Source
from ledgers.icsd.start import Identity, Network, start
from ledgers.icsd.store import Store

POLL_SECONDS: Final = 0.01

FOREVER: Final = 1 << 62


class RebuildStopped(Exception):
    """The other registry's archive is not that of the network, or we compute it differently."""


async def rebuild(network: Network, identity: Identity, store: Store, source: Source) -> int:
    """Read everything that the other registry has, through the epochs that people began; returns
    the height reached. On a database that has a part of it, it goes on from there. Raises
    RebuildStopped, Altered, Lost, LogUnreachable."""
    begun = {each.record.number: each for each in await source.begun()}
    for number in sorted(begun):
        record = begun[number].record
        if number not in {each.record.number for each in await store.begun()}:
            await catch_up(network, identity, store, source, record.start - 1)
            await store.begin(begun[number])
    return await catch_up(network, identity, store, source, FOREVER)


async def catch_up(
    network: Network, identity: Identity, store: Store, source: Source, height: int
) -> int:
    """Read the archive up to a height, or to its end, in the log in which we stand."""
    head = await store.head()
    log = ArchiveLog(source, head.log, head.height, height)
    node = await start(network, identity, store, log)
    running = asyncio.create_task(node.run())
    try:
        while not (log.ended and node.head.height >= log.height):
            if running.done():
                running.result()
                raise RebuildStopped(node.stopped)
            await asyncio.sleep(POLL_SECONDS)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    return node.head.height
