"""The simulator itself: the same seed is the same run; seeds that failed once; shrinking."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.simulation import faults, settings
from gateway.simulation.campaign import Wanted, play_all, played
from gateway.simulation.faults import Replay, Scripted, When
from gateway.simulation.settings import world_of
from gateway.simulation.shrink import shrunk, timeline, without
from gateway.simulation.swarm import draw
from gateway.simulation.trace import What
from htlc.coordinator import Clock
from htlc.swap import LockProtocol

FAILED = Path(__file__).with_name("failed_seeds.txt")

PRINTS = """
from gateway.simulation.settings import world_of
from gateway.simulation.swarm import draw
from htlc.swap import LockProtocol
for protocol in LockProtocol:
    for seed in range(12):
        print(protocol, seed, world_of(draw(seed, protocol)).run().fingerprint)
"""


def test_the_same_seed_is_the_same_run_in_every_process() -> None:
    """Byte for byte over the whole trace, whatever the hash seed of the interpreter."""
    told = {
        subprocess.run(
            [sys.executable, "-c", PRINTS],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for hash_seed in ("0", "4242")
    }
    assert len(told) == 1
    assert len(set(told.pop().split())) == 36 + 12 + 3  # all fingerprints differ


@pytest.mark.parametrize(
    "line", [line for line in FAILED.read_text().splitlines() if not line.startswith("#")]
)
def test_a_seed_that_failed_once_passes(line: str) -> None:
    protocol, seed, _ = line.split(maxsplit=2)
    assert played(draw(int(seed), LockProtocol(protocol)))[1] == ()


def test_several_processes_count_the_same_as_one() -> None:
    wanted = Wanted(first=7, count=260, protocols=tuple(LockProtocol))
    (*_, alone), (*_, shared) = play_all(wanted, jobs=1), play_all(wanted, jobs=2)
    assert alone == shared
    assert alone.lives == 260


def test_what_fails_is_shrunk_to_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: an estimate of a ledger's time that is never late. Only a claim that comes too late
    shows it, so the outage that makes it late stays, and all else goes."""
    monkeypatch.setattr(Clock, "latest", property(lambda self: self.at - 400))
    protocol = LockProtocol.HTLC
    seed = next(seed for seed in range(500) if played(draw(seed, protocol))[1])
    before = draw(seed, protocol)
    after = shrunk(before, lambda life: bool(played(life)[1]))
    assert played(after)[1]
    assert 1 <= len(after.plan) <= len(before.plan)
    assert after.setting.replicas == after.setting.trades == 1
    for n in range(len(after.plan)):
        fewer = replace(after, plan=after.plan[:n] + after.plan[n + 1 :])
        assert not played(fewer)[1], "one more could have been left out"


def test_noise_is_shrunk_to_the_messages_that_matter() -> None:
    """What "fails" here is that the first answer about the cash is lost."""
    noisy = next(life for seed in range(500) if _loses(life := draw(seed, LockProtocol.TWO_KEY)))
    life = shrunk(noisy, _loses)
    (scripted,) = life.plan
    assert isinstance(scripted.fault, Replay)
    assert len(scripted.fault.disturbed) == 1


def _loses(life: settings.Life) -> bool:
    if not any(isinstance(scripted.fault, faults.Noise | Replay) for scripted in life.plan):
        return False
    if life.setting.legs is not settings.DVP and life.setting.legs != settings.DVP:
        return False
    world = world_of(life)
    world.run()
    return any(e.what is What.LOST and e.node == "rtgs" for e in world.trace)


def test_leaving_out_keeps_what_fails() -> None:
    assert without(range(50), lambda kept: {7, 31} <= set(kept)) == (7, 31)
    assert without((1, 2, 3), lambda kept: True) == ()


def test_a_timeline_is_for_people() -> None:
    crash = Scripted(moment=When(what=What.DECIDED), fault=faults.CrashAll(outage=30))
    life = replace(draw(3, LockProtocol.TWO_KEY), plan=(crash,))
    world = world_of(life)
    world.run()
    lines = timeline(world)
    assert any("gateway-1" in line and "crashes for 30" in line for line in lines)
    assert len(lines) == len(world.trace)
