"""The time arithmetic of `htlc`, checked by hand and exact to one tick."""

from collections.abc import Sequence

import pytest

from htlc import contract, schedule
from htlc.agreement import Role
from htlc.contract import Htlc, Refusal
from htlc.diagram import README
from htlc.schedule import Latency, Schedule
from htlc.swap import Leg, Swap
from htlc.units import Duration, Instant, MemberId
from tests.htlc import samples
from tests.htlc.samples import (
    KEYS,
    amount,
    cross_swap,
    dvp_swap,
    hub_swap,
    key_of,
    party,
    ring_swap,
)

FAST = Latency(finality=Duration(2), lookup=Duration(3), delivery=Duration(4), skew=Duration(1))
SLOW = Latency(finality=Duration(60), lookup=Duration(10), delivery=Duration(20), skew=Duration(5))
RECOVERY = Duration(100)
BY = Instant(1_000)

# window(i, j) = finality_i + 2 lookup_i + skew_i + recovery + delivery_j + skew_j
FAST_FAST = 2 + 6 + 1 + 100 + 4 + 1
FAST_SLOW = 2 + 6 + 1 + 100 + 20 + 5
SLOW_FAST = 60 + 20 + 5 + 100 + 4 + 1


def drawn(swap: Swap, latencies: Sequence[Latency], leader: str) -> Schedule:
    return schedule.draw(
        swap.legs, latencies, MemberId(leader), recovery=RECOVERY, first_claim_by=BY
    )


def faults(
    legs: Sequence[Leg], latencies: Sequence[Latency], leader: str, at: Sequence[int]
) -> list[str]:
    found = schedule.faults(
        legs, latencies, MemberId(leader), [Instant(x) for x in at], recovery=RECOVERY
    )
    return [fault.field for fault in found]


def test_the_windows_are_what_their_definition_says() -> None:
    assert schedule.window(FAST, FAST, RECOVERY) == FAST_FAST == 114
    assert schedule.window(FAST, SLOW, RECOVERY) == FAST_SLOW == 134
    assert schedule.window(SLOW, FAST, RECOVERY) == SLOW_FAST == 190
    assert FAST.claim == 4 + 2 + 6 + 1


def test_two_legs() -> None:
    """The seller leads: the cash that pays it expires first, with its window and its claim left."""
    plan = drawn(dvp_swap(), [FAST, SLOW], "SELLER")
    slow_claim = 20 + 60 + 20 + 5
    assert plan.margin == (FAST.claim, SLOW_FAST)
    assert plan.expires_at[1] == BY + SLOW_FAST + slow_claim
    assert plan.expires_at[0] == plan.expires_at[1] + SLOW_FAST
    assert plan.outage_max == RECOVERY


def test_a_ring_of_four_has_one_window_per_hop() -> None:
    plan = drawn(ring_swap(4), [FAST] * 4, "M0")
    first = BY + FAST_FAST + FAST.claim
    # M0 leads and is paid by M3; M3 is paid by M2, and so on backwards.
    assert plan.expires_at == (
        first + 3 * FAST_FAST,
        first + 2 * FAST_FAST,
        first + FAST_FAST,
        first,
    )


def test_three_legs_in_two_currencies() -> None:
    """Securities seller to buyer, one currency buyer to dealer, the other dealer to seller."""
    plan = drawn(cross_swap(), [FAST, SLOW, FAST], "SELLER")
    first = BY + FAST_SLOW + FAST.claim
    # A window after the first would be enough for the slow leg; its own margin and claim are more.
    second = BY + SLOW_FAST + SLOW.claim
    assert second > first + FAST_SLOW
    assert plan.expires_at == (second + SLOW_FAST, second, first)
    assert plan.margin == (FAST.claim, SLOW_FAST, FAST_SLOW)


