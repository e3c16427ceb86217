"""`lockstep audit`: what must always hold, checked again over live databases and block chains."""

import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import click
import msgspec

from gateway.audit import places, run
from gateway.audit.databases import AuditError
from gateway.audit.findings import Head, Report, lines
from gateway.audit.places import Places
from gateway.cli.printing import print_json, print_table
from gateway.cli.terminal import Failure, data_option, failing, json_option, run_async, say
from gateway.embedded import EmbeddedError
from htlc.units import seconds

SECONDS_BETWEEN_LINES = 1.0
"""Progress is a line now and then, on standard error."""


def _named(
    ctx: click.Context,  # noqa: ARG001 - click's signature
    param: click.Parameter,
    values: Sequence[str],
) -> dict[str, str]:
    """NAME=VALUE, several times."""
    pairs = [value.partition("=") for value in values]
    if not all(name and value for name, _, value in pairs):
        raise click.BadParameter(f"write {param.metavar}")
    return {name: value for name, _, value in pairs}


@click.command("audit")
@data_option
@click.option("--gateway-dsn", metavar="DSN", help="The gateway's database, instead of --data.")
@click.option(
    "--ledger",
    "ledgers",
    metavar="NAME=DSN",
    multiple=True,
    callback=_named,
    help="A ledger's database, instead of --data. Without --gateway-dsn, the ledger by itself.",
)
@click.option(
    "--key",
    "keys",
    metavar="NAME=KEY",
    multiple=True,
    callback=_named,
    help="The pinned public key of a ledger: hex, or the file of its secret key.",
)
@click.option(
    "--earlier",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="What an earlier audit printed with --json: its blocks must be there unchanged.",
)
@click.option(
    "--unwinding",
    type=click.FloatRange(0),
    default=run.UNWINDING / 1e9,
    show_default=True,
    help="Seconds that a lock may stay open after it had to be resolved.",
)
@json_option
@run_async
async def command(
    data: Path,
    gateway_dsn: str | None,
    ledgers: dict[str, str],
    keys: dict[str, str],
    earlier: Path | None,
    unwinding: float,
    as_json: bool,
) -> int:
    """Check journal, ledgers and mailboxes against each other and against the signed blocks.

    Reads only, and may run beside the system. Exit code 0: nothing is wrong; 1: each finding is
    named in a line, with what was expected.
    """
    wanted = run.Wanted(unwinding=seconds(unwinding), earlier=_heads(earlier))
    with failing(AuditError, EmbeddedError):
        pinned = {name: places.key(text) for name, text in keys.items()}
        async with _places(data, gateway_dsn, ledgers) as found:
            merged = msgspec.structs.replace(found, keys={**found.keys, **pinned})
            report = await run.audit(merged, wanted, _Lines().show)
    if as_json:
        print_json(report)
    else:
        _print(report)
    return 0 if report.clean else 1


@asynccontextmanager
async def _places(
    data: Path, gateway_dsn: str | None, ledgers: dict[str, str]
) -> AsyncIterator[Places]:
    if gateway_dsn is None and not ledgers:
        async with places.of_data_directory(data) as found:
            yield found
    else:
        yield Places(gateway=gateway_dsn, ledgers=ledgers)


def _heads(earlier: Path | None) -> dict[str, Head]:
    if earlier is None:
        return {}
    try:
        return msgspec.json.decode(earlier.read_bytes(), type=Report).heads
    except (OSError, msgspec.DecodeError) as error:
        raise Failure(f"{earlier}: expected what `audit --json` printed: {error}") from None


class _Lines:
    """Says how far it is, now and then."""

    def __init__(self) -> None:
        self._shown_at = time.monotonic()

    def show(self, what: str, done: int, total: int) -> None:
        if time.monotonic() - self._shown_at >= SECONDS_BETWEEN_LINES and sys.stderr is not None:
            self._shown_at = time.monotonic()
            say(f"{what}: {done} of {max(done, total)}")


def _print(report: Report) -> None:
    rows = [(row.of, row.count, row.what, row.holds, row.findings or "") for row in report.checked]
    print_table(("of", "checked", "what", "expected", "findings"), rows)
    for head_of, head in report.heads.items():
        say(f"{head_of}: block {head.height}, hash {head.hash}")
    for note in report.notes:
        say(f"note: {note}")
    for excused in report.excused:
        say(f"excused, {excused.why}: {excused.finding.line()}")
    for line in lines(report.findings):
        click.echo(line)
    click.echo(_verdict(report))


def _verdict(report: Report) -> str:
    read = (
        f"{report.settlements} settlements and {report.postings} postings in {report.seconds:.1f} s"
    )
    if report.clean:
        return f"Nothing is wrong: {read}."
    shown = len(report.findings)
    more = f", {shown} of them shown" if shown < report.findings_total else ""
    return f"{report.findings_total} findings{more}: {read}."
