"""Further gateway processes on the database of a running `up`, started by the test itself."""

import asyncio
import contextlib
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

START_SECONDS = 120.0


class Replica:
    """A gateway process, its service and its metrics."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, metrics: str) -> None:
        self.process = process
        self.url = url
        self.metrics = metrics

    @property
    def pid(self) -> int:
        return self.process.pid


def configuration(
    data: Path, name: str, *, further: str = "", listen: tuple[str, str] | None = None
) -> Path:
    """The configuration of `up`'s own gateway under another name; `further` tables at its end."""
    service, metrics = listen or ("127.0.0.1:0", "127.0.0.1:0")
    text = (data / "services" / "gateway.toml").read_text()
    text = re.sub(r'^replica = ".*"$', f'replica = "{name}"', text, flags=re.MULTILINE)
    text = re.sub(r"^(metrics_)?listen = .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\[shutdown\]\n(\w+ = .*\n)*", "", text, flags=re.MULTILINE)
    file = data.parent / f"{name}.toml"
    file.write_text(
        f'listen = "{service}"\nmetrics_listen = "{metrics}"\n{text}\n[shutdown]\n{further}\n'
    )
    return file


@contextlib.asynccontextmanager
async def replica(data: Path, name: str, further: str = "") -> AsyncIterator[Replica]:
    """Run another gateway process; what still runs at the end is killed."""
    process, line = await begin(configuration(data, name, further=further))
    try:
        yield Replica(process, line["url"], line["metrics"])
    finally:
        await end(process)


async def begin(config: Path) -> tuple[asyncio.subprocess.Process, dict[str, str]]:
    """Start a gateway; the process and its ready line."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli", "gateway", "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
    assert line, "the replica has ended without getting ready"
    return process, msgspec.json.decode(line, type=dict[str, str])


async def end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
