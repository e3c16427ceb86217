"""`lockstep demo`: a day of trades through a throw-away world, with every outcome checked."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from gateway.cli import demo_cross_border
from gateway.cli.printing import print_json, print_table
from gateway.cli.terminal import failing, json_option, say
from gateway.cli.up import until_signalled
from gateway.client import GatewayUnreachableError, ProblemError
from gateway.demo import expected
from gateway.demo.day_run import Progress, Result, run
from gateway.demo.expected import DAY, Outcome, Sent, Trade
from gateway.machine.up import FAULTS
from gateway.machine.world import decimal_text

SECONDS_BETWEEN_LINES = 1.0
"""Without a terminal, progress is a line now and then."""


@click.command("demo")
@click.option("--brief", is_flag=True, help="Show the trades with a story, not the plain ones.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the world in this directory. [default: a temporary one]",
)
@click.option(
    "--cross-border",
    "across",
    is_flag=True,
    help="Instead: custodians of four countries, whose registries keep one book together.",
)
@json_option
def command(brief: bool, data: Path | None, across: bool, as_json: bool) -> int:
    """Run a business day of twelve custodians and check what became of every message.

    Starts what `lockstep up` starts, sends the day's ISO 20022 files, reads the outcomes from the
    custodians' mailboxes, and audits the books of the ledgers. Takes about fifteen seconds.

    With --cross-border the securities are on a network of four registries: one is killed half way
    and comes back, their views are compared block by block, holdings are proved, and a registry
    that has altered its own book is found out. About half a minute.
    """
    if across:
        return demo_cross_border.run(data, as_json)
    results: list[Result] = []

    async def demo() -> None:
        with _progress() as progress:
            results.append(await run(say, progress, data))

    with failing(GatewayUnreachableError, ProblemError, *FAULTS):
        if not until_signalled(demo()):
            return 130  # as a shell says it of one that was interrupted
    (result,) = results
    if as_json:
        print_json(_record(result))
    else:
        _print(result, brief)
    return 0 if result.is_as_expected else 1


# --- while it runs --------------------------------------------------------------------------------


@contextmanager
def _progress() -> Iterator[Progress]:
    day = expected.load()
    files = sum(1 for _ in DAY.glob("*/*.xml"))
    sides = [side for trade in day.trades for side in trade.sides]
    confirmations = sum(side.outcome is Outcome.SETTLED for side in sides)
    if not sys.stderr.isatty():
        yield _Lines(files, confirmations, len(sides))
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bars:
        yield _Live(bars, files, confirmations, len(sides))


class _Live:
    """Three bars on a terminal."""

    def __init__(self, bars: Bars, files: int, confirmations: int, sides: int) -> None:
        self._bars = bars
        self._sides = sides
        self._sent = bars.add_task("files sent", total=files)
        self._settled = bars.add_task("settlement confirmations", total=confirmations)
        self._met = bars.add_task("outcomes as expected", total=sides)

    def show(self, sent: int, settled: int, missing: int) -> None:
        self._bars.update(self._sent, completed=sent)
        self._bars.update(self._settled, completed=settled)
        self._bars.update(self._met, completed=self._sides - missing)


class _Lines:
    """A line when something has changed, for logs."""

    def __init__(self, files: int, confirmations: int, sides: int) -> None:
        self._totals = (files, confirmations, sides)
        self._shown: tuple[int, int, int] | None = None
        self._shown_at = 0.0

    def show(self, sent: int, settled: int, missing: int) -> None:
        files, confirmations, sides = self._totals
        now, state = time.monotonic(), (sent, settled, missing)
        due = now - self._shown_at >= SECONDS_BETWEEN_LINES or missing == 0
        if state == self._shown or not due:
            return
        self._shown, self._shown_at = state, now
        say(
            f"files sent {sent}/{files}, settlement confirmations {settled}/{confirmations}, "
            f"outcomes as expected {sides - missing}/{sides}"
        )


# --- afterwards -----------------------------------------------------------------------------------


def _print(result: Result, brief: bool) -> None:
    wrong = {id(difference.sent): difference.what for difference in result.differences}
    trades = result.day.trades
    columns = ("trade", "what", "deliverer", "receiver", "ISIN", "quantity", "EUR", "outcome")
    chosen = [t for t in trades if not brief or t.is_exceptional or _odd(t, wrong)]
    print_table(columns, [_row(trade, wrong) for trade in chosen])
    print_table(("what", "trades", "messages", "outcome"), _summary(trades))
    sums = ("ledger", "asset", "issued before", "after", "held", "locked", "difference")
    print_table(sums, list(_sums(result)))
    for fault in result.faults:
        say(f"the books are wrong: {fault}")
    for difference in result.differences:
        sent = difference.sent
        say(
            f"{sent.sender} {sent.reference or sent.file}: "
            f"{sent.outcome} expected, {difference.what}"
        )
    click.echo(_verdict(result))


def _odd(trade: Trade, wrong: Mapping[int, str]) -> bool:
    return any(id(side) in wrong for side in trade.sides)


def _summary(trades: Sequence[Trade]) -> list[tuple[object, ...]]:
    stories = Counter(trade.story for trade in trades)
    rows: list[tuple[object, ...]] = []
    for story, count in stories.most_common():
        sides = [side for trade in trades if trade.story == story for side in trade.sides]
        outcomes = dict.fromkeys(_outcome(side) for side in sides)
        rows.append((story, count, len(sides), ", ".join(outcomes)))
    return rows


def _outcome(side: Sent) -> str:
    return f"{side.outcome} {side.code}" if side.code else str(side.outcome)


def _row(trade: Trade, wrong: Mapping[int, str]) -> tuple[object, ...]:
    said = " | ".join(
        f"{side.sender[:4]} {_outcome(side)}"
        + (f", NOT AS EXPECTED: {wrong[id(side)]}" if id(side) in wrong else "")
        for side in trade.sides
    )
    sender = trade.deliverer or trade.sides[0].sender
    deal = (sender, trade.receiver, trade.isin, trade.quantity, trade.amount)
    return (trade.id, trade.story, *deal, said)


def _sums(result: Result) -> Iterator[tuple[object, ...]]:
    for name, ledger in result.world.ledgers.items():
        before = {position.asset: position for position in result.before[name].positions}
        for position in result.after[name].positions:
            scale = ledger.assets[position.asset].scale
            amounts = (
                before[position.asset].issued,
                position.issued,
                position.available,
                position.locked,
                position.difference,
            )
            texts = (decimal_text(int(amount), scale) for amount in amounts)
            yield (name, position.asset, *texts)


def _verdict(result: Result) -> str:
    sides = sum(len(trade.sides) for trade in result.day.trades)
    met = sides - len(result.differences)
    books = f"{len(result.faults)} faults in the books"
    if not result.faults:
        books = (
            "the books are right: issued amounts unchanged, every balance the sum of its trades, "
            "all legs of a settlement ended alike"
        )
    return (
        f"{met} of {sides} outcomes as expected; {books}.\n"
        f"{result.settled} trades settled: {result.unchained} that waited for no other in "
        f"{result.unchained_seconds:.2f} s, {result.unchained / result.unchained_seconds:.0f} a "
        f"second from the first file sent to the last confirmation read; the chains, and the last "
        f"outcome of all, after {result.seconds:.1f} s. {result.messages} messages were read."
    )


def _record(result: Result) -> dict[str, object]:
    return {
        "as_expected": result.is_as_expected,
        "trades": len(result.day.trades),
        "settled": result.settled,
        "attempts": result.settlements,
        "messages": result.messages,
        "seconds": round(result.seconds, 3),
        "unchained": result.unchained,
        "unchained_seconds": round(result.unchained_seconds, 3),
        "differences": [
            {
                "sender": d.sent.sender,
                "reference": d.sent.reference,
                "file": d.sent.file,
                "what": d.what,
            }
            for d in result.differences
        ],
        "faults": list(result.faults),
        "outcomes": result.day.trades,
        "books": {name: books.positions for name, books in result.after.items()},
    }
