"""Four registries as real processes: killed, cut off, robbed of database and log. The short form of
`python -m tests.system.registries`, with one log server and each kind of fault that does not wait
for others."""

import os
import random

import pytest

from tests.system.mortal_node import POINTS
from tests.system.registries import campaign

PLAN = (
    ("nodes_killed_at_messages",),
    ("server_killed", "node_killed"),
    ("database_killed",),
    ("two_nodes_killed", "line_cut"),
)

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]


async def test_nothing_acknowledged_is_lost_doubled_or_reordered_or_answered_twice() -> None:
    seed = int(os.environ.get("LOCKSTEP_SEED", "0")) or random.SystemRandom().getrandbits(32)
    deaths = await campaign(PLAN, 1, seed, print)
    assert set(deaths) == set(POINTS), "a node died at each point in the life of a message"
