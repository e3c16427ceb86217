"""`lockstep registry watch`: a supervisor's eye on a network of registries."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import click

from gateway.cli.printing import print_json, print_table
from gateway.cli.registry_verify import paired, sources
from gateway.cli.terminal import failing, json_option, run_async, say
from gateway.config import read
from gateway.icsd_node.remote import Remote
from gateway.icsd_node.settings import Genesis
from gateway.icsd_node.supervision import Sight, Supervision
from htlc.units import Instant
from ledgers.icsd.compare import Gone
from ledgers.icsd.log import LogUnreachable
from ledgers.icsd.snapshot import JoinRefused
from ledgers.icsd.tree import ForgedProof


@click.command("watch")
@sources
@click.option("--once", is_flag=True, help="Look once, show everything, end.")
@click.option("--snapshot", is_flag=True, help="Begin at the first registry's last final block.")
@click.option("--every", type=float, default=5.0, show_default=True, help="Seconds between looks.")
@json_option
@run_async
async def command(
    *,
    genesis: Path,
    urls: tuple[str, ...],
    tokens: tuple[Path, ...],
    once: bool,
    snapshot: bool,
    every: float,
    as_json: bool,
) -> int:
    """Follow a whole network, read-only: no key, no vote, no database.

    Every block is done again from the first on (or from a checked snapshot, with --snapshot), so
    what a quorum signs is compared with what comes out here. Shown: height and finality, each
    registry, each issue over all registries, evidence against who signed two things. What is wrong
    is said on standard error, and the exit code is 1 if anything was.
    """
    is_wrong = False
    with failing(Gone, JoinRefused, LogUnreachable, ForgedProof):
        network, nodes = read(genesis, Genesis).network(), paired(urls, tokens)
        async with aiohttp.ClientSession() as session:
            supervision = Supervision(network, [Remote(session, *node, tries=1) for node in nodes])
            if snapshot:
                say(f"begins at height {await supervision.begin_with_snapshot()}")
            while True:
                sight = await supervision.look(Instant(time.time_ns()))
                is_wrong |= bool(sight.wrong)
                _show(sight, once=once, as_json=as_json)
                if once:
                    return 1 if is_wrong else 0
                await asyncio.sleep(every)


def _show(sight: Sight, *, once: bool, as_json: bool) -> None:
    if as_json:
        print_json(_content(sight))
    elif once:
        _tables(sight)
    click.echo(_line(sight), err=as_json)
    for what in sight.wrong:
        say(f"WRONG: {what}")


def _line(sight: Sight) -> str:
    whole = sum(issue.is_whole for issue in sight.issues)
    return (
        f"height {sight.height}, final {sight.final}, {sight.lag_seconds:.1f} s behind the clock; "
        f"{whole} of {len(sight.issues)} issues whole; {len(sight.wrong)} things wrong"
    )


def _tables(sight: Sight) -> None:
    nodes = [
        (
            node.url,
            None if node.head is None else node.head.registry,
            None if node.head is None else node.head.final,
            node.wrong or "serves",
        )
        for node in sight.nodes
    ]
    print_table(("asked", "registry", "final", "state"), nodes)
    signed = [(each.registry, each.height or "none") for each in sight.signed]
    print_table((f"member of epoch {sight.epoch}", "last seen in a certificate of"), signed)
    print_table(("issue", "issuer", "issued", "held", "whole"), list(map(_issue_row, sight.issues)))


def _issue_row(issue: Any) -> Sequence[object]:
    held = ", ".join(f"{part.registry} {part.held:,}" for part in issue.parts)
    issued = f"{issue.issued:,}"
    return issue.asset, issue.registry, issued, held, "yes" if issue.is_whole else "NO"


def _content(sight: Sight) -> dict[str, Any]:
    return {
        "height": str(sight.height),
        "final": str(sight.final),
        "epoch": str(sight.epoch),
        "lag_seconds": round(sight.lag_seconds, 3),
        "nodes": [
            {
                "url": node.url,
                "registry": None if node.head is None else node.head.registry,
                "final": None if node.head is None else str(node.head.final),
                "wrong": node.wrong,
            }
            for node in sight.nodes
        ],
        "signed": {each.registry: str(each.height) for each in sight.signed},
        "issues": [
            {
                "isin": issue.asset,
                "registry": issue.registry,
                "issued": str(issue.issued),
                "held": {part.registry: str(part.held) for part in issue.parts},
                "whole": issue.is_whole,
            }
            for issue in sight.issues
        ],
        "wrong": list(sight.wrong),
    }
