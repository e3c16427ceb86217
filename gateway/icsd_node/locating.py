"""A registry that stopped asks the others where its book differs, and says so.

It compares the book in its memory, as the block left it that a quorum certified otherwise, with
another registry's trees at that height (`ledgers.icsd.compare`). The database is not looked at:
that has final blocks only (`lockstep registry check`).
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from gateway.icsd_node.archive import RemoteArchive
from gateway.icsd_node.moments import RemotePeer
from gateway.icsd_node.remote import Remote
from htlc.units import Duration
from ledgers.icsd.client import LightClient
from ledgers.icsd.compare import Compared, Gone, compare
from ledgers.icsd.descent import TooDifferent
from ledgers.icsd.log import LogUnreachable
from ledgers.icsd.node import Node
from ledgers.icsd.start import Network
from ledgers.icsd.tree import ForgedProof

PATIENCE_SECONDS: Final = 60.0
"""Until the height is final at the others: twelve heartbeats."""

PAUSE_SECONDS: Final = 1.0

TOLD_MAX: Final = 20
"""Rows that are told of; `check` shows all."""


async def located(node: Node, network: Network, peers: Sequence[Remote]) -> list[str]:
    """What differs, a line each, by the first of the peers that can show it; or why nobody can."""
    begun, why = time.monotonic(), "no other registry is configured (`[[peers]]`)"
    while peers:
        for peer in peers:
            try:
                return _told(peer, await _compared(node, network, peer))
            except (ForgedProof, Gone, LogUnreachable, TooDifferent) as error:
                why = str(error)
        if time.monotonic() > begun + PATIENCE_SECONDS:
            break
        await asyncio.sleep(PAUSE_SECONDS)
    return [f"where the book differs is not known: {why}"]


async def _compared(node: Node, network: Network, peer: Remote) -> Compared:
    view = node.replica.view
    members = LightClient(network.network, network.epoch, Duration(0))
    members.follow_all(await RemoteArchive(peer).lineage())
    rows = view.tables.everything(view.place)
    return await compare(rows, RemotePeer(peer), view.height, members)


def _told(peer: Remote, found: Compared) -> list[str]:
    if not found.differences:
        return [
            f"by {peer.url} every row is right after block {found.height}: what was hashed of them "
            "was not; start again"
        ]
    lines = [str(each) for each in found.differences[:TOLD_MAX]]
    more = len(found.differences) - len(lines)
    return [*lines, f"and {more} more rows"] if more else lines
