"""`lockstep icsd-node`: the node of one registry."""

import asyncio
from pathlib import Path

import asyncpg
import click

from gateway.cli.printing import print_table
from gateway.cli.terminal import failing
from gateway.config import read
from gateway.icsd_node import care, process
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
@click.option(
    "--check", is_flag=True, help="Instead: compare the database with what a quorum has certified."
)
@click.option(
    "--repair", is_flag=True, help="Instead: put right what --check finds. The node must not run."
)
@click.option("--fd", type=int, metavar="N", help="Inherited socket of the service.")
@click.option("--metrics-fd", type=int, metavar="M", help="Inherited socket of the metrics.")
@click.option("--lifeline", is_flag=True, help="Stop when standard input ends.")
def command(
    file: Path,
    check: bool,
    repair: bool,
    fd: int | None,
    metrics_fd: int | None,
    lifeline: bool,
) -> int:
    """Run the node of one registry from its configuration FILE, until SIGTERM.

    The node keeps the whole network's book in its own database, orders the entries of its own
    members through the common log, signs what it computes, and answers when a quorum of registries
    has signed the same.
    """
    with failing(*FAULTS):
        settings = read(file, NodeProcess)
        if check or repair:
            return _compare(settings, repair)
        process.run(settings, (fd, metrics_fd), lifeline=lifeline)
    return 0


def _compare(settings: NodeProcess, repair: bool) -> int:
    found = asyncio.run(care.mend(settings) if repair else care.differences(settings))
    if not found:
        click.echo("The book is the certified one.")
        return 0
    columns = ("table", "row", "found", "certified")
    print_table(columns, [(d.table, d.key, d.found, d.certified) for d in found])
    click.echo(f"{len(found)} rows {'mended' if repair else 'not as certified'}.")
    return 0 if repair else 1
