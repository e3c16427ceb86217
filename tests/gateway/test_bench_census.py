"""What a system holds, and profiles of its processes, as the bench finds them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.bench import census, profiles
from gateway.bench.census import Census, Holdings
from gateway.bench.profiles import profiling
from gateway.bench.stores import Store, Table
from gateway.bench.system import BenchError
from gateway.bench.usage import Use, use


def test_memory_and_files_of_a_family_are_summed() -> None:
    before = use({"own": (os.getpid(),)})["own"]
    with Path(os.devnull).open() as _, subprocess.Popen(["sleep", "60"]) as child:
        after = use({"own": (os.getpid(),), "child": (child.pid,)})
        child.kill()
    assert after["child"].memory_bytes > 0 and after["child"].files >= 3
    assert (after["child"].processes, after["own"].processes) == (1, before.processes + 1)
    assert after["own"].files >= before.files + 1 + after["child"].files
    assert use({"gone": (child.pid,)})["gone"] == Use(memory_bytes=0, files=0, processes=0)


def _census(mib: int, bytes: int, transactions: int) -> Census:
    store = Store(
        bytes=bytes,
        active_seconds=transactions / 1000,
        transactions=transactions,
        tables={"a": Table(bytes=1, live=1, dead=2), "b": Table(bytes=1, live=1, dead=3)},
    )
    uses = {"gateway/gateway": Use(memory_bytes=mib * census.MIB, files=7)}
    return Census(processes=uses, stores={"gateway": store})


def test_growth_is_told_per_settlement() -> None:
    found = Holdings(before=_census(50, 0, 0), after=_census(51, 5_000_000, 500), settled=1000)
    assert census.process_rows(found) == [("gateway/gateway", "50.0", "51.0", "7", "7")]
    (row,) = census.store_rows(found)
    assert row == ("gateway", "0.0", "4.8", "5,000", "0.500", "500", "5")


def _spy(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Tests that a shell runs in the background ignore SIGINT, and so does what they start: a shell
    cannot trap what it was started to ignore (POSIX, `trap`)."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
async def test_each_python_process_has_a_profile_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in that writes, as py-spy does, when it is interrupted."""
    _spy(tmp_path / "py-spy", 'trap "echo \\"$*\\" > $7; exit 0" INT\nwhile :; do sleep 0.05; done')
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(profiles, "ATTACH_SECONDS", 0.2)
    profiles.prepare(tmp_path / "out")
    groups = {"gateway/gateway": (11,), "PostgreSQL/gateway": (12,), "load generator/client": (13,)}
    async with profiling(tmp_path / "out", "json-bulk", 256, groups):
        pass
    written = {file.name: file.read_text() for file in (tmp_path / "out").iterdir()}
    assert sorted(written) == [
        "json-bulk-256-gateway-gateway.collapsed.txt",
        "json-bulk-256-load-generator-client.collapsed.txt",
    ]
    assert "--pid 11 --format raw" in written["json-bulk-256-gateway-gateway.collapsed.txt"]


async def test_a_profile_that_cannot_be_made_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _spy(tmp_path / "py-spy", 'echo "Permission Denied: try again as root" >&2; exit 1')
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(profiles, "ATTACH_SECONDS", 0.2)
    with pytest.raises(BenchError, match="no profile of gateway/gateway: Permission Denied"):
        async with profiling(tmp_path, "json-bulk", 1, {"gateway/gateway": (11,)}):
            pass
    monkeypatch.setattr(sys, "executable", str(tmp_path / "elsewhere" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
    with pytest.raises(BenchError, match="pip install"):
        profiles.program()
