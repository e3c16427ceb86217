"""The guard: one small process between the application and its PostgreSQL server.

Run as a file by `python -I -S guard.py`. It reads its orders (one line of JSON) from standard
input, starts the server, writes one line of JSON as its answer, and waits. End of file on standard
input is the order to stop, and that comes however the application ends: by itself, by a signal, by
SIGKILL. Killed itself, the guard takes the server with it (Linux: PR_SET_PDEATHSIG).

It has one thread, because the parent-death signal fires when the *thread* that forked ends, and
because a change of the effective user concerns the whole process. The standard library only.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # -I leaves this directory off the path. The siblings are entered through an empty stand-in for
    # the package, because the real one imports asyncio, which the guard does not need.
    sys.modules["gateway"] = types.ModuleType("gateway")
    sys.modules["gateway.embedded"] = types.ModuleType("gateway.embedded")
    sys.modules["gateway.embedded"].__path__ = [str(Path(__file__).parent)]

from gateway.embedded import binaries, identity, server, state
from gateway.embedded.identity import Identity, StartRefusedError

STDIN = 0

# Two servers must never share a directory, but one that is being stopped deserves patience: a fast
# shutdown writes a checkpoint, which may take this long on a busy disk.
LOCK_SECONDS = 30.0
# How often to look who holds it. Two looks decide: a server that is ready at both is in use, not
# being stopped; a process without a postmaster at both is an orphan, not of a server just starting.
LOOK_SECONDS = 0.5
IN_USE_LOOKS = 2
# Replay after a crash may be long; a server that needs more than this needs a person.
READY_SECONDS = 600.0
POLL_SECONDS = 0.005

# SIGINT is a fast shutdown (clients are cut off, a checkpoint is written), SIGQUIT an immediate one
# (replay at the next start). Never SIGTERM: that waits for clients to leave, for ever.
STOP_STEPS = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
ORPHAN_STEPS = ((signal.SIGQUIT, 2.0), (signal.SIGKILL, 5.0))


class AbandonedError(Exception):
    """The application has gone; there is nobody left to answer."""


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What the application asks for."""

    directory: str
    durable: bool
    binaries: dict[str, Any]


class Ears:
    """Hears the two things the guard waits for: the end of a child, the end of the application."""

    def __init__(self) -> None:
        self._woken, waker = os.pipe()
        for end in (self._woken, waker):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(waker)
        self.abandoned = False

    def listen(self, seconds: float | None) -> None:
        """Return after `seconds`, or when a child or the application has ended."""
        sources = [self._woken] if self.abandoned else [self._woken, STDIN]
        heard, _, _ = select.select(sources, [], [], seconds)
        if self._woken in heard:
            os.read(self._woken, 4096)
        if STDIN in heard:
            self.abandoned = not _read_stdin()

    def pause(self) -> None:
        """One step of a wait for something that does not call; raises AbandonedError."""
        self.listen(POLL_SECONDS)
        if self.abandoned:
            raise AbandonedError


def _read_stdin() -> bytes:
    try:
        return os.read(STDIN, 65536)
    except ConnectionResetError:
        return b""


def read_orders() -> Orders:
    """The one line on standard input; raises AbandonedError if it never comes."""
    received = b""
    while not received.endswith(b"\n"):
        more = _read_stdin()
        if not more:
            raise AbandonedError
        received += more
    return Orders(**json.loads(received))


def answer(**content: object) -> None:
    """Tell the application, if it is still there, how it went."""
    with suppress(OSError):
        os.write(sys.stdout.fileno(), json.dumps(content).encode() + b"\n")


def prepare(directory: Path, user: Identity) -> None:
    """Make the state directory and see that the server's user can enter it."""
    # For root: others may pass through to `data/`, which is 0700, and see nothing else.
    os.umask(0o066 if user.switched else 0o077)
    directory.mkdir(parents=True, exist_ok=True)
    with identity.acting_as(user):
        blocking = identity.blocking_parent(directory)
    if blocking is not None:
        raise StartRefusedError(
            f"User {user.uid}, whom the server runs as, cannot enter {blocking}. Choose a data "
            f"directory outside it (for root, /var/lib/lockstep), or open it with chmod o+x."
        )


def take_lock(directory: Path, user: Identity, ears: Ears) -> int:
    """The descriptor of the held lock; waits for a server that is going, ends its orphans."""
    descriptor = state.open_lock(directory)
    data = directory / "data"
    began = looked_at = time.monotonic()
    suspects: set[int] = set()
    looks_in_use = 0
    while not state.try_lock(descriptor):
        now = time.monotonic()
        if now - looked_at >= LOOK_SECONDS:
            looked_at = now
            found = state.orphans(data, user)
            _signal_all(found & suspects, signal.SIGQUIT)
            suspects = found
            serving = state.serving(data, user)
            looks_in_use = looks_in_use + 1 if serving is not None else 0
            if looks_in_use == IN_USE_LOOKS or now - began > LOCK_SECONDS:
                raise _in_use(directory, serving)
        ears.pause()
    return descriptor


def _in_use(directory: Path, pid: int | None) -> StartRefusedError:
    whom = "another process" if pid is None else f"the server with process number {pid}"
    return StartRefusedError(
        f"{directory} is in use by {whom}. Stop it first, or choose another data directory."
    )


