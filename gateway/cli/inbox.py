"""`lockstep inbox`: a member's mailbox, once or for as long as one likes."""

import aiohttp
import click
import msgspec

from gateway.cli.printing import print_json, print_table
from gateway.cli.terminal import (
    Connection,
    failing,
    json_option,
    mailbox_options,
)
from gateway.cli.up import until_signalled
from gateway.client import GatewayClient, GatewayUnreachableError, ProblemError
from gateway.http import wire
from gateway.statuses import told

PAGE = 500
"""Messages of one request, the most that the gateway gives."""


@click.command("inbox")
@mailbox_options
@click.option("--after", metavar="CURSOR", help="Only what came after this. [default: all]")
@click.option("--follow", is_flag=True, help="Go on as messages come, until Ctrl-C.")
@json_option
def command(connection: Connection, after: str | None, follow: bool, as_json: bool) -> None:
    """Print the messages of a mailbox, oldest first. Reading takes nothing out of it."""
    with failing(GatewayUnreachableError, ProblemError):
        until_signalled(_follow(connection, after) if follow else _read(connection, after, as_json))


async def _follow(connection: Connection, after: str | None) -> None:
    async with aiohttp.ClientSession() as session:
        gateway = GatewayClient(session, connection.url, connection.token)
        async for message in gateway.follow(after):
            print_json(message)


async def _read(connection: Connection, after: str | None, as_json: bool) -> None:
    async with aiohttp.ClientSession() as session:
        messages = await everything(GatewayClient(session, connection.url, connection.token), after)
    if as_json:
        print_json(messages)
    else:
        columns = ("cursor", "at", "message", "answers", "transaction", "says")
        print_table(columns, [_row(message) for message in messages])


async def everything(gateway: GatewayClient, after: str | None) -> list[wire.Delivery]:
    """All pages of a mailbox."""
    found: list[wire.Delivery] = []
    while True:
        page = await gateway.inbox(after, PAGE)
        if not page.messages:
            return found
        found += page.messages
        after = page.next


def _row(message: wire.Delivery) -> tuple[object, ...]:
    at, related = message.created_at, message.related
    if message.xml is msgspec.UNSET:
        notice = message.message
        says = notice.get("state", "") if isinstance(notice, dict) else ""
        return (message.cursor, at, message.definition, related, message.settlement, says)
    status = told(message.xml)
    return (message.cursor, at, message.definition, related, status.transaction_id, str(status))
