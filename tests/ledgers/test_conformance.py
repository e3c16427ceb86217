"""The conformance suite, given to every ledger that we ship."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from ledgers.access import token_digest
from ledgers.parties import Principal
from ledgers.remote import RemoteLedger
from ledgers.service import build_app
from tests.ledgers.conformance import CHECKS
from tests.ledgers.worlds import PRINCIPALS, World, memory_world, postgres_world

TOKENS = {token_digest(principal.name): principal for principal in PRINCIPALS}


@asynccontextmanager
async def remote_world(dsn: str) -> AsyncIterator[World]:
    """The PostgreSQL ledger behind its HTTP service; a token is simply the name here."""
    async with (
        postgres_world(dsn) as world,
        TestServer(build_app(world.hosted, TOKENS)) as server,
        aiohttp.ClientSession() as session,
    ):

        def speak(by: Principal) -> RemoteLedger:
            return RemoteLedger(session, str(server.make_url("/")), by.name)

        yield World(world.hosted, world.clock, speak)


@pytest.mark.parametrize("check", CHECKS)
async def test_memory(check: str) -> None:
    await CHECKS[check](await memory_world())


@pytest.mark.parametrize("check", CHECKS)
async def test_postgres(check: str, dsn: str) -> None:
    async with postgres_world(dsn) as world:
        await CHECKS[check](world)


@pytest.mark.parametrize("check", CHECKS)
async def test_remote(check: str, dsn: str) -> None:
    async with remote_world(dsn) as world:
        await CHECKS[check](world)
