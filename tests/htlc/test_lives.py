"""Random lives of whole settlements, thousands per protocol, with faults aimed at the instants
that matter: a decision just written, a key just sent. Each seed is a life; failures name theirs."""

from collections import Counter
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from htlc import invariants
from htlc.settlement import Phase
from htlc.swap import LockProtocol, Swap
from htlc.units import LedgerId
from tests.htlc.samples import (
    BUYER,
    LATENCY,
    LIMITS,
    RTGS,
    cross_swap,
    dvp_swap,
    hub_swap,
    ring_swap,
    with_secret,
)
from tests.htlc.world import Faults, World

HOSTILE = Faults(
    loss=0.3,
    doubling=0.2,
    straggler=0.1,
    straggle=400,
    crash=0.25,
    outage=1_500,  # three times as long as any expiry lies ahead
    ledger_outages=0.3,
    skew=40,  # eight times what was promised of the clocks
    poor=0.03,
    cancel=0.1,
    reorganised=0.2,
    heals_at=2_500,
)
"""No bound that the time budget knows is kept."""

WITHIN = Faults(
    loss=0.25,
    losses_in_row_max=1,
    doubling=0.2,
    straggler=0.1,
    straggle=20,
    crash=0.3,
    outage=70,  # two of these, and the time to catch up, are within `LIMITS.recovery`
    decision_outage=1_500,  # before the first key is shown, no outage is too long
    crashes_max=2,
    skew=5,
    poor=0.03,
    cancel=0.1,
    heals_at=3_000,
)
"""The worst that the expiries of `htlc` allow for."""

BEYOND = replace(HOSTILE, reorganised=0.0, skew=5)

Abilities = dict[LedgerId, str]


def lives(
    count: int,
    swap: Swap,
    protocol: LockProtocol,
    faults: Faults,
    abilities: Abilities | None = None,
) -> Iterator[tuple[int, World]]:
    """One life per seed, every second one with two replicas."""
    for seed in range(count):
        world = World(
            seed,
            swap,
            protocol,
            faults=faults,
            latency=LATENCY,
            limits=LIMITS,
            abilities=abilities,
            replicas=1 + seed % 2,
        )
        yield seed, world.run()


def assert_whole(lived: Iterator[tuple[int, World]]) -> None:
    """No violation in any life, every lock ended, and lives of both kinds among them."""
    ends: Counter[Phase] = Counter()
    for seed, world in lived:
        assert world.violations() == (), f"seed {seed}"
        assert len(world.phases) == 1, f"seed {seed}: replicas differ: {world.phases}"
        ends += Counter(world.phases)
    assert set(ends) == {Phase.SETTLED, Phase.CANCELLED}, ends


DVP, CASH_IS_HTLC = dvp_swap(), {RTGS: "htlc"}
PARTY = with_secret(DVP, BUYER)


@pytest.mark.parametrize(
    ("count", "swap", "protocol", "abilities"),
    [
        pytest.param(1_500, DVP, LockProtocol.TWO_KEY, None, id="two_key"),
        pytest.param(200, ring_swap(4), LockProtocol.TWO_KEY, None, id="two_key, ring of four"),
        pytest.param(700, DVP, LockProtocol.ANCHORED, None, id="anchored"),
        pytest.param(500, DVP, LockProtocol.ANCHORED, CASH_IS_HTLC, id="anchored by an htlc"),
        pytest.param(250, PARTY, LockProtocol.ANCHORED, None, id="anchored, a party's secret"),
        pytest.param(100, cross_swap(), LockProtocol.ANCHORED, CASH_IS_HTLC, id="anchored, 3 legs"),
    ],
)
def test_no_fault_of_any_length_makes_a_life_one_legged(
    count: int, swap: Swap, protocol: LockProtocol, abilities: Abilities | None
) -> None:
    assert_whole(lives(count, swap, protocol, HOSTILE, abilities))


@pytest.mark.parametrize(
    ("count", "swap", "abilities"),
    [
        pytest.param(1_000, DVP, {}, id="dvp"),
        pytest.param(100, cross_swap(), {}, id="cross-currency"),
        pytest.param(100, ring_swap(4), {}, id="ring of four"),
        pytest.param(100, hub_swap(), {}, id="two legs pay the leader"),
    ],
)
def test_within_its_time_budget_htlc_is_never_one_legged(
    count: int, swap: Swap, abilities: Abilities
) -> None:
    assert_whole(lives(count, swap, LockProtocol.HTLC, WITHIN, abilities))


def test_a_party_that_claims_in_its_last_instant_leaves_time_for_everybody() -> None:
    """Its right, and the worst that the windows between expiries are made for."""
    ends: Counter[Phase] = Counter()
    last = replace(WITHIN, late_claim=True, crash=0.7, decision_outage=0)
    for seed, world in lives(150, PARTY, LockProtocol.HTLC, last):
        assert world.violations() == (), f"seed {seed}"
        ends += Counter(world.phases)
    assert ends[Phase.SETTLED] > 50


def test_beyond_its_time_budget_htlc_is_one_legged_now_and_then() -> None:
    """The residual risk is real, the checks can see it, and every lock still ends."""
    broken = 0
    for seed, world in lives(300, DVP, LockProtocol.HTLC, BEYOND):
        found = {violation.invariant for violation in world.violations()}
        assert found <= {1}, f"seed {seed}"
        assert (Phase.BROKEN in world.phases) == bool(found), f"seed {seed}"
        broken += bool(found)
    assert broken > 10


@pytest.mark.parametrize("protocol", [LockProtocol.TWO_KEY, LockProtocol.ANCHORED])
def test_a_restore_that_loses_records_makes_no_life_one_legged(protocol: LockProtocol) -> None:
    """What stays frozen is resolved by operators whose evidence is right."""
    assert_whole(lives(250, DVP, protocol, replace(HOSTILE, restore=0.7, heals_at=1_500)))


def test_without_the_gate_of_finality_every_protocol_can_be_one_legged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rule 2: the same lives, with answers that claim to be final before they are."""
    monkeypatch.setattr("tests.htlc.world_ledger.FINAL_AT_ONCE", True)
    shaky = replace(HOSTILE, reorganised=0.5, crash=0.0)
    for protocol, abilities in (
        (LockProtocol.TWO_KEY, None),
        (LockProtocol.ANCHORED, CASH_IS_HTLC),
    ):
        assert any(
            invariants.one_end(world.agreement, world.contracts)
            or Phase.BROKEN in world.phases
            or world.violations()
            for _, world in lives(150, DVP, protocol, shaky, abilities)
        )
