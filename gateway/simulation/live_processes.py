"""The service processes below this one: found by their configuration, killed and stopped."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from gateway.machine.processes import descendants

LOOK_SECONDS = 0.02
"""How often a process that was started again is looked for: well before it is ready (about 1 s)."""


def pids(service: str) -> list[int]:
    """The processes of a service of ours (`gateway`, `gateway-2`, a ledger's name)."""
    return [pid for pid in descendants(os.getpid()) if _service(pid) == service]


def _service(pid: int) -> str | None:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return None
    return next((Path(word).stem for word in words if word.endswith(".toml")), None)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def kill(service: str) -> None:
    """SIGKILL: no farewell."""
    for pid in pids(service):
        _signal(pid, signal.SIGKILL)


async def keep_down(service: str, seconds: float) -> None:
    """What is started in place of a killed service is held still until the outage is over."""
    loop = asyncio.get_running_loop()
    until, held = loop.time() + seconds, set[int]()
    try:
        while loop.time() < until:
            for pid in set(pids(service)) - held:
                _signal(pid, signal.SIGSTOP)
                held.add(pid)
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        for pid in held:
            _signal(pid, signal.SIGCONT)


async def freeze(service: str, seconds: float) -> None:
    """SIGSTOP for a while: the service answers nobody, and its clock goes on."""
    held = pids(service)
    for pid in held:
        _signal(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        for pid in held:
            _signal(pid, signal.SIGCONT)
