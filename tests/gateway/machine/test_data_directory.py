"""The data directory: where it is, who holds it, and that what it keeps is kept from others."""

import os
from pathlib import Path

import pytest

from gateway.machine.data_directory import (
    ROOT_DIRECTORY,
    DataDirectory,
    DataDirectoryError,
    Ready,
    default_directory,
)

READY = Ready(gateway="http://g", bic="LKSPBEB0XXX", metrics={}, ledgers={}, members="/m")


def test_the_environment_names_the_directory() -> None:
    assert default_directory({"LOCKSTEP_DATA": "/srv/x"}) == Path("/srv/x")


def test_root_has_a_place_that_the_databases_user_can_reach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_directory({}) == ROOT_DIRECTORY


def test_a_users_data_is_where_the_desktop_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("sys.platform", "linux")
    assert default_directory({"XDG_DATA_HOME": "/data"}) == Path("/data/lockstep")
    assert default_directory({"XDG_DATA_HOME": "relative"}) == default_directory({})
    assert default_directory({}) == Path.home() / ".local/share/lockstep"


def test_one_holds_it_and_the_next_is_told_who(tmp_path: Path) -> None:
    first, second = DataDirectory(tmp_path / "d"), DataDirectory(tmp_path / "d")
    first.hold()
    with pytest.raises(DataDirectoryError, match=f"in use by process {os.getpid()}; stop it, or"):
        second.hold()
    first.release()
    second.hold()
    second.release()


def test_what_runs_is_told_while_it_runs(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "d")
    assert directory.running() is None
    directory.hold()
    running = directory.running()
    assert running is not None
    assert running.ready is None, "held, and not ready yet"
    directory.announce(READY)
    running = DataDirectory(tmp_path / "d").running()
    assert running is not None
    assert running.ready == READY
    directory.release()
    assert directory.running() is None
    assert not list(directory.path.glob("*lock*")), "the directory is its own lock"


def test_what_a_killed_holder_left_does_not_hold(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    directory.write("running.json", b'{"pid":4000000}')
    directory.hold()
    directory.release()


def test_only_the_owner_reads_what_is_written(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "d")
    directory.hold()
    path = directory.write("services/token", b"secret")
    directory.write("services/token", b"changed")
    directory.release()
    assert path.read_bytes() == b"changed"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["token"]
    others = 0o711 if os.geteuid() == 0 else 0o700
    assert directory.path.stat().st_mode & 0o777 == others


def test_a_place_that_cannot_be_used_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirectoryError, match=r"cannot be used: .*; give another with --data"):
        DataDirectory(tmp_path / "file" / "d").hold()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "running.json").write_text("{")
    with pytest.raises(DataDirectoryError, match=r"running\.json is damaged"):
        DataDirectory(tmp_path).running()
