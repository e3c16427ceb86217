"""Migrations: each exactly once, whoever starts, however often."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from ledgers.migrate import MigrationError, migrate
from ledgers.store import MIGRATIONS

FIRST = "CREATE TABLE one (n int);"
SECOND = "ALTER TABLE one ADD COLUMN m int; INSERT INTO one VALUES (1, 2);"


def _folder(path: Path, **files: str) -> Path:
    for name, text in files.items():
        (path / f"{name}.sql").write_text(text)
    return path


async def test_what_is_pending_is_applied_in_order_and_once(dsn: str, tmp_path: Path) -> None:
    connection = await asyncpg.connect(dsn)
    folder = _folder(tmp_path, **{"0001_first": FIRST})
    assert await migrate(connection, folder) == ["0001_first"]
    _folder(tmp_path, **{"0002_second": SECOND})
    assert await migrate(connection, folder) == ["0002_second"]
    assert await migrate(connection, folder) == []
    assert await connection.fetchval("SELECT m FROM one") == 2
    await connection.close()


async def test_programs_that_start_at_once_apply_each_once(dsn: str) -> None:
    connections = [await asyncpg.connect(dsn) for _ in range(6)]
    applied = await asyncio.gather(*(migrate(each, MIGRATIONS) for each in connections))
    assert sorted(len(names) for names in applied) == [
        0,
        0,
        0,
        0,
        0,
        len(list(MIGRATIONS.glob("*"))),
    ]
    for connection in connections:
        await connection.close()


async def test_one_that_fails_leaves_nothing_behind(dsn: str, tmp_path: Path) -> None:
    connection = await asyncpg.connect(dsn)
    folder = _folder(
        tmp_path, **{"0001_first": FIRST, "0002_bad": "CREATE TABLE two (n int); oops"}
    )
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await migrate(connection, folder)
    assert await connection.fetchval("SELECT to_regclass('one')") is None
    await connection.close()


async def test_an_edited_or_unknown_migration_is_refused(dsn: str, tmp_path: Path) -> None:
    connection = await asyncpg.connect(dsn)
    folder = _folder(tmp_path, **{"0001_first": FIRST})
    await migrate(connection, folder)
    _folder(tmp_path, **{"0001_first": FIRST + "--"})
    with pytest.raises(MigrationError, match="changed after"):
        await migrate(connection, folder)
    (tmp_path / "0001_first.sql").unlink()
    with pytest.raises(MigrationError, match="this release has not"):
        await migrate(connection, folder)
    await connection.close()
