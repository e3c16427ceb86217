"""Hears of journal records that other replicas wrote into settlements of ours."""

import asyncio
from collections.abc import Callable
from typing import Final

import asyncpg

from gateway.journal import CHANNEL, LOST
from gateway.sql import Connection

PAUSE_SECONDS: Final = 1.0
"""Before a lost connection is opened again. What is missed meanwhile is found in the journal when
an entry of ours meets it."""


async def run(dsn: str, heard: Callable[[str], None], say: Callable[[str], None]) -> None:
    """Listen until cancelled, over as many connections as it takes; `heard` is given the id."""
    while True:
        try:
            connection = await asyncpg.connect(dsn)
        except LOST as error:
            say(f"not listening: {error!r}")
            await asyncio.sleep(PAUSE_SECONDS)
            continue
        try:
            await connection.add_listener(CHANNEL, lambda *said: heard(str(said[-1])))
            await _terminated(connection)
        except LOST as error:
            say(f"not listening: {error!r}")
        finally:
            connection.terminate()


async def _terminated(connection: Connection) -> None:
    """Returns when the connection has been lost."""
    closed = asyncio.Event()
    connection.add_termination_listener(lambda _: closed.set())
    await closed.wait()