def test_the_rank_of_a_leg_is_its_longest_path_to_the_leader() -> None:
    a, b, c = party("A"), party("B"), party("C")
    x = amount(samples.CSD, "X")
    legs = (x.leg("AB", a, b), x.leg("BC", b, c), x.leg("BA", b, a), x.leg("CA", c, a))
    assert schedule.ranks(legs, MemberId("A")) == (2, 1, 0, 0)


def test_a_swap_with_two_leaders_offers_both() -> None:
    """Two cycles that share two parties: removing either leaves no cycle."""
    a, b, c = party("A"), party("B"), party("C")
    x = amount(samples.CSD, "X")
    legs = (x.leg("AB", a, b), x.leg("BA", b, a), x.leg("BC", b, c), x.leg("CA", c, a))
    assert schedule.leaders(legs) == (MemberId("A"), MemberId("B"))
    assert set(schedule.leaders(dvp_swap().legs)) == {MemberId("SELLER"), MemberId("BUYER")}
    assert schedule.leaders(hub_swap().legs) == (MemberId("HUB"),)


def test_a_swap_in_which_every_party_can_be_avoided_by_a_cycle_has_no_leader() -> None:
    a, b, c = party("A"), party("B"), party("C")
    x = amount(samples.CSD, "X")
    legs = tuple(
        x.leg(f"{p.member}{q.member}", p, q) for p in (a, b, c) for q in (a, b, c) if p != q
    )
    assert schedule.leaders(legs) == ()
    assert schedule.ranks(legs, MemberId("A")) is None


@pytest.mark.parametrize(
    ("swap", "leader"),
    [(dvp_swap(), "SELLER"), (cross_swap(), "DEALER"), (ring_swap(4), "M2"), (hub_swap(), "HUB")],
)
def test_what_is_drawn_is_sound_and_one_tick_less_on_any_leg_is_not(
    swap: Swap, leader: str
) -> None:
    latencies = [FAST] * len(swap.legs)
    plan = drawn(swap, latencies, leader)
    assert faults(swap.legs, latencies, leader, plan.expires_at) == []
    first = schedule.first_claimed(swap.legs, MemberId(leader), plan.expires_at)
    assert [n for n, at in enumerate(plan.expires_at) if at == min(plan.expires_at)] == [first]
    for n in range(len(swap.legs)):
        less = [at - (i == n) for i, at in enumerate(plan.expires_at)]
        later = [at + (i == n) for i, at in enumerate(plan.expires_at)]
        # Earlier is unsafe after what comes before it; for the first leg, later is unsafe.
        assert faults(swap.legs, latencies, leader, later if n == first else less) != []


@pytest.mark.parametrize(("tick", "outcome"), [(0, "executed"), (1, Refusal.EXPIRED)])
def test_one_tick_less_than_the_window_is_one_legged(tick: int, outcome: object) -> None:
    """The worst that the budget allows, on real contracts: leg i is claimed on its last tick by a
    clock as slow as it may be; all that follows takes its longest; the clock of j is as fast."""
    i, j = SLOW, FAST
    leg_i, leg_j = samples.htlc().agreed.legs[1].terms, samples.htlc().agreed.legs[0].terms
    expires_i = leg_i.expires_at
    assert expires_i is not None
    expires_j = expires_i + schedule.window(i, j, RECOVERY) - tick
    held_i = contract.lock(leg_i, samples.NOW)
    held_j = contract.lock(_expiring(leg_j, expires_j), samples.NOW)
    assert isinstance(held_i, Htlc) and isinstance(held_j, Htlc)
    key = key_of(samples.htlc(), 0, Role.EXECUTION, KEYS)

    claimed_at = expires_i - 1
    assert isinstance(contract.execute(held_i, key, Instant(claimed_at)), Htlc)
    true_time = claimed_at + i.skew
    found = true_time + i.finality + 2 * i.lookup
    arrives = found + RECOVERY + j.delivery
    claimed = contract.execute(held_j, key, Instant(arrives + j.skew))
    assert claimed == outcome if tick else isinstance(claimed, Htlc)


