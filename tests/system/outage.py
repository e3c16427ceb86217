"""What may happen to a PostgreSQL server under a running system."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator

import asyncpg

from gateway.machine.processes import descendants

OURSELVES = "lockstep-test"


async def _connect(dsn: str) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(dsn, server_settings={"application_name": OURSELVES})


async def cut(dsn: str) -> int:
    """Terminate every connection of others to a database; how many there were."""
    connection = await _connect(dsn)
    try:
        return await _cut(connection)
    finally:
        await connection.close()


async def _cut(connection: "asyncpg.Connection[asyncpg.Record]") -> int:
    rows = await connection.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' AND application_name <> $1",
        OURSELVES,
    )
    return len(rows)


async def postmaster(dsn: str) -> int:
    """The process of the server itself."""
    connection = await _connect(dsn)
    try:
        text: str = await connection.fetchval("SELECT pg_read_file('postmaster.pid')")
    finally:
        await connection.close()
    return int(text.split()[0])


@contextlib.asynccontextmanager
async def frozen(dsn: str) -> AsyncIterator[None]:
    """Every process of the server is stopped: connections stay open, and nothing is answered."""
    server = await postmaster(dsn)
    os.kill(server, signal.SIGSTOP)  # first: no process is born while the others are counted
    family = [server, *descendants(server)]
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(family):
            with contextlib.suppress(ProcessLookupError):  # it ended when it was cut off
                os.kill(pid, signal.SIGCONT)


@contextlib.asynccontextmanager
async def disk_full(dsn: str) -> AsyncIterator[None]:
    """Whatever would write into a table of the database fails as it does without room on the disk:
    the same SQLSTATE (53100), raised in the server. Any user can run it, and nothing else on the
    machine is harmed; that a server without room for its own log ends and starts again is the
    other half, and tested as a server that is killed."""
    connection = await _connect(dsn)
    try:
        await connection.execute(
            """
            CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                RAISE EXCEPTION 'could not extend file: No space left on device'
                USING ERRCODE = 'disk_full';
            END $$;
            """
        )
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname='public'")
        for row in tables:
            await connection.execute(
                f'CREATE TRIGGER no_room BEFORE INSERT OR UPDATE ON "{row["tablename"]}" '
                "EXECUTE FUNCTION no_room()"
            )
        yield
    finally:
        await connection.execute("DROP FUNCTION no_room CASCADE")
        await connection.close()


@contextlib.asynccontextmanager
async def connections_used_up(dsn: str) -> AsyncIterator[None]:
    """Take every connection that the server gives, from those who have one too."""
    held = [await _connect(dsn)]
    try:
        others = 1
        while others:
            with contextlib.suppress(asyncpg.TooManyConnectionsError):
                while True:
                    held.append(await _connect(dsn))
            others = await _cut(held[0])
        yield
    finally:
        for connection in held:
            await connection.close()
