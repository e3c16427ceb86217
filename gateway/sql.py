"""PostgreSQL as the gateway uses it: its pool of connections, and the types of asyncpg."""

import contextlib
from collections.abc import AsyncIterator
from typing import Final, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from ledgers import arrays

Record: TypeAlias = asyncpg.Record
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Executor: TypeAlias = "Pool | Connection"
"""Where a statement runs: on its own, or within a transaction."""

POOL_SIZE: Final = 6
"""Connections: journal, intake, listener, and three for readers."""

STATEMENT_SECONDS: Final = 30.0
"""A statement that takes longer has lost its server."""

SERVER_SETTINGS: Final = {
    "synchronous_commit": "on",  # every commit is durable before it is told
    # One plan per statement for as long as the connection lasts, each row by its index. A plan that
    # was made while the tables were small reads them from end to end, and would be kept while they
    # grow: until they are analyzed, each append that ends settlements read all there are.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
}


@contextlib.asynccontextmanager
async def open_pool(dsn: str, replica: str) -> AsyncIterator[Pool]:
    """Connections of one replica."""
    arrays.quicken()
    pool = await asyncpg.create_pool(
        dsn,
        min_size=2,
        max_size=POOL_SIZE,
        command_timeout=STATEMENT_SECONDS,
        reset=_nothing_to_reset,
        server_settings=SERVER_SETTINGS | {"application_name": replica},
    )
    try:
        yield pool
    finally:
        pool.terminate()


async def _nothing_to_reset(_connection: object) -> None:
    """No session state is ever set on a pooled connection, so there is nothing to undo: without
    this, each release asks the server to, one more round trip beside every statement."""


@contextlib.asynccontextmanager
async def alone(pool: Pool, work: str) -> AsyncIterator[bool]:
    """Whether no other replica does this work at the moment, and none begins it meanwhile. The lock
    is the connection's: it goes with a process that dies."""
    async with pool.acquire() as connection:
        taken: bool = await connection.fetchval("SELECT pg_try_advisory_lock(hashtext($1))", work)
        try:
            yield taken
        finally:
            if taken:
                with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await connection.execute("SELECT pg_advisory_unlock(hashtext($1))", work)
