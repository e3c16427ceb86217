"""`lockstep icsd-node`: the node of one registry."""

from pathlib import Path

import asyncpg
import click

from gateway.cli.terminal import failing
from gateway.config import read
from gateway.icsd_node import process
from gateway.icsd_node.settings import NodeProcess
from ledgers.icsd.log import LogBroken, LogRefused, LogUnreachable
from ledgers.icsd.start import Altered, Ended, Lost
from ledgers.icsd.store import Fenced
from ledgers.migrate import MigrationError

FAULTS = (
    *(asyncpg.PostgresError, OSError, MigrationError, ValueError),
    *(LogBroken, LogRefused, LogUnreachable, Altered, Ended, Lost, Fenced),
)
"""What can be wrong with a start, each with one line that says what."""


@click.command("icsd-node")
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
    """Run the node of one registry from its configuration FILE, until SIGTERM.

    The node keeps the whole network's book in its own database, orders the entries of its own
    members through the common log, signs what it computes, and answers when a quorum of registries
    has signed the same.
    """
    with failing(*FAULTS):
        process.run(read(file, NodeProcess), (fd, metrics_fd), lifeline=lifeline)
