"""`lockstep up` as a real process tree: start it, find its processes, kill them, stop it."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from gateway.machine import world as worlds
from gateway.machine.processes import descendants

QUICK = (
    "import gateway.machine.supervisor as s; s.PAUSE_SECONDS_MAX = s.PAUSE_SECONDS_MIN; "
    "s.DEATHS_MAX = 1000; "
    "from gateway.cli import main; main()"
)
"""`lockstep`, but a service that dies again and again is started again at once, and for ever: a
campaign of a
hundred kills would otherwise spend its time in the supervisor's growing pauses."""

START_SECONDS = 180.0
"""Seven or so on a quiet machine; a minute and more on one that does ten other things."""

STOP_SECONDS = 120.0

PATIENT = """
[gateway.limits]
lock_within_seconds = 120.0
commit_within_seconds = 300.0
"""
"""Of a world in which nothing lapses because the machine is slow."""


class Machine:
    """A running `up`."""

    def __init__(self, process: asyncio.subprocess.Process, ready: dict[str, Any]) -> None:
        self.process = process
        self.ready = ready
        self.people: dict[str, Any] = json.loads(Path(ready["members"]).read_text())

    @property
    def url(self) -> str:
        url: str = self.ready["gateway"]
        return url

    def token(self, member: str) -> str:
        token: str = self.people["members"][member]["token"]
        return token

    def operator(self, role: str, ledger: str | None = None) -> str:
        """The token of the first operator of that role (and ledger)."""
        return next(
            operator["token"]
            for operator in self.people["operators"].values()
            if operator["role"] == role and (ledger is None or operator.get("ledger") == ledger)
        )

    def pid_of(self, service: str) -> int | None:
        """The process of a service ("gateway", or a ledger's name); None between two lives."""
        for pid in descendants(self.process.pid):
            words = _command(pid)
            config = next((Path(word).stem for word in words if word.endswith(".toml")), None)
            if config == service:
                return pid
        return None


def patience(data: Path) -> tuple[str, str]:
    """Options of an `up` of world `dvp` with `PATIENT`: where a test waits for SETTLED, and stops
    ledgers meanwhile."""
    file = data.parent / "patient.toml"
    file.write_text(worlds.find("dvp").read_text() + PATIENT)
    return "--world", str(file)


def _command(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


@contextlib.asynccontextmanager
async def machine(data: Path, *options: str, **environment: str) -> AsyncIterator[Machine]:
    """Run `up` on a data directory; at the end it is asked to stop, and everything must be gone."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        QUICK,
        "up",
        "--data",
        str(data),
        *options,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        assert line, "up has ended without getting ready; its reason is on standard error"
        yield Machine(process, json.loads(line))
    finally:
        family = [process.pid, *descendants(process.pid)]
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            code = await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            raise
    left = [pid for pid in family if _command(pid) not in ([], [""]) and pid != os.getpid()]
    assert (code, left) == (0, []), "up stops cleanly and leaves no process behind"
