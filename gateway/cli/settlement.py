"""`lockstep settlement`: propose, show, list, cancel."""

from pathlib import Path
from typing import Any, TextIO

import aiohttp
import click
import msgspec

from gateway.cli.printing import print_json, print_table
from gateway.cli.terminal import (
    Connection,
    Failure,
    connection_options,
    failing,
    json_option,
    run_async,
)
from gateway.client import GatewayClient, GatewayUnreachableError, ProblemError
from gateway.http import wire
from gateway.statuses import told


@click.group("settlement", no_args_is_help=False)
def command() -> None:
    """Propose, show, list or cancel settlements, as a party or as an operator."""


@command.command("propose")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@connection_options
@json_option
@run_async
async def propose(connection: Connection, file: Path, as_json: bool) -> None:
    """Propose the agreed swap in FILE (JSON). Sending it again is safe: its id is the same."""
    proposal = _read(file)
    with failing(GatewayUnreachableError, ProblemError):
        async with aiohttp.ClientSession() as session:
            gateway = GatewayClient(session, connection.url, connection.token)
            view = await gateway.propose(proposal)
    _print(view, as_json)


@command.command("list")
@connection_options
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@click.option("--before", metavar="ID", help="Older ones than this.")
@json_option
@run_async
async def list_(connection: Connection, limit: int, before: str | None, as_json: bool) -> None:
    """The latest settlements, newest first."""
    with failing(GatewayUnreachableError, ProblemError):
        async with aiohttp.ClientSession() as session:
            gateway = GatewayClient(session, connection.url, connection.token)
            page = await gateway.settlements(before, limit)
    if as_json:
        print_json(page)
        return
    lines = [(line.id, line.created_at, line.state) for line in page.settlements]
    print_table(("settlement", "created", "state"), lines)


@command.command("show")
@click.argument("id")
@connection_options
@json_option
@run_async
async def show(connection: Connection, id: str, as_json: bool) -> None:
    """One settlement: its state, who bears which risk, every leg, and to a party its messages."""
    with failing(GatewayUnreachableError, ProblemError):
        async with aiohttp.ClientSession() as session:
            gateway = GatewayClient(session, connection.url, connection.token)
            view = await gateway.settlement(id)
            said = await _conversation(gateway, id)
    if as_json:
        print_json(msgspec.to_builtins(view) | ({} if said is None else msgspec.to_builtins(said)))
        return
    _print(view, as_json=False)
    if said is not None:
        columns = ("at", "", "message", "id", "answers", "says")
        print_table(columns, [line(message) for message in said.messages])


async def _conversation(gateway: GatewayClient, id: str) -> wire.Conversation | None:
    """A party's own messages; an operator has none."""
    try:
        return await gateway.conversation(id)
    except ProblemError as error:
        if error.problem.status == 403:
            return None
        raise


def line(said: wire.Said) -> tuple[object, ...]:
    """A message of a conversation in the columns of `settlement show`."""
    says = ""
    if said.direction == "out" and said.xml is not msgspec.UNSET:
        says = str(told(said.xml))
    elif said.direction == "out" and isinstance(said.message, dict):
        says = said.message.get("state", "")
    return (said.at, said.direction, said.definition, said.id, said.related, says)


@command.command("cancel")
@click.argument("id")
@connection_options
@click.option("--reason", required=True, help="Why; it is kept with the settlement.")
@json_option
@run_async
async def cancel(connection: Connection, id: str, reason: str, as_json: bool) -> None:
    """Ask that a settlement be cancelled. A bilateral one is, once both parties have asked."""
    with failing(GatewayUnreachableError, ProblemError):
        async with aiohttp.ClientSession() as session:
            gateway = GatewayClient(session, connection.url, connection.token)
            view = await gateway.cancel(id, reason)
    _print(view, as_json)


@command.command("release")
@click.argument("id")
@click.argument("file", type=click.File("r"), default="-")
@click.option("--leg", required=True, help="A leg that the secret opens, for example CASH.")
@connection_options
@json_option
@run_async
async def release(connection: Connection, id: str, file: TextIO, leg: str, as_json: bool) -> None:
    """Hand over the secret that you hold: FILE (or the standard input) has its 64 hex digits.

    Not an argument: arguments stand in the history of the shell and in the list of processes.
    """
    preimage = file.read().strip()
    with failing(GatewayUnreachableError, ProblemError):
        async with aiohttp.ClientSession() as session:
            gateway = GatewayClient(session, connection.url, connection.token)
            view = await gateway.release(id, leg, preimage)
    _print(view, as_json)


@command.command("resolve")
@click.argument("id")
@click.argument("decision", type=click.Choice(["COMMIT", "CANCEL"]))
@connection_options
@click.option("--evidence", required=True, help="The same words as the other operator's.")
@json_option
@run_async
async def resolve(
    connection: Connection, id: str, decision: str, evidence: str, as_json: bool
) -> None:
    """Say how the lost decision of a FROZEN settlement went, as an operator.

    It is journalled, irrevocably, when a second operator says the same with the same evidence.
    """
    with failing(GatewayUnreachableError, ProblemError):
        async with aiohttp.ClientSession() as session:
            gateway = GatewayClient(session, connection.url, connection.token)
            view = await gateway.resolve(id, decision, evidence)
    _print(view, as_json)


def _read(file: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise Failure(f"{file}: {error}") from None


def _print(view: wire.SettlementView, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    risk = view.principal_risk
    decision = view.decision
    print_table(
        (
            "settlement",
            "state",
            "protocol",
            "principal risk",
            "safe downtime",
            "trusts",
            "decision",
        ),
        [
            (
                view.id,
                view.state,
                view.protocol,
                risk.level if risk else None,
                _downtime(view),
                view.trusts,
                f"{decision.decision}: {decision.reason}" if decision else None,
            )
        ],
    )
    if view.resolutions:
        said = [(each.operator, each.decision, each.evidence, each.at) for each in view.resolutions]
        print_table(("operator", "decision", "evidence", "said at"), said)
    columns = ("leg", "ledger", "asset", "quantity", "payer", "payee", "contract", "state", "ended")
    print_table(columns, [_leg(leg) for leg in view.legs])


def _downtime(view: wire.SettlementView) -> str | None:
    """How long everything may be down: only an open settlement has something to lose."""
    if view.principal_risk is None:
        return None
    seconds = view.safe_downtime_seconds
    return "any" if seconds is None else f"{seconds:,.0f} s"


def _leg(leg: wire.LegView) -> tuple[object, ...]:
    parties = (f"{party.member} {party.account}" for party in (leg.payer, leg.payee))
    state = f"{leg.state}, final" if leg.final else leg.state
    identity = (leg.leg, leg.ledger, leg.asset, leg.quantity)
    return (*identity, *parties, leg.contract, state, leg.ended_at)
