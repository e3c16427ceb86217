"""What the tests look at from outside: processes, socket directories, the application to kill."""

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg

from gateway.embedded import Cluster

REPOSITORY = Path(__file__).parents[3]
APPLICATION = Path(__file__).with_name("application.py")

ROOT = os.geteuid() == 0


def processes_in(directory: Path) -> set[int]:
    """Every process that works in the directory or was started with it in its command line."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            works_there = (entry / "cwd").readlink().is_relative_to(directory.resolve())
            if works_there or os.fsencode(directory / "data") in words:
                found.add(int(entry.name))
    return found


def sockets_of(directory: Path) -> Path | None:
    """The socket directory the state directory names, if it names one."""
    link = directory / "sockets"
    return link.readlink() if link.is_symlink() else None


async def until_gone(directory: Path, seconds: float = 10.0) -> None:
    """Wait until no process of the server is left; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while left := processes_in(directory):
        assert time.monotonic() < deadline, f"still running: {left}"
        await asyncio.sleep(0.01)


def assert_clean(directory: Path) -> None:
    """A stopped server leaves its data and log, and no process, lock file or socket."""
    assert processes_in(directory) == set()
    assert {entry.name for entry in directory.iterdir()} <= {"data", "log", "log.1", "pg"}
    assert not (directory / "data" / "postmaster.pid").exists()


@asynccontextmanager
async def connected(cluster: Cluster) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(cluster.dsn())
    try:
        yield connection
    finally:
        connection.terminate()  # the server may have been killed: no farewell


@asynccontextmanager
async def application(
    directory: Path, *prefix: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.StreamReader]]:
    """The application as a process that uses the server in `directory`."""
    process = await asyncio.create_subprocess_exec(
        *prefix,
        *(sys.executable, str(APPLICATION), str(directory)),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        await process.wait()


def as_nobody() -> tuple[str, ...]:
    """What to put before a command so that it runs unprivileged; nothing if we are already.

    The interpreter may lie below a home that only root can enter: the right to read everything is
    kept, the right to write or to become somebody else is not.
    """
    if not ROOT:
        return ()
    setpriv = shutil.which("setpriv")
    assert setpriv is not None, "setpriv (util-linux) is needed to run a test as another user"
    rights = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search")
    return (setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", *rights)
