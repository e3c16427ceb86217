"""`lockstep ledger`: one ledger process."""

from pathlib import Path

import asyncpg
import click

from gateway.cli.terminal import failing
from gateway.config import read
from gateway.process import ledger as ledger_process
from gateway.process.ledger import LedgerProcess
from ledgers.migrate import MigrationError


@click.command("ledger")
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
)
@click.option("--fd", type=int, metavar="N", help="Inherited socket of the service.")
@click.option("--metrics-fd", type=int, metavar="M", help="Inherited socket of the metrics.")
@click.option("--lifeline", is_flag=True, help="Stop when standard input ends.")
def command(file: Path, fd: int | None, metrics_fd: int | None, lifeline: bool) -> None:
    """Run one ledger from its configuration FILE, until SIGTERM."""
    with failing(asyncpg.PostgresError, OSError, MigrationError, ValueError):
        ledger_process.run(read(file, LedgerProcess), (fd, metrics_fd), lifeline=lifeline)
