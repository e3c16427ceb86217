"""The state directory: lock, `postmaster.pid`, log, socket directory."""

import os
import pwd
import socket
from pathlib import Path

import pytest

from gateway.embedded import state
from gateway.embedded.identity import Identity, StartRefusedError, choose
from gateway.embedded.state import Postmaster

MYSELF = Identity(uid=os.geteuid(), gid=os.getegid(), switched=False)


def test_the_lock_is_one_for_all_and_is_no_file(tmp_path: Path) -> None:
    first, second = state.open_lock(tmp_path), state.open_lock(tmp_path)
    assert state.try_lock(first)
    assert not state.try_lock(second)
    assert not state.unlocked(tmp_path)
    os.close(first)
    assert state.unlocked(tmp_path)
    assert state.try_lock(second)
    os.close(second)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", None),
        ("12", Postmaster(pid=12, status="")),
        ("12\n/d\n1\n5432\n/s\n\n0 0\nready   \n", Postmaster(pid=12, status="ready")),
        ("12\n/d\n1\n5432\n/s\n\n0 0\nstopping\n", Postmaster(pid=12, status="stopping")),
    ],
)
def test_postmaster_pid_is_read_in_every_stage(
    tmp_path: Path, text: str, read: Postmaster | None
) -> None:
    assert state.read_postmaster(tmp_path) is None
    (tmp_path / "postmaster.pid").write_text(text)
    assert state.read_postmaster(tmp_path) == read


def test_a_stale_number_is_removed_but_not_that_of_a_server_started_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid_file = tmp_path / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n")
    monkeypatch.chdir(tmp_path)
    state.remove_stale_pid_file(tmp_path.resolve(), MYSELF)
    assert pid_file.exists()
    monkeypatch.chdir("/")
    state.remove_stale_pid_file(tmp_path.resolve(), MYSELF)
    assert not pid_file.exists()


def test_a_large_log_is_moved_aside_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "LOG_BYTES_MAX", 3)
    for text in (b"abc", b"d", b"e"):
        log = state.open_log(tmp_path)
        os.write(log, text)
        os.close(log)
    assert (tmp_path / "log.1").read_text() == "abcd"
    assert (tmp_path / "log").read_text() == "e"


def test_a_link_in_place_of_the_log_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        state.open_log(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_the_log_tells_why_since_the_start(tmp_path: Path) -> None:
    old = "2026-01-01 [1] FATAL:  of yesterday\n"
    new = "2026-01-02 [2] LOG:  starting\n2026-01-02 [2] FATAL:  no room\n\tHINT:  make room\n"
    (tmp_path / "log").write_text(old + new)
    assert state.telling_lines(tmp_path, len(old)) == "FATAL: no room; HINT: make room"


def test_only_short_and_plain_places_can_hold_a_socket(tmp_path: Path) -> None:
    for refused in ("/a,b", "/a b", "@abstract", "relative", "/" + "x" * 80, "", '/"a"'):
        assert state.short_places({"TMPDIR": refused}) == [Path("/tmp"), Path("/var/tmp")]
    longest = "/" + "x" * (state.SOCKET_PATH_BYTES_MAX - 36)
    assert state.short_places({"TMPDIR": longest})[0] == Path(longest)
    assert Path(longest) not in state.short_places({"TMPDIR": longest + "x"})
    whole = f"{longest}/lockstep-pg-01234567/.s.PGSQL.5432"
    assert len(whole) <= state.SOCKET_PATH_BYTES_MAX
    with socket.socket(socket.AF_UNIX) as probe, pytest.raises(FileNotFoundError):
        probe.connect(whole)  # not "path too long"


def test_a_socket_directory_is_used_again_emptied_while_it_is_ours(tmp_path: Path) -> None:
    first = state.socket_directory(tmp_path, MYSELF, {})
    (first / ".s.PGSQL.5432.lock").touch()
    assert state.socket_directory(tmp_path, MYSELF, {}) == first
    assert list(first.iterdir()) == []
    first.chmod(0o755)  # no longer private: somebody could have put a socket there
    second = state.socket_directory(tmp_path, MYSELF, {})
    assert second != first
    state.remove_sockets(tmp_path)
    assert not second.exists()
    assert not (tmp_path / "sockets").is_symlink()
    first.rmdir()


def test_a_directory_that_is_no_socket_directory_is_never_removed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "sockets").symlink_to(precious)
    assert state.sweep(tmp_path)
    assert precious.is_dir()


def test_a_user_without_an_entry_is_refused_a_first_start_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_entry(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(pwd, "getpwuid", no_entry)
    with pytest.raises(StartRefusedError, match=r"User id 12345 has no entry.*DSN"):
        choose(tmp_path, {})
    (tmp_path / "data").mkdir()
    assert choose(tmp_path, {}).uid == 12345
