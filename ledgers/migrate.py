"""Applies a folder of migrations to a database: NNNN_name.sql, in order, each exactly once."""

import hashlib
from pathlib import Path
from typing import Final

import asyncpg

LOCK: Final = 0x6C6F636B73746570
"""Key of the advisory lock ("lockstep" in ASCII): of two programs that start at once, one applies
the migrations and the other finds them done."""

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS migrations (
    name       text PRIMARY KEY,
    sha256     bytea NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


class MigrationError(Exception):
    """The database and the folder do not fit: a program of another version, or an edited file."""


async def migrate(connection: "asyncpg.Connection[asyncpg.Record]", directory: Path) -> list[str]:
    """Apply what is not applied yet, all in one transaction, and return its names.

    Raises MigrationError if an applied migration was changed, or is unknown here: then the database
    belongs to a newer release, which an older one must not write to."""
    async with connection.transaction():
        # A migration, and the wait for another one, may take longer than any query of the program.
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        await connection.execute(_TABLE)
        rows = await connection.fetch("SELECT name, sha256 FROM migrations")
        pending = _pending(directory, {row["name"]: row["sha256"] for row in rows})
        for name, text in pending:
            await connection.execute(text)
            await connection.execute(
                "INSERT INTO migrations (name, sha256) VALUES ($1, $2)", name, _sha256(text)
            )
    return [name for name, _ in pending]


def _pending(directory: Path, applied: dict[str, bytes]) -> list[tuple[str, str]]:
    files = sorted(directory.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    here = {path.stem: path.read_text("utf-8") for path in files}
    for name, sha256 in applied.items():
        if name not in here:
            raise MigrationError(f"the database has migration {name}, which this release has not")
        if _sha256(here[name]) != sha256:
            raise MigrationError(f"migration {name} was changed after it was applied")
    return [(name, text) for name, text in here.items() if name not in applied]


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8")).digest()
