"""What root is asked for: a server as another user, and nothing of the machine changed for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.embedded import Cluster, EmbeddedError, binaries
from gateway.embedded.identity import Identity, StartRefusedError, acting_as, choose
from tests.gateway.embedded.looking import APPLICATION, REPOSITORY, connected

NOBODY = Identity(uid=65534, gid=65534, switched=True)


async def test_the_server_runs_as_another_user(used: Path) -> None:
    async with Cluster(used) as cluster:
        status = Path(f"/proc/{cluster.postmaster_pid}/status").read_text()
        assert status.split("Uid:")[1].split()[:4] == [str(NOBODY.uid)] * 4
        assert status.split("Groups:")[1].splitlines()[0].split() in ([], [str(NOBODY.gid)])
    assert (used / "data").stat().st_uid == NOBODY.uid
    assert (used / "log").stat().st_uid == 0


async def test_another_user_cannot_reach_the_socket(used: Path) -> None:
    async with Cluster(used) as cluster, connected(cluster):
        socket_file = (used / "sockets").readlink() / ".s.PGSQL.5432"
        assert socket_file.exists()
        stranger = Identity(uid=65533, gid=65533, switched=True)
        with acting_as(stranger), pytest.raises(PermissionError):
            socket_file.stat()


async def test_a_number_taken_over_by_another_program_does_not_block(used: Path) -> None:
    async with Cluster(used):
        pass
    stranger = subprocess.Popen(["sleep", "60"], user=NOBODY.uid, group=NOBODY.gid)
    try:
        stale = used / "data" / "postmaster.pid"
        lines = [str(stranger.pid), str(used / "data"), "0", "5432", "", "", "0 0", "ready   "]
        stale.write_text("\n".join(lines) + "\n")
        stale.chmod(0o600)
        os.chown(stale, NOBODY.uid, NOBODY.gid)
        async with Cluster(used) as cluster:
            assert cluster.postmaster_pid != stranger.pid
    finally:
        stranger.kill()
        stranger.wait()


async def test_programs_the_user_cannot_read_are_copied_once(
    used: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = binaries.find()
    assert found is not None
    hidden = used / "hidden"
    for folder in found.folders():
        shutil.copytree(Path(found.root, folder), hidden / folder)
    hidden.chmod(0o700)
    fields = found.as_json() | {"root": str(hidden)}
    monkeypatch.setattr(binaries, "find", lambda: binaries.Binaries(**fields))  # type: ignore[arg-type]
    for _ in range(2):
        async with Cluster(used) as cluster:
            program = Path(f"/proc/{cluster.postmaster_pid}/exe").readlink()
            assert program.is_relative_to(used / "pg" / found.version)
    shutil.rmtree(hidden)
    shutil.rmtree(used / "pg")


async def test_in_a_directory_of_another_users_root_becomes_that_user(directory: Path) -> None:
    os.chown(directory, NOBODY.uid, NOBODY.gid)
    async with Cluster(directory):
        assert (directory / "log").stat().st_uid == NOBODY.uid
        guard_files = {(directory / name).lstat().st_uid for name in ("sockets", "data")}
        assert guard_files == {NOBODY.uid}


def test_the_sudo_user_is_taken_before_nobody_and_the_owner_of_the_data_before_both(
    directory: Path,
) -> None:
    daemon = {"SUDO_UID": "1"}
    assert choose(directory, {}).uid == NOBODY.uid
    assert choose(directory, daemon).uid == 1
    assert choose(directory, {"SUDO_UID": "0"}).uid == NOBODY.uid
    (directory / "data").mkdir()
    os.chown(directory / "data", 4321, 4321)  # no entry in the user table: the server needs none
    assert choose(directory, daemon) == Identity(uid=4321, gid=4321, switched=True)
    os.chown(directory / "data", 0, 0)
    with pytest.raises(StartRefusedError, match="belongs to root"):
        choose(directory, {})


def test_acting_as_another_user_ends_with_the_block() -> None:
    before = (os.geteuid(), os.getegid(), os.getgroups())
    with acting_as(NOBODY):
        assert (os.geteuid(), os.getegid(), os.getgroups()) == (NOBODY.uid, NOBODY.gid, [])
    assert (os.geteuid(), os.getegid(), os.getgroups()) == before


def test_a_root_without_the_right_to_change_its_user_is_told_so(directory: Path) -> None:
    ended = subprocess.run(
        [
            *("setpriv", "--bounding-set=-setuid,-setgid", "--inh-caps=-setuid,-setgid"),
            *(sys.executable, str(APPLICATION), str(directory)),
        ],
        capture_output=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        timeout=20,
    )
    assert b"EmbeddedError: This root may not run a program as user 65534" in ended.stderr
    assert b"DSN" in ended.stderr
    assert ended.returncode == 1


async def test_no_directory_is_opened_or_made_for_it_elsewhere(directory: Path) -> None:
    closed = directory / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(EmbeddedError, match="cannot enter"):
        await Cluster(closed / "state").start()
    assert closed.stat().st_mode & 0o777 == 0o700
    shutil.rmtree(closed)
