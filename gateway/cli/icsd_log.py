"""`lockstep icsd-log`: one server of the registries' log."""

from pathlib import Path

import click

from gateway.cli.terminal import failing
from gateway.config import read
from gateway.embedded import EmbeddedError
from gateway.process import icsd_log
from gateway.process.icsd_log import LogProcess
from ledgers.icsd.log import LogRefused, LogUnreachable


@click.command("icsd-log")
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
)
@click.option("--lifeline", is_flag=True, help="Stop when standard input ends.")
def command(file: Path, lifeline: bool) -> None:
    """Run one server of the ordered log that the registries of a network share, until SIGTERM.

    FILE names the server's addresses, its store and the public key (nkey) of each registry; with
    the administrator's seed it also makes the stream. Three to five such servers, each at another
    institution, keep the log through the loss of any minority.
    """
    with failing(EmbeddedError, LogRefused, LogUnreachable, OSError):
        icsd_log.run(read(file, LogProcess), lifeline=lifeline)