def _expiring(terms: contract.Terms, at: int) -> contract.Terms:
    fields = {name: getattr(terms, name) for name in terms.__struct_fields__}
    return contract.Terms(**(fields | {"expires_at": Instant(at)}))


def test_expiries_of_the_parties_are_kept_and_the_others_follow_them() -> None:
    swap = dvp_swap()
    early = tuple(
        samples.with_expiry(leg, 2_000) if leg.leg == "CASH" else leg for leg in swap.legs
    )
    plan = schedule.draw(
        early, [FAST, FAST], MemberId("SELLER"), recovery=RECOVERY, first_claim_by=BY
    )
    assert plan.expires_at == (2_000 + FAST_FAST, 2_000)


def test_the_first_leg_is_the_one_that_a_party_wants_to_expire_soonest() -> None:
    hub = hub_swap()
    early = tuple(samples.with_expiry(leg, 1_200) if leg.leg == "IN2" else leg for leg in hub.legs)
    plan = schedule.draw(
        early, [FAST] * 4, MemberId("HUB"), recovery=RECOVERY, first_claim_by=Instant(1_000)
    )
    assert min(plan.expires_at) == plan.expires_at[2] == 1_200
    assert plan.expires_at[0] == 1_200 + FAST_FAST
    assert faults(early, [FAST] * 4, "HUB", plan.expires_at) == []


def test_the_outage_that_costs_nothing_is_what_the_tightest_hop_leaves() -> None:
    swap = dvp_swap()
    legs = tuple(
        samples.with_expiry(leg, at) for leg, at in zip(swap.legs, (2_500, 2_000), strict=True)
    )
    plan = schedule.draw(
        legs, [FAST, FAST], MemberId("SELLER"), recovery=RECOVERY, first_claim_by=BY
    )
    assert plan.outage_max == 500 - (FAST_FAST - RECOVERY)
    ring = ring_swap(3).legs
    uneven = [
        samples.with_expiry(leg, at) for leg, at in zip(ring, (3_000, 2_300, 2_000), strict=True)
    ]
    plan = schedule.draw(uneven, [FAST] * 3, MemberId("M0"), recovery=RECOVERY, first_claim_by=BY)
    assert plan.outage_max == 300 - (FAST_FAST - RECOVERY)


def test_the_example_of_the_readme() -> None:
    second = 1_000_000_000
    ten = 10 * 3_600 * second

    def latency(finality: int) -> Latency:
        return Latency(
            finality=Duration(finality * second),
            lookup=Duration(second),
            delivery=Duration(2 * second),
            skew=Duration(second),
        )

    plan = schedule.draw(
        dvp_swap().legs,
        [latency(0), latency(12)],
        MemberId("SELLER"),
        recovery=Duration(120 * second),
        first_claim_by=Instant(ten),
    )
    assert plan.margin == (5 * second, 138 * second)
    assert plan.expires_at == (ten + 293 * second, ten + 155 * second)
    text = README.read_text()
    for told in ("10:02:35", "10:04:53", "10:00:17"):
        assert told in text


def test_the_first_claim_leaves_time_for_what_else_the_leader_is_paid() -> None:
    """The hub leads and may die between its two claims: the first of them has a window, too."""
    hub = hub_swap()
    latencies = [FAST, FAST, SLOW, SLOW]
    plan = drawn(hub, latencies, "HUB")
    first = schedule.first_claimed(hub.legs, MemberId("HUB"), plan.expires_at)
    other = 2 - first
    assert {first, other} == {0, 2}, "IN1 and IN2 pay the hub"
    step = schedule.window(latencies[first], latencies[other], RECOVERY)
    assert plan.margin[first] >= step
    assert plan.expires_at[other] - plan.expires_at[first] >= step
    assert plan.outage_max == RECOVERY
