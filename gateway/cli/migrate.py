"""`lockstep migrate`: bring a database to this release."""

from pathlib import Path

import asyncpg
import click

from gateway import engine
from gateway.cli.printing import print_json, print_table
from gateway.cli.terminal import failing, json_option, run_async
from gateway.config import database
from ledgers import store
from ledgers.icsd import store as registry
from ledgers.migrate import MigrationError, migrate

FOLDERS: dict[str, Path] = {
    "gateway": engine.MIGRATIONS,
    "ledger": store.MIGRATIONS,
    "registry": registry.MIGRATIONS,
}


@click.command("migrate")
@click.argument("kind", type=click.Choice(sorted(FOLDERS)))
@click.option("--dsn", required=True, help="Of the database; file:PATH reads it there.")
@json_option
@run_async
async def command(kind: str, dsn: str, as_json: bool) -> None:
    """Apply the migrations that a gateway's, a ledger's or a registry node's database lacks.

    Services do it at their start as well; two at once are safe.
    """
    with failing(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, MigrationError):
        connection = await asyncpg.connect(database(dsn))
        try:
            applied = await migrate(connection, FOLDERS[kind])
        finally:
            await connection.close()
    if as_json:
        print_json({"applied": applied})
    else:
        print_table(("applied",), [(name,) for name in applied])
