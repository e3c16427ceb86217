"""`lockstep openapi`: the description of the gateway's HTTP interface."""

import click
import msgspec

from gateway.http.openapi import document


@click.command("openapi")
def command() -> None:
    """Print the OpenAPI 3.1 document of the gateway, as JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(document()), indent=2).decode())
