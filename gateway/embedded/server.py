"""The programs the guard runs: their arguments, their settings, and how they are started.

The standard library only: this is a part of the guard.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.embedded.binaries import Binaries
from gateway.embedded.identity import Identity

PR_SET_PDEATHSIG = 1  # linux/prctl.h

# Code-point order and simple Unicode case mapping, independent of the C library's version.
# trust is safe only behind the socket directory, which nobody else can enter.
INITDB = (
    "--username=lockstep",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--data-checksums",
    "--auth-local=trust",
    "--auth-host=reject",
    "--no-instructions",
)

SETTINGS = {
    "listen_addresses": "",  # no TCP
    "port": "5432",  # part of the socket's name
    "unix_socket_permissions": "0700",
    "io_method": "sync",  # three processes fewer; no difference measured
    "max_parallel_workers_per_gather": "0",  # no shared memory for workers, and
    "dynamic_shared_memory_type": "mmap",  # none in /dev/shm, whose size and life are not ours
    "huge_pages": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "synchronous_commit": "on",  # the defaults, said aloud: they are what we promise
    "full_page_writes": "on",
    # The wheel has pglz only: after a checkpoint, a block took 34 and 65 % more CPU time by it, for
    # 33 and 49 % less log, and here no standby and no archive reads the log.
    "wal_compression": "off",
}


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Where everything stands once the lock is held."""

    directory: Path
    identity: Identity
    lock: int
    log: int

    @property
    def data(self) -> Path:
        """The server's own directory."""
        return self.directory / "data"


def initdb(programs: Binaries, data: Path) -> list[str]:
    """The command that makes a data directory."""
    return [str(programs.bin / "initdb"), f"--pgdata={data}", *INITDB]


def postgres(ground: Ground, programs: Binaries, sockets: Path, durable: bool) -> list[str]:
    """`postgres` itself, each setting an argument of its own: no quoting, no configuration file."""
    settings = SETTINGS | {
        "unix_socket_directories": str(sockets),
        "fsync": "on" if durable else "off",
    }
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    return [str(programs.bin / "postgres"), "-D", str(ground.data), *arguments]


def spawn(ground: Ground, argv: list[str]) -> "subprocess.Popen[bytes]":
    """Start a program as the server's user, holding the lock, dying with the guard."""
    as_user: dict[str, Any] = {}
    if ground.identity.switched:
        as_user = {"user": ground.identity.uid, "group": ground.identity.gid, "extra_groups": []}
    return subprocess.Popen(  # noqa: S603 - our own argument list, no shell
        argv,
        stdin=subprocess.DEVNULL,
        stdout=ground.log,
        stderr=ground.log,
        cwd="/",
        # Nothing of the application's: PG* would alter the server, a wrong LC_ALL stops it.
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
        pass_fds=(ground.lock,),
        start_new_session=True,
        preexec_fn=_tie_to(os.getpid()),  # safe: one thread; runs after the setuid
        **as_user,
    )


def _tie_to(guard: int) -> Callable[[], None]:
    """For the child, between fork and exec: be stopped when the guard is killed alone."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def tie() -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != guard:  # killed before the line above
            os._exit(1)

    return tie
