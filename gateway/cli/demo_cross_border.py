"""`lockstep demo --cross-border`: what was seen, as tables for people or JSON for programs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import asyncpg
import click

from gateway.cli.printing import print_json, print_table
from gateway.cli.terminal import failing, say
from gateway.cli.up import until_signalled
from gateway.client import GatewayUnreachableError, ProblemError
from gateway.demo import cross_border
from gateway.demo.cross_border import Result, Row
from gateway.demo.cross_border_trades import LEDGER, country
from gateway.machine.up import FAULTS
from gateway.machine.world import decimal_text
from ledgers.icsd.tree import ForgedProof

HEIGHTS_SHOWN: Final = 6
"""The last ones with messages; all are compared."""

SHORT: Final = 12
"""Characters shown of a hash of 64: enough to see that two differ."""


def run(data: Path | None, as_json: bool) -> int:
    """The demonstration and its report; the exit code."""
    results: list[Result] = []

    async def demo() -> None:
        results.append(await cross_border.run(say, data))

    faults = (GatewayUnreachableError, ProblemError, asyncpg.PostgresError, ForgedProof, *FAULTS)
    with failing(*faults):
        if not until_signalled(demo()):
            return 130  # as a shell says it of one that was interrupted
    (result,) = results
    if as_json:
        print_json(_record(result))
    else:
        _print(result)
    return 1 if result.faults else 0


def _print(result: Result) -> None:
    print_table(("from", "to", "trades", "currencies"), list(_flows(result)))
    registries = list(result.rows[0].states)
    print_table(("height", "messages", *registries, "equal"), list(_heights(result.rows)))
    print_table(("ISIN", "issued", "issuer", *registries), list(_issues(result, registries)))
    print_table(
        ("account", "home", "ISIN", "told by its own", "proved by another"), [_alteration(result)]
    )
    for fault in result.faults:
        say(f"not as it must be: {fault}")
    click.echo(_verdict(result))


def _flows(result: Result) -> Iterator[tuple[object, ...]]:
    world = result.world
    flows: Counter[tuple[str, str]] = Counter()
    currencies: dict[tuple[str, str], set[str]] = {}
    for trade in result.trades:
        way = country(world, trade.seller), country(world, trade.buyer)
        flows[way] += 1
        currencies.setdefault(way, set()).add(trade.currency)
    for way, count in sorted(flows.items()):
        yield (*way, count, ", ".join(sorted(currencies[way])))


def _heights(rows: Sequence[Row]) -> Iterator[tuple[object, ...]]:
    for row in [row for row in rows if row.messages][-HEIGHTS_SHOWN:]:
        states = (state[:SHORT] for state in row.states.values())
        yield (row.height, row.messages, *states, "yes" if row.is_equal else "NO")


def _issues(result: Result, registries: list[str]) -> Iterator[tuple[object, ...]]:
    assets = result.world.ledgers[LEDGER].assets
    for issue in result.issues:
        scale = assets[issue.asset].scale
        held = {str(part.registry): decimal_text(part.held, scale) for part in issue.parts}
        issued = decimal_text(issue.issued, scale)
        yield (issue.asset, issued, issue.registry, *(held.get(name, "") for name in registries))


def _alteration(result: Result) -> tuple[object, ...]:
    seen = result.alteration
    scale = result.world.ledgers[LEDGER].assets[seen.isin].scale
    told, proved = decimal_text(seen.told, scale), decimal_text(seen.proved, scale)
    return (seen.account, seen.account.partition("-")[0], seen.isin, told, proved)


def _verdict(result: Result) -> str:
    equal = sum(row.is_equal for row in result.rows)
    right = sum(proof.held == proof.expected.quantity for proof in result.proofs)
    return (
        f"{result.settled // 2} of {len(result.trades)} trades settled in {result.seconds:.1f} s, "
        f"{result.killed_at} of them before the node of {cross_border.KILLED} was killed; it was "
        f"back with all that is final within {result.back_seconds:.1f} s.\n"
        f"{equal} of {len(result.rows)} heights are equal at all registries, block and state, each "
        f"signed by a quorum; {right} of {len(result.proofs)} holdings proved by another registry "
        f"are what the trades make of them; {len(result.issues)} issues are whole.\n"
        f"An altered database of {cross_border.ALTERED} was found out by a proof from elsewhere; "
        f"an altered proof was refused: {result.alteration.refusal}."
    )


def _record(result: Result) -> dict[str, object]:
    return {
        "as_expected": not result.faults,
        "trades": len(result.trades),
        "settled": result.settled // 2,
        "seconds": round(result.seconds, 3),
        "settled_before_kill": result.killed_at,
        "back_seconds": round(result.back_seconds, 3),
        "heights": len(result.rows),
        "heights_equal": sum(row.is_equal for row in result.rows),
        "head": result.rows[-1],
        "proofs": len(result.proofs),
        "issues": len(result.issues),
        "alteration": result.alteration,
        "faults": result.faults,
    }
