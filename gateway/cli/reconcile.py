"""`lockstep reconcile`: hold each ledger against what it told before; breaks by age and amount."""

import asyncio
from datetime import timedelta
from typing import Final

import aiohttp
import click

from gateway.cli.printing import print_json, print_table
from gateway.cli.terminal import (
    Connection,
    connection_options,
    failing,
    json_option,
    run_async,
    say,
)
from gateway.client import GatewayClient, GatewayUnreachableError, ProblemError
from gateway.http.report_wire import BreakView, ReconciliationView

PAUSE_SECONDS: Final = 2.0
"""Between two questions whether a long run has ended."""

_BREAK: Final = (
    *("age", "amount", "ledger", "asset", "account"),
    *("kind", "expected", "found", "what"),
)


@click.command("reconcile")
@connection_options
@click.option("--ledger", metavar="NAME", help="[default: all that the operator may see]")
@click.option("--last", is_flag=True, help="Show where the last run left it; run nothing.")
@click.option(
    "--afresh",
    is_flag=True,
    help="Forget what the ledger told before and read all of it again: when a person has found "
    "that the ledger is right.",
)
@json_option
@run_async
async def command(
    connection: Connection, ledger: str | None, last: bool, afresh: bool, as_json: bool
) -> int:
    """Reconcile, as an operator: what was issued, what accounts hold, what postings come to.

    Exit code 0: everything agrees; 1: a break is open. An open break stops new locks of its asset.
    """
    if last and afresh:
        raise click.UsageError("--last runs nothing: leave out --afresh")
    asked = ({"ledger": ledger} if ledger else {}) | ({"afresh": True} if afresh else {})
    with failing(GatewayUnreachableError, ProblemError):
        async with aiohttp.ClientSession() as session:
            gateway = GatewayClient(session, connection.url, connection.token)
            view = await (gateway.reconciliation() if last else gateway.reconcile(asked))
            while view.running and not last:
                await asyncio.sleep(PAUSE_SECONDS)
                view = await gateway.reconciliation()
    if as_json:
        print_json(view)
    else:
        _print(view)
    return 0 if view.agreed and not any(each.failure for each in view.ledgers) else 1


def _print(view: ReconciliationView) -> None:
    columns = ("ledger", "asset", "issued", "held", "locked", "told", "as of")
    print_table(
        columns,
        [
            (run.ledger, t.asset, t.issued, t.held, t.locked, t.told, run.ended_at)
            for run in view.ledgers
            for t in run.totals
        ],
    )
    for run in view.ledgers:
        if run.failure is not None:
            say(f"{run.ledger} was not reconciled: {run.failure}")
        elif run.ended_at is None:
            say(f"{run.ledger} was never reconciled")
    open_now = [each for each in view.breaks if each.lifted_at is None]
    if open_now:
        # The oldest first; of one age, the largest.
        rows = sorted(open_now, key=lambda each: (each.first_seen_at, -abs(float(each.amount))))
        print_table(_BREAK, [_row(each) for each in rows])
    click.echo(_verdict(view, len(open_now)))


def _row(each: BreakView) -> tuple[object, ...]:
    age = timedelta(seconds=int(each.age_seconds))
    return (
        age,
        each.amount,
        each.ledger,
        each.asset or "(all)",
        each.account or "(all)",
        each.kind,
        each.expected,
        each.found,
        each.what,
    )


def _verdict(view: ReconciliationView, count: int) -> str:
    if count:
        return f"{count} breaks are open: nothing new is locked of these assets."
    return "Everything agrees." if any(run.ended_at for run in view.ledgers) else "Nothing was run."
