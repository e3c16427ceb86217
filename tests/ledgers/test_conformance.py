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
from tests.ledgers.icsd.registries import NAMES, icsd_world
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


# An answer of a network costs every registry two blocks: all checks run on one with one registry,
# and those where the order and the time of others matter on one of four.
AMONG_FOUR = (
    "a_batch_is_done_in_its_order_each_with_its_own_outcome",
    "absent_at_an_instant_binds_every_later_lock",
    "concurrent_callers_share_the_account_without_harm",
    "facts_tell_every_effect_once_and_in_order",
    "issue_redeem_and_transfer_are_known_by_id_and_content",
    "ledger_time_never_goes_back",
)


@pytest.mark.parametrize("check", CHECKS)
async def test_registry_network(check: str, postgres_server: str) -> None:
    async with icsd_world(postgres_server, NAMES[:1]) as world:
        await CHECKS[check](world)


@pytest.mark.parametrize("check", AMONG_FOUR)
async def test_four_registries(check: str, postgres_server: str) -> None:
    async with icsd_world(postgres_server) as world:
        await CHECKS[check](world)
