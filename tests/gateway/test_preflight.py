"""A ledger that does not do what it declares gets no lock, everybody is told why, and what settles
elsewhere goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway import acquaintance, preflight
from gateway.http import views
from gateway.port import Refused
from htlc import trials
from htlc.hashlock import PROBE_PREIMAGE, Algorithm, Encoding, HashFunction
from htlc.settlement import Phase
from htlc.swap import pvp
from htlc.units import Instant, LedgerId, SettlementId
from ledgers.hosted import Traits, description
from ledgers.port import Description, LockKind
from ledgers.profile import Profile, trials_of
from tests.gateway.systems import BUYER, SELLER, System, system, until
from tests.gateway.test_agreed_swaps import a_dvp, amount, party, settle
from tests.gateway.test_instructions import both, send
from tests.htlc.test_trials import LIES

KINDS = (LockKind.TWO_KEY, LockKind.HTLC)
Lie = Callable[[Description], Description]


def hashing(function: HashFunction) -> Lie:
    """Declares plain SHA-256, and hashes so."""
    return lambda told: replace(told, probe=(function.digest(PROBE_PREIMAGE),))


def judging(rules: Any) -> Lie:
    """Judges locks by other rules."""
    outcomes = trials.outcomes(HashFunction(), rules, trials_of(KINDS))
    return lambda told: replace(told, trials=(outcomes,))


SAID = {
    "encoding": (hashing(HashFunction(encoding=Encoding.HEX_TEXT)), "its digest of the probe"),
    "algorithm": (hashing(HashFunction(algorithm=Algorithm.SM3)), "its digest of the probe"),
    "untried": (lambda told: replace(told, trials=()), "does not tell of the trials"),
    "name": (lambda told: replace(told, ledger=LedgerId("other")), "it calls itself other"),
    "kinds": (lambda told: replace(told, lock_kinds=()), "it serves no kind of lock"),
    "probes": (lambda told: replace(told, probe=()), "another number of probes"),
    **{name: (judging(rules), f"{name} is ") for name, rules in LIES.items()},
}


def described(kinds: tuple[LockKind, ...] = KINDS) -> Description:
    """What an honest ledger says of itself."""
    traits = Traits(profile=Profile(lock_kinds=kinds))
    return description(LedgerId("bank"), traits, [], Instant(1), bytes(32))


@pytest.mark.parametrize("kinds", [KINDS, KINDS[:1], KINDS[1:]])
def test_an_honest_ledger_passes(kinds: tuple[LockKind, ...]) -> None:
    assert preflight.fault("bank", described(kinds)) is None


@pytest.mark.parametrize("lie", sorted(SAID))
def test_each_lie_is_said(lie: str) -> None:
    told, said = SAID[lie]
    fault = preflight.fault("bank", told(described()))
    assert fault is not None and said in fault


def lying(made: System, monkeypatch: pytest.MonkeyPatch, lie: str | None) -> None:
    """From now on the bank lies, or tells the truth."""
    bank = made.ledgers["bank"]
    honest = type(bank).describe

    async def describe() -> Description:
        told = await honest(bank)
        return told if lie is None else SAID[lie][0](told)

    monkeypatch.setattr(bank, "describe", describe)


async def locks(made: System) -> int:
    """Contracts on the bank."""
    return int(await made.ledgers["bank"]._reader._pool.fetchval("SELECT count(*) FROM contracts"))


async def test_a_lying_ledger_gets_no_lock_and_it_is_said_why(
    dsns: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with system(dsns, tmp_path) as made:
        for lie in ("encoding", "algorithm", "a claim with 31 bytes", "a claim at expiry"):
            lying(made, monkeypatch, lie)
            async with made.gateway():
                await until(lambda: made.engine.directory.distrusted)
                await until(lambda: made.engine.links[LedgerId("registry")].trusted)
                await refused(made, SAID[lie][1])
        assert await locks(made) == 0


async def refused(made: System, why: str) -> None:
    """A trade on the bank is refused, and an operator sees why."""
    (taken,) = await made.desk.take_settlements(SELLER, [(a_dvp(), b"d")])
    assert isinstance(taken, Refused)
    assert why in taken.faults[0].rule
    shown = {state.name: views.ledger(state).fault for state in made.desk.ledgers()}
    assert shown["registry"] is None and why in (shown["bank"] or "")
    assert f"PAGE: nothing settles on ledger bank: {shown['bank']}" in made.said


async def test_what_was_opened_before_waits_until_the_ledger_is_repaired(
    dsns: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acquaintance, "PREFLIGHT_AGAIN_SECONDS", 0.05)
    async with system(dsns, tmp_path, lock_within_seconds=30) as made:
        swap = a_dvp()
        async with made.gateway():
            for link in made.engine.links.values():
                link.trusted = False  # as at a start: opened, and nothing sent yet
            await made.desk.take_settlements(SELLER, [(swap, b"d")])
            for item in both():
                await send(made, item)
        lying(made, monkeypatch, "a refund just before expiry")
        async with made.gateway():
            await until(lambda: made.engine.directory.distrusted)
            registry = made.ledgers["registry"]._reader._pool
            await until(lambda: registry.fetchval("SELECT count(*) FROM contracts"))
            assert await locks(made) == 0 and len(made.engine.runner.lives) == 2
            lying(made, monkeypatch, None)
            await until(lambda: not made.engine.runner.lives)
            phases = await made.engine.pool.fetch(
                "SELECT phase FROM journal WHERE phase = 'SETTLED'"
            )
            assert len(phases) == 2, "the swap and the pair, each once it was trusted"
            assert not made.engine.directory.distrusted


async def test_a_pvp_between_ledgers_that_are_trusted_goes_on(
    dsns: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with system(dsns, tmp_path) as made:
        registry = made.ledgers["registry"]
        honest = type(registry).describe

        async def describe() -> Description:
            return SAID["algorithm"][0](await honest(registry))

        monkeypatch.setattr(registry, "describe", describe)
        async with made.gateway():
            await until(lambda: made.engine.directory.distrusted)
            swap = pvp(
                SettlementId("0199aaaa-0000-7000-8000-000000000001"),
                side_a=party("bank", SELLER),
                side_b=party("bank", BUYER),
                gives=amount("bank", "EUR", 1_000),
                gets=amount("bank", "USD", 1_100),
            )
            assert (await settle(made, swap)).state.phase is Phase.SETTLED
