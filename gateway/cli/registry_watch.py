"""`lockstep registry watch`: a supervisor's eye on a network of registries."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
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
from gateway.process.life import until_stopped
from gateway.process.sockets import opened, url
from gateway.process.supervisor import Watch
from ledgers.icsd.compare import Gone
from ledgers.icsd.log import LogUnreachable
from ledgers.icsd.snapshot import JoinRefused
from ledgers.icsd.tree import ForgedProof


@click.command("watch")
@sources
@click.option("--once", is_flag=True, help="Look once, show everything, end.")
@click.option("--snapshot", is_flag=True, help="Begin at the first registry's last final block.")
@click.option("--every", type=float, default=5.0, show_default=True, help="Seconds between looks.")
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Serve /metrics, /livez, /readyz, /startupz there; 0: any free port.",
)
@click.option(
    "--metrics-host",
    default="127.0.0.1",
    show_default=True,
    metavar="HOST",
    help="The address to serve them at; 0.0.0.0: every one.",
)
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
    metrics_port: int | None,
    metrics_host: str,
    as_json: bool,
) -> int:
    """Follow a whole network, read-only: no key, no vote, no database.

    Every block is done again from the first on (or from a checked snapshot, with --snapshot), so
    what a quorum signs is compared with what comes out here. Shown: height and finality, each
    registry, each issue over all registries, evidence against who signed two things. What is wrong
    is said on standard error, and the exit code is 1 if anything was. SIGTERM ends it.
    """
    with failing(Gone, JoinRefused, LogUnreachable, ForgedProof):
        network, nodes = read(genesis, Genesis).network(), paired(urls, tokens)
        async with aiohttp.ClientSession() as session, AsyncExitStack() as stack:
            supervision = Supervision(network, [Remote(session, *node, tries=1) for node in nodes])
            watch = Watch(
                supervision, lambda sight: _show(sight, once=once, as_json=as_json), every
            )
            if metrics_port is not None:
                listening = opened(f"{metrics_host}:{metrics_port}")
                await stack.enter_async_context(watch.exposed(listening))
                say(f"metrics at {url(listening)}/metrics")
            if snapshot:
                say(f"begins at height {await supervision.begin_with_snapshot()}")
            if once:
                await watch.look()
            else:
                await until_stopped(watch.run(), lifeline=False)
    return 1 if watch.is_wrong else 0


def _show(sight: Sight, *, once: bool, as_json: bool) -> None:
    if as_json:
        print_json(_content(sight))
    elif once:
        _tables(sight)
    click.echo(_line(sight), err=as_json)
    for wrong in sight.wrong:
        say(f"WRONG ({wrong.fault}): {wrong.what}")


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
            "serves" if node.wrong is None else node.wrong.what,
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
                "wrong": None if node.wrong is None else node.wrong.what,
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
        "wrong": [{"fault": each.fault, "what": each.what} for each in sight.wrong],
    }
