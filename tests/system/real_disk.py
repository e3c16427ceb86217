"""A file system without room under a running `up`, for real: `python -m tests.system.real_disk`.

Needs root, for a small file system of its own (tmpfs). All three databases are on it, so that their
logs run out of room too, and PostgreSQL itself may end and start again. Prints what was seen; ends
with an error if a trade was lost, doubled, or did not go on when room was back.
"""

import asyncio
import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.system.site import Site, site, traffic

SIZE = "600m"
"""Three new databases are 250 MB with their logs; the rest is for trades, until it is filled."""

FULL_SECONDS = 15.0
"""How long there is no room."""

BACK_SECONDS_MAX = 60.0
"""Until a trade settles again: a database that ended has to recover first."""


@contextlib.contextmanager
def small_disk() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lockstep-") as place:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", place], check=True)
        Path(place).chmod(0o711)
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)


def fill(file: Path) -> int:
    """Take all the room there is; how many bytes."""
    with file.open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(4096))
    return file.stat().st_size


async def main() -> None:
    with small_disk() as disk:
        async with site(disk / "data") as here:
            probe = here.load()
            print(f"a trade settles after {await here.settles(probe):.2f} s")
            async with traffic(here.load()):
                print(f"{fill(disk / 'ballast') // 2**20} MB taken: no room")
                await watch(here.running.ready["metrics"], here)
                os.truncate(disk / "ballast", 0)
                begun = time.monotonic()
                await here.settles(probe)
                print(f"room again: a trade settles after {time.monotonic() - begun:.2f} s")
                assert time.monotonic() - begun < BACK_SECONDS_MAX
            probe.note()
        print(f"{len(here.sent)} trades, each settled once, both parties told once")


async def watch(urls: dict[str, str], here: Site) -> None:
    """Tell what the probes say while there is no room."""
    end = time.monotonic() + FULL_SECONDS
    last: dict[str, object] = {}
    while time.monotonic() < end:
        for name, url in urls.items():
            status, ready = await here.get(f"{url}/readyz")
            if last.get(name) != status:
                last[name] = status
                left = {k: v.get("why") for k, v in ready["conditions"].items() if not v["ok"]}
                print(f"{FULL_SECONDS - end + time.monotonic():5.1f} s {name}: {status} {left}")
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main())
