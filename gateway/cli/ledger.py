"""`lockstep ledger`: one ledger process."""

from pathlib import Path

import asyncpg
import click

from gateway.cli.terminal import config_option, failing, process_options
from gateway.config import read
from gateway.process import ledger as ledger_process
from gateway.process.ledger import LedgerProcess
from ledgers.migrate import MigrationError


@click.command("ledger")
@config_option
@process_options
def command(file: Path, fd: int | None, metrics_fd: int | None, lifeline: bool) -> None:
    """Run one ledger from its configuration FILE, until SIGTERM."""
    with failing(asyncpg.PostgresError, OSError, MigrationError, ValueError):
        ledger_process.run(read(file, LedgerProcess), (fd, metrics_fd), lifeline=lifeline)
