"""What lies in a state directory: the lock, the log, `postmaster.pid`, the socket directory.

A state directory holds `data/` (the server's), `log`, `sockets` (a link to the private socket
directory) and, if they had to be copied, the programs in `pg/`. The standard library only.
"""

import fcntl
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.embedded.identity import Identity, StartRefusedError, acting_as, blocking_parent

# sun_path holds 108 bytes on Linux and 104 on macOS, the last of them a zero.
SOCKET_PATH_BYTES_MAX = 103 if sys.platform == "darwin" else 107
SOCKET_NAME = "/.s.PGSQL.5432"
SOCKET_PREFIX = "lockstep-pg-"

# unix_socket_directories is a comma-separated list with quoting, and "@" in front means an
# abstract socket, which has no permissions: only characters that cannot mean anything pass.
PLAIN_PATH = re.compile(r"/[A-Za-z0-9/_.+-]*")

# The log grows slowly (a few lines a start), so one predecessor of this size is enough.
LOG_BYTES_MAX = 1_000_000

# Lines of a log that say why a start failed.
TELLING = re.compile(r"(?:FATAL|PANIC|HINT|DETAIL|initdb: error|initdb: hint):.*")


@dataclass(frozen=True, kw_only=True)
class Postmaster:
    """What `postmaster.pid` says; it may be left over from a server that was killed."""

    pid: int
    status: str


def open_lock(directory: Path) -> int:
    """A descriptor to lock the state directory by; the lock is on the directory, no file is left.

    Every process of the server inherits it, so it is free exactly when none of them lives.
    """
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY)


def try_lock(descriptor: int) -> bool:
    """Take the lock if it is free."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlocked(directory: Path, then: Callable[[Path], None] | None = None) -> bool:
    """Whether no process of a server holds the lock; if so, `then` is done while we hold it."""
    descriptor = open_lock(directory)
    try:
        if not try_lock(descriptor):
            return False
        if then is not None:
            then(directory)
        # A child forked by the application at this instant would keep the lock without this.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        return True
    finally:
        os.close(descriptor)


def sweep(directory: Path) -> bool:
    """Remove what a killed server left outside the state directory; False: the lock is not free.

    Nothing is removed by links in another user's directory: the next start does that, as that
    user.
    """
    ours = directory.stat().st_uid == os.geteuid()
    return unlocked(directory, remove_sockets if ours else None)


def read_postmaster(data: Path) -> Postmaster | None:
    """The contents of `postmaster.pid`: line 1 is the number, line 8 the status; None: no file."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    if not lines or not lines[0].isdecimal():  # the server has just made it and not yet filled it
        return None
    return Postmaster(pid=int(lines[0]), status=lines[7].strip() if len(lines) > 7 else "")


def processes(data: Path, identity: Identity) -> dict[int, int]:
    """The processes that work in `data`, each with its parent; empty where there is no /proc.

    Asked as the server's user: in a container root may lack the right to look at other users'
    processes, and zombies and foreign processes cannot be read and drop out.
    """
    found: dict[int, int] = {}
    with acting_as(identity):
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (entry / "cwd").readlink() == data:
                    # "pid (name) state ppid ...", and a name may hold anything but a newline
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    found[int(entry.name)] = int(fields[1])
    return found


def orphans(data: Path, identity: Identity) -> set[int]:
    """Backends whose postmaster is dead: they keep the lock until their statement ends."""
    living = processes(data, identity)
    recorded = read_postmaster(data)
    if recorded is not None and recorded.pid in living:
        return set()
    return {pid for pid, parent in living.items() if parent not in living}


def serving(data: Path, identity: Identity) -> int | None:
    """The number of a living postmaster that takes connections; None: there is none to be seen."""
    recorded = read_postmaster(data)
    if recorded is None or recorded.status != "ready":
        return None
    return recorded.pid if recorded.pid in processes(data, identity) else None


def remove_stale_pid_file(data: Path, identity: Identity) -> None:
    """Unlink a `postmaster.pid` whose number is another program's by now, or an unreaped zombie's.

    The server refuses to start for ever over such a number if its user is the same. Called under
    the lock, where no server that we started can live; one started by hand is left its file.
    """
    recorded = read_postmaster(data)
    if recorded is None or not Path("/proc/self").exists():
        return
    if recorded.pid not in processes(data, identity):
        (data / "postmaster.pid").unlink()


def open_log(directory: Path) -> int:
    """The log, to append to; moved aside first if it has grown large."""
    log = directory / "log"
    with suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES_MAX:
            log.rename(directory / "log.1")
    return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)


def telling_lines(directory: Path, start: int) -> str:
    """Why the server did not start: its own words in the log from byte `start` on."""
    with (directory / "log").open("rb") as log:
        log.seek(start)
        lines = log.read().decode(errors="replace").splitlines()
    told = [match.group() for line in lines if (match := TELLING.search(line))]
    return "; ".join(" ".join(line.split()) for line in told[-4:])


def socket_directory(directory: Path, identity: Identity, environment: Mapping[str, str]) -> Path:
    """A directory only the server's user can enter, short enough for a socket's path.

    The one a killed server left is used again, so that its clients find the new server where the
    old one was.
    """
    link = directory / "sockets"
    if link.is_symlink() and _claim(link.readlink(), identity):
        return link.readlink()
    for place in short_places(environment):
        chosen = place / f"{SOCKET_PREFIX}{secrets.token_hex(4)}"
        with acting_as(identity):
            reachable = blocking_parent(place) is None
        # The link comes first: killed between the two, the next start knows the name.
        link.unlink(missing_ok=True)
        link.symlink_to(chosen)
        if reachable and _claim(chosen, identity):
            return chosen
    link.unlink(missing_ok=True)
    raise StartRefusedError(
        "There is no place for the server's socket: none of $TMPDIR, /tmp and /var/tmp exists, "
        "has a short and plain name and can be used by the server's user. Set TMPDIR to one."
    )


def short_places(environment: Mapping[str, str]) -> list[Path]:
    """The temporary directories in whose paths a socket's name has room."""
    candidates = (environment.get("TMPDIR", ""), "/tmp", "/var/tmp")  # noqa: S108 - names as such
    room = SOCKET_PATH_BYTES_MAX - len(f"/{SOCKET_PREFIX}{'0' * 8}{SOCKET_NAME}")
    return [Path(c) for c in candidates if PLAIN_PATH.fullmatch(c) and len(c) <= room]


def _claim(place: Path, identity: Identity) -> bool:
    """Make `place` an empty directory of the server's; False if it is anybody else's."""
    try:
        with suppress(FileExistsError):
            place.mkdir(mode=0o700)
        found = place.lstat()
        ours = found.st_uid in (identity.uid, os.geteuid())
        if not (stat.S_ISDIR(found.st_mode) and ours and stat.S_IMODE(found.st_mode) == 0o700):
            return False
        for left_over in place.iterdir():
            left_over.unlink()
        os.chown(place, identity.uid, identity.gid, follow_symlinks=False)
    except OSError:
        return False
    return True


def remove_sockets(directory: Path) -> None:
    """Remove the socket directory that the link names, and the link. Called under the lock."""
    link = directory / "sockets"
    if link.is_symlink():
        place = link.readlink()
        if place.name.startswith(SOCKET_PREFIX):
            shutil.rmtree(place, ignore_errors=True)
        link.unlink(missing_ok=True)
