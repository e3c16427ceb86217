"""`lockstep up`: everything on one machine, until it is told to stop."""

import asyncio
import re
import signal
from collections.abc import Coroutine
from datetime import date
from pathlib import Path
from typing import Any

import click

from gateway.cli.printing import print_json
from gateway.cli.terminal import data_option, failing, run_async, say
from gateway.machine.up import FAULTS, Options, running

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}").fullmatch


def day(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:  # noqa: ARG001
    """A calendar day, YYYY-MM-DD."""
    try:
        if value is not None and _DAY(value):
            date.fromisoformat(value)
            return value
    except ValueError:
        pass
    if value is not None:
        raise click.BadParameter(f"{value} is no day; write YYYY-MM-DD")
    return None


def databases(
    ctx: click.Context,  # noqa: ARG001 - click's signature
    param: click.Parameter,  # noqa: ARG001
    values: tuple[str, ...],
) -> dict[str, str]:
    """NAME=DSN, several times."""
    pairs = [value.partition("=") for value in values]
    for name, _, dsn in pairs:
        if not name or not dsn:
            raise click.BadParameter("write NAME=DSN, NAME being a ledger's or `gateway`")
    return {name: dsn for name, _, dsn in pairs}


@click.command("up")
@click.option("--world", metavar="NAME|FILE.toml", help="What to run. [default: dvp]")
@data_option
@click.option(
    "--business-date", metavar="DATE", callback=day, help="Settle on this day. [default: today]"
)
@click.option(
    "--dsn",
    "dsns",
    metavar="NAME=DSN",
    multiple=True,
    callback=databases,
    help="A PostgreSQL database of your own for a ledger (`securities-kz` for a registry of a "
    "network), or for `gateway`.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of the gateway. [any]")
@click.option(
    "--registries",
    type=click.IntRange(min=1),
    metavar="N",
    help="Run a network of the first N registries of the world. [default world: cross-border; all]",
)
def command(
    world: str | None,
    data: Path,
    business_date: str | None,
    dsns: dict[str, str],
    port: int,
    registries: int | None,
) -> None:
    """Run ledgers and gateway on this machine, each with a database of its own.

    Prints one line of JSON when all is ready, and stops on Ctrl-C or SIGTERM.
    """
    options = Options(
        data=data,
        world=world,
        registries=registries,
        business_date=business_date,
        dsns=dsns,
        port=port,
    )
    with failing(*FAULTS):
        until_signalled(_up(options))


async def _up(options: Options) -> None:
    async with running(options, say) as (machine, ready):
        print_json(ready)
        await machine.run()


@run_async
async def until_signalled(work: Coroutine[Any, Any, None]) -> bool:
    """Do the work; False if a signal has ended it. What it must clean up, it is given time for."""
    task = asyncio.create_task(work)
    signalled = False

    def stop() -> None:
        nonlocal signalled
        if not signalled:  # a second Ctrl-C must not break off the orderly end
            signalled = True
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        assert signalled, "nobody else cancels it"
        return False
    return True
