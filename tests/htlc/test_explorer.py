"""Exhaustive: every life of a DvP within the explorer's bounds, for each lock protocol."""

from collections import Counter
from collections.abc import Callable
from functools import cache

import pytest

from htlc import invariants
from htlc.contract import Status
from htlc.explorer import Explorer, World
from htlc.settlement import Phase, Settlement
from tests.htlc import samples
from tests.htlc.samples import key_of

Sample = Callable[..., Settlement]

SAFE = [
    pytest.param(samples.two_key, False, 23_000, id="two_key"),
    pytest.param(samples.two_key, True, 33_000, id="two_key, restored"),
    pytest.param(samples.anchored, True, 20_000, id="anchored, restored"),
    pytest.param(samples.anchored_htlc, False, 19_000, id="anchored by an htlc"),
    pytest.param(samples.anchored_htlc, True, 29_000, id="anchored by an htlc, restored"),
    pytest.param(samples.anchored_party, True, 17_000, id="anchored, a party's secret, restored"),
]
"""The protocols without principal risk, and how many worlds the search must at least see: a search
that sees fewer has lost a kind of step, and proves nothing."""

RISKY = [
    pytest.param(samples.htlc, 17_000, id="htlc"),
    pytest.param(samples.htlc_party, 13_000, id="htlc, a party holds the secret"),
]


@cache
def explored(sample: Sample, restores: bool, short: bool) -> tuple[Explorer, list[World]]:
    state = sample(limits=samples.SHORT) if short else sample()
    explorer = Explorer(
        state.swap, state.agreed, lambda n, role: key_of(state, n, role), restores=restores
    )
    return explorer, list(explorer.explore())


def one_legged(explorer: Explorer, worlds: list[World]) -> list[World]:
    return [w for w in worlds if invariants.one_end(explorer.agreement, explorer.held(w))]


@pytest.mark.parametrize(("sample", "restores", "floor"), SAFE)
def test_no_life_is_one_legged(sample: Sample, restores: bool, floor: int) -> None:
    explorer, worlds = explored(sample, restores, restores)
    assert len(worlds) >= floor
    assert [explorer.trace(world) for world in one_legged(explorer, worlds)] == []
    ends = Counter(explorer.state(world).phase for world in worlds)
    assert ends[Phase.SETTLED] and ends[Phase.CANCELLED] and not ends[Phase.BROKEN]


@pytest.mark.parametrize(("sample", "restores", "floor"), SAFE)
def test_every_life_ends_once_nothing_fails_any_more(
    sample: Sample, restores: bool, floor: int
) -> None:
    explorer, worlds = explored(sample, restores, restores)
    frozen = 0
    for end in {explorer.heal(world) for world in worlds}:
        state = explorer.state(end)
        frozen += state.frozen
        held = [c.status for c in explorer.held(end) if c is not None]
        assert state.frozen or Status.LOCKED not in held, state
        assert state.frozen or state.ended or state.phase is Phase.PROPOSED, state
    assert bool(frozen) == (restores and sample is samples.two_key)


@pytest.mark.parametrize(("sample", "restores", "floor"), SAFE)
def test_an_execution_key_leaves_only_when_every_leg_is_locked(
    sample: Sample, restores: bool, floor: int
) -> None:
    explorer, worlds = explored(sample, restores, restores)
    seen = 0
    for world in worlds:
        if any(verb == "execute" for _, verb in world.sent):
            seen += 1
            assert all(explorer.held(world)), world
    assert seen


@pytest.mark.parametrize(("sample", "restores", "floor"), SAFE)
def test_both_keys_of_one_pair_are_never_sent(sample: Sample, restores: bool, floor: int) -> None:
    """A restored anchor with two keys may have both out: it ends once, and the rest follows it."""
    explorer, worlds = explored(sample, restores, restores)
    both = 0
    for world in worlds:
        sent = {(explorer.agreement.legs[leg].pair, verb) for leg, verb in world.sent}
        both += any((pair, "execute") in sent and (pair, "cancel") in sent for pair, _ in sent)
        assert not invariants.keys_apart(explorer.agreement, explorer.held(world))
    assert bool(both) == (restores and sample is samples.anchored)


@pytest.mark.parametrize(("sample", "floor"), RISKY)
def test_without_a_bound_on_the_outage_htlc_can_end_one_legged(sample: Sample, floor: int) -> None:
    """The search can see what it is looking for; and what is broken keeps working until no lock
    is left."""
    explorer, worlds = explored(sample, False, True)
    assert len(worlds) >= floor
    assert one_legged(explorer, worlds)
    ends = {explorer.heal(world) for world in worlds}
    assert {explorer.state(end).phase for end in ends} >= {Phase.SETTLED, Phase.BROKEN}
    for end in ends:
        assert Status.LOCKED not in [c.status for c in explorer.held(end) if c is not None]


def test_a_backstop_is_one_legged_only_when_a_committed_leg_was_still_locked_at_it() -> None:
    """Rule 9, and nothing else brings it about."""
    state = samples.two_key(limits=samples.SHORT_BACKSTOP)
    explorer = Explorer(state.swap, state.agreed, lambda n, role: key_of(state, n, role))
    worlds = list(explorer.explore())
    assert len(worlds) > 40_000
    broken = one_legged(explorer, worlds)
    assert broken
    for world in broken:
        assert explorer.state(world).decision is not None
        assert ("execute" in {verb for _, verb in world.sent}) and not any(
            verb == "cancel" for _, verb in world.sent
        )
        late = [n for n, c in enumerate(explorer.held(world)) if c and c.status is Status.CANCELLED]
        expiries = [explorer.agreement.legs[n].terms.expires_at for n in late]
        times = [explorer.instants[n][world.times[n]] for n in late]
        assert all(at >= (expiry or 0) for at, expiry in zip(times, expiries, strict=True))
