"""The processes of this machine, their families and CPU time, from /proc (proc(5)).

A group is one or more roots with all their descendants. The time of a child that has ended is in
its parent's `cutime` and `cstime` once the parent has waited for it, which PostgreSQL's postmaster
does at once; so a group's sum loses nothing when backends come and go.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

PROC: Final = Path("/proc")

TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """One line of /proc/PID/stat, as far as it is used."""

    pid: int
    parent: int
    name: str
    ticks: int  # of itself with all threads, and of its children that it has waited for


def read(line: str) -> Process:
    """A line of /proc/PID/stat. The name stands in brackets and may hold any character."""
    head, _, rest = line.rpartition(")")
    pid, _, name = head.partition(" (")
    fields = rest.split()  # field 3 (state) is the first of these
    return Process(
        pid=int(pid), parent=int(fields[1]), name=name, ticks=sum(map(int, fields[11:15]))
    )


def processes() -> dict[int, Process]:
    """Every process that can be seen, by its id."""
    found = {}
    for entry in os.scandir(PROC):
        if entry.name.isdecimal():
            try:
                process = read((PROC / entry.name / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended since the directory was read
            found[process.pid] = process
    return found


def family(roots: Iterable[int], known: Mapping[int, Process]) -> set[int]:
    """The roots and all their descendants."""
    children: dict[int, list[int]] = {}
    for process in known.values():
        children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    waiting = [pid for pid in roots if pid in known]
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting += children.get(pid, ())
    return found


def descendants(root: int) -> list[int]:
    """The processes below `root`, as the kernel has them now."""
    return sorted(family([root], processes()) - {root})


def used(groups: Mapping[str, Iterable[int]]) -> dict[str, float]:
    """CPU seconds of each group since its processes began. Raises LookupError for a root that is
    no more: what it used cannot be told."""
    known = processes()
    sums = {}
    for name, roots in groups.items():
        roots = tuple(roots)
        for root in roots:
            if root not in known:
                raise LookupError(f"process {root} of {name} has ended")
        ticks = sum(known[pid].ticks for pid in family(roots, known))
        sums[name] = ticks / TICKS_PER_SECOND
    return sums


def busy() -> float:
    """CPU seconds that this machine has spent on anything, its guests and interrupts included."""
    first = (PROC / "stat").read_text().partition("\n")[0].split()
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, first[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND


def with_argument(argument: str) -> int | None:
    """The process that was started with this argument, the oldest if there are several."""
    wanted = argument.encode()
    found = []
    for entry in os.scandir(PROC):
        if entry.name.isdecimal():
            try:
                arguments = (PROC / entry.name / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if wanted in arguments:
                found.append(int(entry.name))
    return min(found, default=None)
