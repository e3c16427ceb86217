"""The command `lockstep`: one module per command, loaded when it is called.

Exit codes: 0 done, 1 a failed outcome, 2 wrong usage. What is wrong is said in one line on standard
error, with what to do next; standard output is for results.
"""

import importlib
import sys
from typing import Final

import click

COMMANDS: Final = {
    "up": "Run everything on this machine: ledgers, gateway, databases.",
    "demo": "Run a day of trades through a throw-away world and check every outcome.",
    "send": "Send files of messages to the gateway as a member.",
    "inbox": "Read a member's mailbox.",
    "settlement": "Propose, show, list or cancel settlements.",
    "statement": "Ask for statements of one's accounts.",
    "validate": "Tell what intake would answer to files, without a gateway.",
    "gateway": "Run one gateway process.",
    "ledger": "Run one ledger process.",
    "icsd-log": "Run one server of the log that a network of registries shares.",
    "icsd-node": "Run the node of one registry of a network.",
    "registry": "Verify and watch a network of registries; mend, join or rebuild one.",
    "migrate": "Bring a database to this release.",
    "restore": "Declare that the gateway's journal was restored from a copy.",
    "scenario": "Run settlement situations and check the end of each.",
    "reconcile": "Hold the ledgers against what they told before.",
    "audit": "Check that journal, ledgers and mailboxes hold what they must.",
    "simulate": "Play random lives with faults and check every invariant.",
    "bench": "Measure what a settlement costs on this machine.",
    "openapi": "Print the description of the interface of a gateway, ledger or registry's node.",
}
"""Each command is the function `command` of its module here."""


class _Commands(click.Group):
    """Loads the module of a command when it is called: `--help` must not import a database."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"gateway.cli.{cmd_name.replace('-', '_')}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
    invoke_without_command=False,
)
@click.version_option(package_name="lockstep")
def root() -> None:
    """Lockstep settles DvP and PvP across independent ledgers: every leg, or none."""


def main() -> None:
    """The entry point of the command."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """One call; its exit code."""
    try:
        result = root.main(arguments, prog_name="lockstep", standalone_mode=False)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "lockstep"
        what = error.format_message().rstrip(".").replace("\n", " ")
        click.echo(f"lockstep: {what} (see `{command} --help`)", err=True)
        return error.exit_code
    except click.ClickException as error:
        click.echo(f"lockstep: {' '.join(error.format_message().split())}", err=True)
        return error.exit_code
    except click.Abort:
        return 130  # 128 + SIGINT, as a shell says it
    return result if isinstance(result, int) else 0
