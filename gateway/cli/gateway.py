"""`lockstep gateway`: one gateway process."""

from pathlib import Path

import asyncpg
import click
import msgspec

from gateway.app import serve
from gateway.cli.terminal import failing
from gateway.config import Settings, check, read
from gateway.process.life import addresses, live
from gateway.process.sockets import sockets
from ledgers.migrate import MigrationError


@click.command("gateway")
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
)
@click.option(
    "--replica",
    metavar="NAME",
    envvar="LOCKSTEP_REPLICA",
    show_envvar=True,
    help="A name of its own for this process, in place of the configured one: replicas that share "
    "one configuration file.",
)
@click.option("--fd", type=int, metavar="N", help="Inherited socket of the service.")
@click.option("--metrics-fd", type=int, metavar="M", help="Inherited socket of the metrics.")
@click.option("--lifeline", is_flag=True, help="Stop when standard input ends.")
def command(
    file: Path, replica: str | None, fd: int | None, metrics_fd: int | None, lifeline: bool
) -> None:
    """Run one gateway process from its configuration FILE, until SIGTERM."""
    with failing(asyncpg.PostgresError, OSError, MigrationError):
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
