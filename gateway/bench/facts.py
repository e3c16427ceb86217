"""What machine this is, and how its databases are set: figures without these say nothing."""

import os
import platform
import re
import sysconfig
from pathlib import Path

import asyncpg
import msgspec


class Database(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of PostgreSQL that decide what a commit costs and is worth."""

    version: str
    fsync: str
    synchronous_commit: str
    full_page_writes: str


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """A machine."""

    cores: int
    cpu: str
    kernel: str
    memory_gib: float
    python: str
    python_build: str = "build not told"  # as reports from before it was
    databases: tuple[Database, ...]  # one if all are set alike


async def gather(dsns: tuple[str, ...]) -> Facts:
    """The facts of this machine and of these databases on it."""
    found = [await _database(dsn) for dsn in dsns]
    return Facts(
        cores=len(os.sched_getaffinity(0)),
        cpu=_cpu(),
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        python=platform.python_version(),
        python_build=python_build(
            sysconfig.get_config_var("CONFIG_ARGS") or "",
            debian="deb_system" in sysconfig.get_scheme_names(),
        ),
        databases=tuple(dict.fromkeys(found)),
    )


def _cpu() -> str:
    return cpu_model(Path("/proc/cpuinfo").read_text())


def cpu_model(cpuinfo: str) -> str:
    """The name of the processor; some architectures tell none there."""
    found = re.search(r"^model name\s*: (.+)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or "not named by the kernel"


def python_build(configured: str, *, debian: bool) -> str:
    """Whether the interpreter was optimised by a profile of itself (PGO) and as a whole (LTO), by
    the arguments that it was configured with. Debian and Ubuntu take both out of that record; their
    packages are built with both (`with_fdo` and `with_lto` in debian/rules)."""
    pgo = debian or "--enable-optimizations" in configured
    lto = debian or ("--with-lto" in configured and "--with-lto=no" not in configured)
    return f"{'with' if pgo else 'without'} PGO, {'with' if lto else 'without'} LTO"


async def _database(dsn: str) -> Database:
    connection = await asyncpg.connect(dsn)
    try:
        return Database(
            version=await connection.fetchval("SHOW server_version"),
            fsync=await connection.fetchval("SHOW fsync"),
            synchronous_commit=await connection.fetchval("SHOW synchronous_commit"),
            full_page_writes=await connection.fetchval("SHOW full_page_writes"),
        )
    finally:
        await connection.close()
