"""`lockstep gateway`: one gateway process."""

from pathlib import Path

import asyncpg
import click
import msgspec

from gateway.app import serve
from gateway.cli.terminal import config_option, failing, process_options
from gateway.config import Settings, check, read
from gateway.epoch import JournalError
from gateway.process.life import addresses, live
from gateway.process.sockets import sockets
from ledgers.migrate import MigrationError


@click.command("gateway")
@config_option
@click.option(
    "--replica",
    metavar="NAME",
    envvar="LOCKSTEP_REPLICA",
    show_envvar=True,
    help="A name of its own for this process, in place of the configured one: replicas that share "
    "one configuration file.",
)
@process_options
def command(
    file: Path, replica: str | None, fd: int | None, metrics_fd: int | None, lifeline: bool
) -> None:
    """Run one gateway process from its configuration FILE, until SIGTERM."""
    with failing(asyncpg.PostgresError, OSError, MigrationError, JournalError):
        settings = check(read(file, Settings))
        if replica is not None:
            settings = msgspec.structs.replace(settings, replica=replica)
        listen, metrics = sockets((settings.listen, settings.metrics_listen), (fd, metrics_fd))
        live(
            settings.replica,
            addresses((listen, metrics)),
            lambda ready, say: serve(
                settings, listen=listen, metrics=metrics, ready=ready, say=say
            ),
            lifeline=lifeline,
        )
