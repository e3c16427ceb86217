"""`lockstep openapi`: the description of an HTTP interface of ours."""

from collections.abc import Callable
from typing import Any, Final

import click
import msgspec

from gateway.http import openapi
from gateway.icsd_node import service as node
from ledgers import service

_DOCUMENTS: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "gateway": openapi.document,
    "ledger": service.document,
    "registry": node.document,
}


@click.command("openapi")
@click.option(
    "--of", "whose", type=click.Choice(list(_DOCUMENTS)), default="gateway", show_default=True
)
def command(whose: str) -> None:
    """Print the OpenAPI 3.1 document of a service, as JSON: what it serves at /openapi.json."""
    click.echo(msgspec.json.format(msgspec.json.encode(_DOCUMENTS[whose]()), indent=2).decode())
