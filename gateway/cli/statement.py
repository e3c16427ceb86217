"""`lockstep statement`: a member's holdings, movements and cash, into its mailbox."""

from datetime import datetime

import aiohttp
import click

from gateway.cli.printing import print_json, print_table
from gateway.cli.terminal import (
    Connection,
    failing,
    json_option,
    mailbox_options,
    run_async,
    say,
)
from gateway.client import GatewayClient, GatewayUnreachableError, ProblemError


@click.command("statement")
@mailbox_options
@click.option(
    "--kind",
    type=click.Choice(["holdings", "movements", "cash"]),
    help="semt.002, semt.017, camt.053. [default: all]",
)
@click.option("--ledger", metavar="NAME", help="[default: all]")
@click.option("--account", metavar="ACCOUNT", help="[default: all of one's own]")
@click.option(
    "--date",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    help="A business day that is over: its daily statement again. [default: up to now]",
)
@json_option
@run_async
async def command(
    connection: Connection,
    kind: str | None,
    ledger: str | None,
    account: str | None,
    day: datetime | None,
    as_json: bool,
) -> None:
    """Ask for statements; read them with `lockstep inbox`. Each page is a message."""
    asked = {
        "kind": kind,
        "ledger": ledger,
        "account": account,
        "date": None if day is None else day.date().isoformat(),
    }
    with failing(GatewayUnreachableError, ProblemError):
        async with aiohttp.ClientSession() as session:
            gateway = GatewayClient(session, connection.url, connection.token)
            made = await gateway.state({key: text for key, text in asked.items() if text})
    if as_json:
        print_json(made)
        return
    columns = ("statement", "message", "ledger", "account", "asset", "of", "number", "pages")
    print_table(
        columns,
        [
            (
                each.id,
                each.definition,
                each.ledger,
                each.account,
                each.asset,
                f"{each.frequency} {each.business_date}",
                each.number,
                each.pages,
            )
            for each in made.statements
        ],
    )
    say("they are in the mailbox: `lockstep inbox`")
