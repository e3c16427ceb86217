"""Four registries as real processes: killed, cut off, robbed of database and log. The short form of
`python -m tests.system.registries`, with one log server and each kind of fault that does not wait
for others."""

import os
import random

import pytest

from tests.system.registries import campaign

PLAN = (
    ("node_killed",),
    ("server_killed", "node_killed"),
    ("database_killed",),
    ("two_nodes_killed", "line_cut"),
)

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]


async def test_nothing_acknowledged_is_lost_doubled_or_reordered() -> None:
    seed = int(os.environ.get("LOCKSTEP_SEED", "0")) or random.SystemRandom().getrandbits(32)
    load = await campaign(PLAN, 1, seed, print)
    assert all(one.answered for one in load.asked) and len(load.asked) > 20
