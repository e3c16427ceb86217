"""Profiles of the Python processes of a round, by py-spy, which looks at them from outside.

A profile is a file of collapsed stacks (`function;function;… samples` a line), which speedscope,
flamegraph.pl and inferno read. A profiled round is none of those that are measured.
"""

import asyncio
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from gateway.bench.system import POSTGRESQL, BenchError

SAMPLES_PER_SECOND: Final = 200
"""A round of some seconds gives a thousand samples, and costs a process some percent."""

ATTACH_SECONDS: Final = 2.0
"""For py-spy to read the symbols of an interpreter before what is to be seen begins."""

WRITE_SECONDS: Final = 30.0
"""For a profile to be written after the round."""


def program() -> str:
    """Where py-spy is; BenchError if it is not installed."""
    beside = Path(sys.executable).with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise BenchError("--profile takes py-spy: pip install 'lockstep[profile]'")
    return found


def prepare(directory: Path) -> None:
    """Make the directory, and sure that there is a py-spy; BenchError if that cannot be."""
    program()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"--profile: {error.filename}: {error.strerror}") from None


def file_name(case: str, in_flight: int, process: str) -> str:
    """Of the profile of one process (`group/name`) in one case."""
    return f"{case}-{in_flight}-{process.replace('/', '-').replace(' ', '-')}.collapsed.txt"


@asynccontextmanager
async def profiling(
    directory: Path, case: str, in_flight: int, groups: Mapping[str, tuple[int, ...]]
) -> AsyncIterator[None]:
    """Write a profile of each Python process of the groups into `directory`. BenchError if one
    cannot be looked at, which takes the right to trace it (ptrace(2): root, or the parent)."""
    spies = []
    for name, roots in groups.items():
        if not name.startswith(POSTGRESQL):
            file = directory / file_name(case, in_flight, name)
            spies.append((name, await _spy(roots[0], file)))
    try:
        await asyncio.sleep(ATTACH_SECONDS)
        yield
    finally:
        faults = [await _stop(name, spy) for name, spy in spies]
    if said := [fault for fault in faults if fault]:
        raise BenchError("; ".join(said))


async def _spy(pid: int, file: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(program(), "record", "--pid", str(pid), "--format", "raw", "--output", str(file)),
        *("--rate", str(SAMPLES_PER_SECOND)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


async def _stop(name: str, spy: asyncio.subprocess.Process) -> str | None:
    """End it as from a terminal, upon which it writes; what went wrong, if anything did."""
    if spy.returncode is None:
        spy.send_signal(signal.SIGINT)
    try:
        _, said = await asyncio.wait_for(spy.communicate(), WRITE_SECONDS)
    except TimeoutError:
        spy.kill()
        await spy.wait()
        return f"the profile of {name} was not written within {WRITE_SECONDS:g} s"
    last = said.decode(errors="replace").strip().rpartition("\n")[2]
    return f"no profile of {name}: {last}" if spy.returncode else None
