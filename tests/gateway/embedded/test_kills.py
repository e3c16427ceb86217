"""SIGKILL of each process: nothing runs on, and the next start has every acknowledged row."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from gateway.embedded import Cluster
from tests.gateway.embedded.looking import (
    REPOSITORY,
    application,
    assert_clean,
    connected,
    processes_in,
    sockets_of,
    until_gone,
)

pytestmark = pytest.mark.system

# Does not look for a lost postmaster while it counts, so it outlives one.
BUSY = "SELECT count(*) FROM generate_series(1, 1000000000000)"


def guard_of(cluster: Cluster) -> int:
    """The parent of the postmaster."""
    status = Path(f"/proc/{cluster.postmaster_pid}/status").read_text()
    return int(status.split("PPid:")[1].split()[0])


async def write_row(cluster: Cluster, row: int) -> None:
    async with connected(cluster) as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS acknowledged (id int PRIMARY KEY)")
        await connection.execute("INSERT INTO acknowledged VALUES ($1)", row)


async def rows(cluster: Cluster) -> list[int]:
    async with connected(cluster) as connection:
        found = await connection.fetch("SELECT id FROM acknowledged ORDER BY id")
        return [row["id"] for row in found]


async def busy_backend(cluster: Cluster) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection whose backend is busy; its answer never comes and is not waited for."""
    connection = await asyncpg.connect(cluster.dsn())
    pid = connection.get_server_pid()
    asyncio.ensure_future(connection.execute(BUSY)).add_done_callback(
        lambda statement: statement.cancelled() or statement.exception()
    )
    async with connected(cluster) as other:
        query = "SELECT state = 'active' FROM pg_stat_activity WHERE pid = $1"
        while not await other.fetchval(query, pid):
            await asyncio.sleep(0.005)
    return connection


async def test_a_killed_guard_takes_the_server_with_it(used: Path) -> None:
    async with Cluster(used) as cluster:
        await write_row(cluster, 1)
        address = cluster.dsn()
        os.kill(guard_of(cluster), signal.SIGKILL)
        await asyncio.wait_for(cluster.wait(), 60)
        assert not cluster.alive()
        assert processes_in(used) == set()
        await cluster.start()
        assert cluster.dsn() == address
        assert 1 in await rows(cluster)
        os.kill(guard_of(cluster), signal.SIGKILL)
        sockets = sockets_of(used)
    assert sockets is not None
    assert not sockets.exists()  # stop() cleans up after a guard that could not


async def test_a_killed_postmaster_leaves_no_busy_backend_and_keeps_its_address(used: Path) -> None:
    async with Cluster(used) as cluster:
        await write_row(cluster, 2)
        address = cluster.dsn()
        connection = await busy_backend(cluster)
        assert cluster.postmaster_pid is not None
        os.kill(cluster.postmaster_pid, signal.SIGKILL)
        await asyncio.wait_for(cluster.wait(), 60)
        assert processes_in(used) == set()
        connection.terminate()
        await cluster.start()
        assert cluster.dsn() == address
        assert 2 in await rows(cluster)


async def test_a_server_that_died_and_is_not_wanted_again_leaves_nothing(used: Path) -> None:
    async with Cluster(used) as cluster:
        sockets = sockets_of(used)
        assert cluster.postmaster_pid is not None
        os.kill(cluster.postmaster_pid, signal.SIGKILL)
        await asyncio.wait_for(cluster.wait(), 60)
    assert sockets is not None
    assert not sockets.exists()
    assert processes_in(used) == set()
    # The left-over postmaster.pid is for the next server, which frees shared memory by it.
    async with Cluster(used):
        pass


async def test_an_application_that_ends_without_stop_leaves_nothing(used: Path) -> None:
    forgetful = """
import asyncio, sys
from pathlib import Path
from gateway.embedded import Cluster
asyncio.run(Cluster(Path(sys.argv[1])).start())
"""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", forgetful, str(used)),
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert await process.wait() == 0
    await until_gone(used)
    assert_clean(used)


async def test_a_killed_application_takes_its_server_with_it(used: Path) -> None:
    async with application(used) as (process, output):
        await output.readline()
        sockets = sockets_of(used)
        acknowledged = [int(await output.readline()) for _ in range(200)]
        process.kill()
        acknowledged += [int(line) for line in (await output.read()).split(b"\n")[:-1]]
    await until_gone(used)
    assert_clean(used)
    assert sockets is not None
    assert not sockets.exists()
    async with Cluster(used) as cluster, connected(cluster) as connection:
        found = {row["id"] for row in await connection.fetch("SELECT id FROM written")}
        assert set(acknowledged) <= found


async def test_everything_killed_at_once_but_a_busy_backend(used: Path) -> None:
    async with Cluster(used) as cluster:
        await write_row(cluster, 5)
        connection = await busy_backend(cluster)
        backend = connection.get_server_pid()
        guard = guard_of(cluster)
        assert cluster.postmaster_pid is not None
        # Guard and postmaster first, and at once: neither may react to the end of the others.
        os.kill(guard, signal.SIGSTOP)
        os.kill(cluster.postmaster_pid, signal.SIGKILL)
        os.kill(guard, signal.SIGKILL)
        for pid in processes_in(used) - {backend}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await until_only(backend, used)
        async with Cluster(used) as again:
            assert backend not in processes_in(used)
            assert 5 in await rows(again)
            await asyncio.wait_for(cluster.wait(), 100)
        connection.terminate()


async def until_only(pid: int, directory: Path) -> None:
    """Wait until the others have ended; this one must not."""
    while (left := processes_in(directory)) != {pid}:
        assert pid in left
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("delay_seconds", [0.0, 0.05, 0.2, 0.5])
async def test_a_first_start_killed_at_any_moment_does_not_hinder_the_next(
    directory: Path, delay_seconds: float
) -> None:
    cluster = Cluster(directory, durable=False)
    begun = asyncio.create_task(cluster.start())
    while not (guard := guard_for(directory)):
        await asyncio.sleep(0.001)
    await asyncio.sleep(delay_seconds)
    os.kill(guard, signal.SIGKILL)
    await asyncio.gather(begun, return_exceptions=True)
    await cluster.wait()
    async with Cluster(directory, durable=False) as again:
        await write_row(again, 1)
    await cluster.stop()


def guard_for(directory: Path) -> int | None:
    """The guard that was started for the directory, as soon as it runs."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if words[-2:-1] == [os.fsencode(directory)] and b"-I" in words:
                return int(entry.name)
    return None