def make_data(ground: server.Ground, programs: binaries.Binaries, ears: Ears) -> None:
    """initdb into `data.new`, then rename: a `data/` that is there is always complete."""
    if (ground.data / "PG_VERSION").exists():
        return
    if ground.data.exists():
        raise StartRefusedError(
            f"{ground.data} is no PostgreSQL data directory (PG_VERSION is missing). "
            f"Move it away, or choose another data directory."
        )
    unfinished = ground.directory / "data.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    os.chown(unfinished, ground.identity.uid, ground.identity.gid)
    start = os.fstat(ground.log).st_size
    child = server.spawn(ground, server.initdb(programs, unfinished))
    while child.poll() is None:
        ears.listen(None)
        if ears.abandoned:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # what it has made is thrown away anyway
            child.wait()
            raise AbandonedError
    if child.returncode != 0:
        raise _failed(ground, "initdb could not make the data directory", start)
    unfinished.rename(ground.data)
    _sync_directory(ground.directory)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _failed(ground: server.Ground, what: str, start: int) -> StartRefusedError:
    told = state.telling_lines(ground.directory, start) or "it gave no reason"
    return StartRefusedError(f"{what}: {told}. The whole log is {ground.directory}/log.")


@contextmanager
def running(
    ground: server.Ground, programs: binaries.Binaries, sockets: Path, durable: bool, ears: Ears
) -> Iterator["subprocess.Popen[bytes]"]:
    """The server for the block; after it no process of it is left."""
    child = server.spawn(ground, server.postgres(ground, programs, sockets, durable))
    try:
        yield child
    finally:
        stop_server(ground, child, ears)


def await_ready(
    ground: server.Ground, child: "subprocess.Popen[bytes]", start: int, ears: Ears
) -> None:
    """Until `postmaster.pid` says ready *and* has our child's number: a left-over says so too."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        recorded = state.read_postmaster(ground.data)
        if recorded is not None and recorded.pid == child.pid and recorded.status == "ready":
            return
        if child.poll() is not None:
            raise _failed(ground, "PostgreSQL did not start", start)
        if time.monotonic() > deadline:
            raise _failed(ground, f"PostgreSQL was not ready in {READY_SECONDS:.0f} s", start)
        ears.pause()


def stop_server(ground: server.Ground, child: "subprocess.Popen[bytes]", ears: Ears) -> None:
    """End the server in a bounded time, and what a killed one left running."""
    for number, seconds in STOP_STEPS:
        deadline = time.monotonic() + seconds
        if child.poll() is None:
            child.send_signal(number)
        while child.poll() is None and (left := deadline - time.monotonic()) > 0:
            ears.listen(left)
    if child.returncode != 0:
        end_orphans(ground)


def end_orphans(ground: server.Ground) -> None:
    """End the backends of a dead postmaster; a busy one would block the next start."""
    for number, seconds in ORPHAN_STEPS:
        deadline = time.monotonic() + seconds
        while found := state.orphans(ground.data, ground.identity):
            _signal_all(found, number)
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)


def _signal_all(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def run(orders: Orders, ears: Ears) -> int:
    """Start the server, answer, watch; the exit status is 0 if all is gone, sockets included."""
    directory = Path(orders.directory).resolve()
    user = identity.choose(directory, os.environ)
    prepare(directory, user)
    lock = take_lock(directory, user, ears)
    log = state.open_log(directory)
    ground = server.Ground(directory=directory, identity=user, lock=lock, log=log)
    programs = binaries.Binaries(**orders.binaries)
    with identity.acting_as(user):
        readable = binaries.readable(programs)
    if not readable:
        programs = binaries.copy(programs, directory / "pg")
    make_data(ground, programs, ears)
    state.remove_stale_pid_file(ground.data, user)
    return serve(ground, programs, orders.durable, ears)


def serve(ground: server.Ground, programs: binaries.Binaries, durable: bool, ears: Ears) -> int:
    """The life of one server, from its socket directory on."""
    # When a server has died, its clients look for the next one at the same address: that stays
    # for as long as the application is there to start it. A first start that fails leaves nothing.
    keep_address = (ground.directory / "sockets").is_symlink()
    start = os.fstat(ground.log).st_size
    sockets = state.socket_directory(ground.directory, ground.identity, os.environ)
    try:
        with running(ground, programs, sockets, durable, ears) as child:
            await_ready(ground, child, start, ears)
            answer(socket_directory=str(sockets), postmaster_pid=child.pid)
            keep_address = True
            while child.poll() is None and not ears.abandoned:
                ears.listen(None)
    finally:
        if ears.abandoned or not keep_address:
            state.remove_sockets(ground.directory)
    return 0 if ears.abandoned else 1


def main() -> int:
    """The process: 0 when nothing is left, 1 when the server died or was refused."""
    # Ctrl-C and the end of a terminal concern the application, which then tells us by end of file.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        return run(read_orders(), Ears())
    except AbandonedError:
        return 0
    except StartRefusedError as refusal:
        answer(error=str(refusal))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        answer(error=f"The server could not be started: {error.strerror}{where}.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
