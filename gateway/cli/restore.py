"""`lockstep restore`: declare that the gateway's journal came back from a copy."""

from pathlib import Path

import asyncpg
import click

from gateway import config, engine
from gateway.audit import places
from gateway.audit.databases import AuditError
from gateway.cli.printing import print_json, print_table
from gateway.cli.terminal import Failure, data_option, failing, json_option, run_async, say
from gateway.embedded import EmbeddedError
from gateway.restore import Declared, declare
from gateway.sql import open_pool
from htlc.units import Instant
from ledgers.migrate import MigrationError, migrate
from protocols.iso20022.lexical import instant


def _instant(
    ctx: click.Context,  # noqa: ARG001 - click's signature
    param: click.Parameter,  # noqa: ARG001
    text: str | None,
) -> Instant | None:
    try:
        return None if text is None else Instant(instant(text))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command("restore")
@click.option(
    "--may-lack-records",
    is_flag=True,
    help="The copy may lack records that were acknowledged. Needed: a complete copy (nothing "
    "acknowledged is missing) needs no command, the gateway goes on by itself.",
)
@click.option(
    "--dsn", help="Of the gateway's database, instead of --data; file:PATH reads it there."
)
@click.option(
    "--since",
    callback=_instant,
    metavar="INSTANT",
    help="The copy has everything from before (2026-11-23T14:00:00Z, with an hour to spare): a "
    "ledger's facts are read from then on. [default: all are read]",
)
@data_option
@json_option
@run_async
async def command(
    *, may_lack_records: bool, dsn: str | None, since: Instant | None, data: Path, as_json: bool
) -> None:
    """Begin a new epoch of the journal, after the gateway's database was put back from a copy.

    Stop every gateway process first, put the copy back, run this, start the gateway. Run again
    before a gateway has started, it does nothing more.
    """
    if not may_lack_records:
        raise click.UsageError(
            "say --may-lack-records. A copy that lacks nothing needs no command: start the gateway"
        )
    unreachable = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, MigrationError)
    with failing(*unreachable, AuditError, EmbeddedError):
        if dsn is None:
            async with places.of_data_directory(data) as found:
                declared = await _declare(found.gateway, since)
        else:
            declared = await _declare(config.database(dsn), since)
    if as_json:
        print_json(declared)
    else:
        _print(declared)


async def _declare(dsn: str | None, since: Instant | None) -> Declared:
    if dsn is None:
        raise Failure("it is not said where the gateway's database is; give --dsn")
    async with open_pool(dsn, "restore") as pool:
        async with pool.acquire() as connection:
            await migrate(connection, engine.MIGRATIONS)  # type: ignore[arg-type]
        return await declare(pool, since)


def _print(declared: Declared) -> None:
    if declared.again:
        say("declared before, and no gateway has started since: nothing was done")
    by_protocol = ", ".join(f"{n} {name}" for name, n in sorted(declared.protocols.items()))
    print_table(
        ("what", "number", "now"),
        (
            ("epoch", declared.epoch, f"begun {declared.declared_at}; older replicas stop"),
            ("open, undecided", len(declared.restored), f"restored: {by_protocol or 'none'}"),
            ("open, decided", declared.decided, "the decision stands"),
            ("proposed", declared.proposed, "wait for consent as before"),
        ),
    )
    say("start the gateway: it reads what the ledgers know beyond the journal, then takes new work")
