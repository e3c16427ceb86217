"""Arrays on their way to PostgreSQL: as before, and without a question about each element."""

from abc import ABCMeta
from collections import deque
from types import MappingProxyType
from typing import Any

import asyncpg
import pytest

from ledgers import arrays


async def _connection(dsn: str) -> "asyncpg.Connection[asyncpg.Record]":
    arrays.quicken()
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TYPE written AS (name text, places int[], digest bytea)")
    return connection


async def test_no_abstract_class_is_asked_about_what_stands_in_rows(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await _connection(dsn)
    statement = await connection.prepare("SELECT count(*) FROM unnest($1::written[], $2::text[])")
    rows: list[Any] = [("a", [], b"\x00")] * 500
    names = ["b"] * 500
    asked: list[object] = []
    ask = ABCMeta.__instancecheck__

    def count(cls: ABCMeta, instance: object) -> bool:
        asked.append(instance)
        return ask(cls, instance)

    monkeypatch.setattr(ABCMeta, "__instancecheck__", count)
    assert await statement.fetchval(rows, names) == 500
    assert len(asked) < 100, "the library asks otherwise than its pinned version does"
    await connection.close()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("written[]", [("a", [1, 2], b"\xff"), ("", [], None), (None, None, b""), None]),
        ("int[]", [[1, 2], [3, 4]]),
        ("int[]", ()),
        ("text[]", ["a", None, '"{,}\\']),
        ("bytea[]", (b"", b"\x00")),
    ],
)
async def test_what_is_an_array_comes_back_as_it_went(dsn: str, kind: str, value: Any) -> None:
    connection = await _connection(dsn)
    found = await connection.fetchval(f"SELECT $1::{kind}", value)
    assert [tuple(row) if kind == "written[]" and row else row for row in found] == list(value)
    await connection.close()


async def test_an_abstract_class_is_still_asked_about_others(dsn: str) -> None:
    connection = await _connection(dsn)
    assert await connection.fetchval("SELECT $1::text[]", deque("ab")) == ["a", "b"]
    assert sorted(await connection.fetchval("SELECT $1::int[]", {1, 2})) == [1, 2]
    row = await connection.fetchval("SELECT $1::written", {"name": "a", "digest": b"b"})
    assert tuple(row) == ("a", None, b"b")
    for wrong in ("ab", b"ab", {"a": 1}, 5):
        with pytest.raises(asyncpg.DataError):
            await connection.fetchval("SELECT $1::text[]", wrong)
    with pytest.raises(asyncpg.DatatypeMismatchError):
        await connection.fetchval("SELECT $1::written", MappingProxyType({"name": "a"}))
    await connection.close()
