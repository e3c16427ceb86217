"""Settlements that are open and stay so: proposals of which one payer has not consented yet."""

from typing import Final

from gateway.bench.bodies import Bodies, array
from gateway.bench.connection import Connection, post, post_head
from gateway.bench.plan import Site
from gateway.bench.system import BenchError
from gateway.bench.trade import Trade, quantities
from gateway.ids import new_id

BATCH: Final = 500
"""As many as a gateway takes in one request."""


async def open_settlements(site: Site, count: int) -> None:
    """Propose so many. Whoever never consents is their second party; they wait for an hour, which
    is the gateway's default, and are in its memory meanwhile. BenchError if they are not taken."""
    if site.absent is None:
        raise BenchError("--open takes a member that has given no power of attorney")
    bodies = Bodies(site)
    lanes = [lane for group in site.groups for lane in group]
    connection = await Connection.open(site.gateway)
    try:
        for start in range(0, count, BATCH):
            number = start // BATCH
            first = lanes[number % len(lanes)].parties[0]
            token = site.members[first.member].token
            head = post_head("/v1/settlements", token, "application/json")
            proposals = [
                bodies.waiting(_trade(site, number, number * BATCH + n))
                for n in range(min(BATCH, count - start))
            ]
            status, answer = await connection.exchange(post(head, array(proposals)))
            if status != 202 or answer.count(b'"PROPOSED"') != len(proposals):
                raise BenchError(f"--open: not taken (status {status}): {answer[:300]!r}")
    finally:
        await connection.close()


def _trade(site: Site, lane_number: int, number: int) -> Trade:
    lanes = [lane for group in site.groups for lane in group]
    lane = lanes[lane_number % len(lanes)]
    assert site.absent is not None, "asked before"
    first, _, *others = lane.parties
    return Trade(
        id=new_id(),
        lane=type(lane)(assets=lane.assets, parties=(first, site.absent, *others)),
        reverse=False,
        quantities=quantities(number, len(lane.assets)),
    )
