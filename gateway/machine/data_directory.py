"""The data directory of `lockstep up`: where everything of one machine lives, held by one process.

    world.toml        the world it was made with; it stays the same for the directory's life
    credentials.json  every token, in plain text, made once
    members.json      the tokens that people and their programs use, with their accounts
    running.json      where the services are reached; there while `up` runs
    master            the gateway's master secret: without it, locks cannot be opened
    seeded            there once the opening balances are on the ledgers
    registries        how many registries of its network take part, where not all do
    services/         configuration of each process; keys and tokens that only it reads
    log/              the log of each network of registries
    postgres/         one embedded cluster each, where no database of one's own is named

The directory itself is the lock (flock): no lock file is left behind, and none can be stale.
"""

import fcntl
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec

SECRET_MODE: Final = 0o600

ROOT_DIRECTORY: Final = Path("/var/lib/lockstep")
"""For root: below a home directory the database's own user could not reach it."""

T = TypeVar("T")


class DataDirectoryError(Exception):
    """The directory cannot be used; the text says why and what to do next, in one line."""


class Ready(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="ready", tag_field="event"
):
    """The ready line: where everything is."""

    gateway: str
    bic: str
    metrics: dict[str, str]  # by process
    ledgers: dict[str, str]
    members: str  # the file
    registries: dict[str, dict[str, str]] = {}  # of each network among the ledgers, its nodes


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """running.json: who holds the directory and, once all is ready, where everything is."""

    pid: int
    ready: Ready | None = None


def default_directory(environment: Mapping[str, str]) -> Path:
    """`$LOCKSTEP_DATA`, else the place for a user's data on this system."""
    if given := environment.get("LOCKSTEP_DATA"):
        return Path(given)
    if os.geteuid() == 0:
        return ROOT_DIRECTORY
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "lockstep"
    # XDG Base Directory Specification; a relative value is invalid there and ignored.
    share = Path(environment.get("XDG_DATA_HOME", ""))
    return (share if share.is_absolute() else Path.home() / ".local" / "share") / "lockstep"


class DataDirectory:
    """One data directory. `hold` it before changing anything in it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._descriptor: int | None = None

    @property
    def world(self) -> Path:
        return self.path / "world.toml"

    @property
    def credentials(self) -> Path:
        return self.path / "credentials.json"

    @property
    def members(self) -> Path:
        return self.path / "members.json"

    @property
    def master(self) -> Path:
        return self.path / "master"

    @property
    def registries(self) -> Path:
        return self.path / "registries"

    @property
    def seeded(self) -> Path:
        return self.path / "seeded"

    def service(self, file: str) -> Path:
        """A file that one of the processes reads."""
        return self.path / "services" / file

    def cluster(self, name: str) -> Path:
        """The place of an embedded database cluster."""
        return self.path / "postgres" / name

    def hold(self) -> None:
        """Make the directory if need be, and be the only one to use it until `release`."""
        # The server's own user must be able to walk through what root owns; others see no names.
        mode = 0o711 if os.geteuid() == 0 else 0o700
        try:
            for part in (self.path, self.path / "services", self.path / "postgres"):
                if not part.is_dir():
                    part.mkdir(parents=True)
                    part.chmod(mode)
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise DataDirectoryError(
                f"{self.path} cannot be used: {error.strerror}; give another with --data"
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise DataDirectoryError(self._held()) from None
        self._descriptor = descriptor
        self.write("running.json", msgspec.json.encode(Running(pid=os.getpid())))

    def _held(self) -> str:
        running = self.running()
        who = f"process {running.pid}" if running else "another process"
        return f"{self.path} is in use by {who}; stop it, or give another directory with --data"

    def release(self) -> None:
        """Let others use it. Idempotent."""
        if self._descriptor is not None:
            (self.path / "running.json").unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def announce(self, ready: Ready) -> None:
        """Say where everything is."""
        self.write("running.json", msgspec.json.encode(Running(pid=os.getpid(), ready=ready)))

    def running(self) -> Running | None:
        """What the one who holds the directory has said; None if nobody does, as far as known."""
        return self.read("running.json", Running)

    def read(self, name: str, kind: type[T]) -> T | None:
        """A JSON file of ours; None if there is none."""
        path = self.path / name
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataDirectoryError(f"{path}: {error.strerror}") from None
        except msgspec.DecodeError as error:
            raise DataDirectoryError(f"{path} is damaged: {error}") from None

    def write(self, name: str, content: bytes) -> Path:
        """Replace a file, durably, in one step; only its owner may read it."""
        path = self.path / name
        made = path.with_name(path.name + ".new")
        made.unlink(missing_ok=True)
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        made.rename(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)  # the name must be as durable as what stands under it
        finally:
            os.close(directory)
        return path
