"""`lockstep send`: files of messages to the gateway or a registry's node, as a member."""

from collections.abc import Sequence
from pathlib import Path

import aiohttp
import click

from gateway.cli.printing import print_json, print_table
from gateway.cli.terminal import (
    Connection,
    content,
    failing,
    files_argument,
    json_option,
    mailbox_options,
    run_async,
)
from gateway.client import (
    ISO_JSON,
    XML,
    GatewayClient,
    GatewayUnreachableError,
    Outcome,
    ProblemError,
    Received,
)


@click.command("send")
@files_argument
@mailbox_options
@json_option
@run_async
async def command(files: Sequence[Path], connection: Connection, as_json: bool) -> int:
    """Send messages: ISO 20022 XML (one, or many in a BizMsgs), or the JSON form in *.json.

    Sending again is safe. What becomes of a message is told in the mailbox: `lockstep inbox`.
    """
    rows: list[tuple[Path, Outcome]] = []
    with failing(GatewayUnreachableError, ProblemError):
        async with aiohttp.ClientSession() as session:
            gateway = GatewayClient(session, connection.url, connection.token)
            for file in files:
                kind = ISO_JSON if file.suffix == ".json" else XML
                outcomes = await gateway.send(content(file), kind)
                rows += [(file, outcome) for outcome in outcomes]
    if as_json:
        print_json([_record(file, outcome) for file, outcome in rows])
    else:
        print_table(("file", "reference", "outcome", "why"), [_row(*row) for row in rows])
    return 0 if all(isinstance(outcome, Received) for _, outcome in rows) else 1


def _row(file: Path, outcome: Outcome) -> tuple[object, ...]:
    if isinstance(outcome, Received):
        return (file.name, outcome.reference, f"received as {outcome.id}", "")
    place = f" at {outcome.location}" if outcome.location else ""
    return (file.name, outcome.reference, outcome.code, f"{outcome.description}{place}")


def _record(file: Path, outcome: Outcome) -> dict[str, str | None]:
    common = {"file": str(file), "reference": outcome.reference}
    if isinstance(outcome, Received):
        return common | {"id": outcome.id}
    return common | {
        "code": outcome.code,
        "description": outcome.description,
        "location": outcome.location,
    }
