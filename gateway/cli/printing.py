"""Results on standard output: a table for people, JSON for programs."""

from collections.abc import Sequence

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_json(value: object) -> None:
    """A result for programs: one line."""
    click.echo(msgspec.json.encode(value).decode())


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A result for people. Without a terminal, lines are as long as they need to be."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=250)
    table = Table(*columns)
    for row in rows:
        table.add_row(*(Text("" if cell is None else _shown(str(cell))) for cell in row))
    console.print(table)


def _shown(text: str) -> str:
    """Text from outside must not steer the terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
