"""Random lives of whole settlements (`gateway.simulation`), hundreds per protocol, with faults
aimed at the instants that matter. A seed is a life; `lockstep simulate` plays any number."""

from collections import Counter

import pytest
from msgspec.structs import replace

from gateway.simulation import faults, settings
from gateway.simulation.campaign import Tally, Wanted, play, played
from gateway.simulation.faults import At, Scripted, When
from gateway.simulation.ledger import Ledger
from gateway.simulation.outages import Claimed, life
from gateway.simulation.settings import Life, Setting
from gateway.simulation.swarm import draw
from gateway.simulation.trace import What
from htlc.settlement import Phase
from htlc.swap import LockProtocol

KINDS = {
    "Block",
    "Cut",
    "Drift",
    "JournalDown",
    "Noise",
    "Restore",
    "Spend",
    "Step",
    "cancellation asked",
    "crashes",
    "is down",
    "message doubled",
    "message lost",
    "reorganisation",
}


def swarm(protocol: LockProtocol, count: int) -> Tally:
    return play(Wanted(first=0, count=count, protocols=(protocol,)))


@pytest.mark.parametrize("protocol", [LockProtocol.TWO_KEY, LockProtocol.ANCHORED])
def test_no_fault_of_any_length_makes_a_life_one_legged(protocol: LockProtocol) -> None:
    """Nor does any of them trap an asset, lose a notice, or break a book."""
    tally = swarm(protocol, 600)
    assert tally.failures == []
    assert tally.ends.keys() == {Phase.SETTLED, Phase.CANCELLED}
    assert set(tally.faults) == KINDS, "a kind of fault that never strikes proves nothing"


def test_within_its_time_budget_htlc_is_never_one_legged() -> None:
    tally = swarm(LockProtocol.HTLC, 300)
    assert tally.failures == []
    assert tally.ends.keys() == {Phase.SETTLED, Phase.CANCELLED}


def test_a_party_that_claims_in_its_last_instant_leaves_time_for_everybody() -> None:
    """Its right, and the worst that the windows between expiries are made for."""
    ends: Counter[Phase] = Counter()
    for seed in range(80):
        world, wrong = played(life(seed, 1.0, Claimed.LAST))
        assert wrong == (), f"seed {seed}"
        (id,) = world.journal.entries
        ends[world.journal.load(id)[0].phase] += 1
    assert ends[Phase.SETTLED] > 50, ends


def test_beyond_its_time_budget_htlc_is_one_legged_now_and_then() -> None:
    """The residual risk is real, the checks can see it, and every lock still ends."""
    broken = 0
    for seed in range(60):
        world, wrong = played(life(seed, 4.0, Claimed.ANY_TIME))
        assert all(what.startswith("1: ") for what in wrong), f"seed {seed}: {wrong}"
        (id,) = world.journal.entries
        assert (world.journal.load(id)[0].phase is Phase.BROKEN) == bool(wrong), f"seed {seed}"
        broken += bool(wrong)
    assert 10 < broken < 60


@pytest.mark.parametrize("protocol", [LockProtocol.TWO_KEY, LockProtocol.ANCHORED])
def test_a_restore_that_loses_records_makes_no_life_one_legged(protocol: LockProtocol) -> None:
    """What stays frozen is resolved by operators whose evidence is right."""
    restored = 0
    for seed in range(150):
        drawn = draw(seed, protocol)
        moment = When(what=What.LOCKED, nth=1 + seed % 2, later=seed % 60)
        restore = Scripted(moment=moment, fault=faults.Restore(lost=seed % 4, outage=20))
        resolve = Scripted(moment=At(time=2_600), fault=faults.Resolve())
        world, wrong = played(replace(drawn, plan=(*drawn.plan, restore, resolve)))
        assert wrong == (), f"seed {seed}"
        restored += world.journal.epoch > 1
    assert restored > 90


@pytest.mark.parametrize("protocol", LockProtocol)
def test_without_the_gate_of_finality_every_protocol_can_be_one_legged(
    monkeypatch: pytest.MonkeyPatch, protocol: LockProtocol
) -> None:
    """Rule 2: answers that claim to be final before they are, and a reorganisation."""
    reorganised = [shaky(seed, protocol) for seed in range(25)]
    assert not any(played(each)[1] for each in reorganised)
    monkeypatch.setattr(Ledger, "_is_final", lambda *_: True)
    assert any(played(each)[1] for each in reorganised)


def shaky(seed: int, protocol: LockProtocol) -> Life:
    """A DvP whose second lock is undone while the gateway may already believe in it."""
    moment = When(what=What.LOCKED, nth=2)
    undone = Scripted(moment=moment, fault=faults.Reorganise(after=6))
    poor = Scripted(moment=When(what=What.UNDONE), fault=spend())
    setting = Setting(
        seed=seed, protocol=protocol, legs=settings.DVP, offsets=(0, 0), pace=settings.PROMPT
    )
    return Life(setting=setting, plan=(undone, poor))


def spend() -> faults.Spend:
    cash = settings.DVP[1]
    return faults.Spend(ledger=cash.ledger, account=cash.payer.account, asset=cash.asset)
