"""What the processes of a system hold: memory and open files, from /proc (proc(5)).

Memory is the proportional set size: a page that several processes share counts in parts, so that
PostgreSQL's shared buffers are counted once and not once for each of its backends.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from gateway.machine import processes as cpu

_SIZES: Final = re.compile(r"^(Pss|Anonymous):\s+([0-9]+) kB$", re.MULTILINE)

KIB: Final = 1024


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What one root process holds with all its descendants."""

    memory_bytes: int
    files: int  # open file descriptors
    processes: int = 1
    private_bytes: int = 0  # of the memory, what is mapped from no file and shared with nobody


def use(groups: Mapping[str, Iterable[int]]) -> dict[str, Use]:
    """What each group holds now."""
    known = cpu.processes()
    found = {}
    for name, roots in groups.items():
        each = [_of(pid) for pid in cpu.family(roots, known)]
        found[name] = Use(
            memory_bytes=sum(one.memory_bytes for one in each),
            files=sum(one.files for one in each),
            processes=len(each),
            private_bytes=sum(one.private_bytes for one in each),
        )
    return found


def _of(pid: int) -> Use:
    own = cpu.PROC / str(pid)
    try:
        sizes = {
            name: int(size) * KIB
            for name, size in _SIZES.findall((own / "smaps_rollup").read_text())
        }
        files = sum(1 for _ in (own / "fd").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return Use(memory_bytes=0, files=0)  # it has ended since it was listed
    return Use(
        memory_bytes=sizes.get("Pss", 0), files=files, private_bytes=sizes.get("Anonymous", 0)
    )
