"""Columns of a batch, as they travel to the database."""

from pathlib import Path

import asyncpg
import pytest

import gateway
from gateway.sql import SEPARATOR, column, octets
from ledgers.migrate import migrate
from tests import postgres

ROWS = (
    "SELECT * FROM unnest(items($1), items($2)::bigint[], items($3)::bytea[])"
    " AS t (name, number, key)"
)


async def test_what_goes_in_as_texts_comes_out_as_rows(postgres_server: str) -> None:
    names = ["SELADEF0XXX", None, 'he said "{a,b}"\\', "ü\x1f\t\n"]
    numbers, keys = [1, None, -7, 2**62], [b"", None, b"\x1e\x00", b"\xff" * 32]
    async with postgres.database(postgres_server, "columns") as dsn:
        connection = await asyncpg.connect(dsn)
        try:
            await migrate(connection, Path(gateway.__file__).with_name("migrations"))
            rows = await connection.fetch(ROWS, column(names), column(numbers), octets(keys))
            none = await connection.fetch(ROWS, column([]), column([]), octets([]))
            (one,) = await connection.fetch(ROWS, column(["x"]), column([None]), octets([None]))
        finally:
            await connection.close()
    assert [tuple(row) for row in rows] == list(zip(names, numbers, keys, strict=True))
    assert none == []
    assert tuple(one) == ("x", None, None)


def test_an_item_with_the_separator_is_our_error() -> None:
    with pytest.raises(AssertionError):
        column(["a", f"b{SEPARATOR}c"])
