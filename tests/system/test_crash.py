"""Crash safety with real processes: SIGKILL at random moments, under load.

Set LOCKSTEP_SEED to repeat a campaign; the seed is printed first.
"""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from gateway.machine import world as worlds
from gateway.machine.ledger_client import LedgerClient
from tests.system.load import EURO, REGISTRY, Load, Sent
from tests.system.machine import Machine, machine

KILLS = {"gateway": 50, REGISTRY: 20, EURO: 20}
"""How often each process is killed."""

WORKERS = 40
"""Concurrent clients; each sends one trade after the other."""

pytestmark = [pytest.mark.system, pytest.mark.timeout(1500)]


def seed() -> int:
    chosen = int(os.environ.get("LOCKSTEP_SEED", "0")) or random.SystemRandom().getrandbits(32)
    print(f"LOCKSTEP_SEED={chosen}")
    return chosen


async def kill(running: Machine, service: str, wait: float, within: float = 60.0) -> None:
    """SIGKILL a service after a while, once it lives."""
    await asyncio.sleep(wait)
    deadline = time.monotonic() + within
    while (pid := running.pid_of(service)) is None:
        assert time.monotonic() < deadline, f"{service} is not started again"
        await asyncio.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    while running.pid_of(service) == pid:
        await asyncio.sleep(0.01)


async def slaughter(running: Machine, dice: random.Random) -> None:
    """Kill each service as often as agreed. A moment of life lies between: 0.2 s and more after its
    process is there, so before it is ready, while it recovers, and in full work."""

    async def one(service: str, times: int, waits: list[float]) -> None:
        for wait in waits[:times]:
            await kill(running, service, wait)

    plans = {
        service: [dice.uniform(0.2, 2.0 if service == "gateway" else 4.5) for _ in range(times)]
        for service, times in KILLS.items()
    }
    async with asyncio.TaskGroup() as group:
        for service, times in KILLS.items():
            group.create_task(one(service, times, plans[service]))


async def trade(load: Load, stop: asyncio.Event, dice: random.Random) -> None:
    while not stop.is_set():
        await (load.swap() if dice.random() < 0.5 else load.pair())
        await asyncio.sleep(dice.uniform(0.0, 0.3))


async def test_nothing_is_lost_or_doubled_whatever_is_killed(data: Path) -> None:
    number = seed()
    dice = random.Random(number)
    world = worlds.load(worlds.find("dvp"))
    async with (
        machine(data) as running,
        aiohttp.ClientSession() as session,
    ):
        before = await holdings(running, session)
        load = Load(running, world, session, number)
        stop = asyncio.Event()
        traders = [asyncio.create_task(trade(load, stop, dice)) for _ in range(WORKERS)]
        begun = time.monotonic()
        await slaughter(running, dice)
        stop.set()
        await asyncio.gather(*traders)
        print(f"{len(load.sent)} trades, {sum(KILLS.values())} kills, {load.repeated} repeats,")
        print(f"{time.monotonic() - begun:.0f} s")
        await check(running, session, load, before)


async def check(
    running: Machine,
    session: aiohttp.ClientSession,
    load: Load,
    before: dict[tuple[str, str, str], int],
) -> None:
    """Take account of everything that was sent: what the parties were told, what became of every
    leg on its ledger, and every holding."""
    told = await load.settled()
    lapsed = await load.lapsed(told)
    print(f"{len(lapsed)} of {len(load.sent)} lapsed")
    check_notices(load.sent, told)
    settled = [item for item in load.sent if item.settlement not in lapsed]
    await check_legs(running, session, settled, lapsed)
    await check_holdings(running, session, load, settled, before)


def check_notices(sent: list[Sent], told: dict[str, Counter[str]]) -> None:
    """Every accepted instruction: accepted once, matched once, one final outcome, nothing else."""
    for item in sent:
        for n, member in enumerate((item.seller, item.buyer)):
            if item.settlement is not None:
                assert told[member][f"final {item.settlement}"] == 1
            else:
                assert item.references is not None
                reference = item.references[n]
                assert told[member][f"AckdAccptd {reference}"] == 1, reference
                assert told[member][f"Mtchd {reference}"] >= 1, reference
                assert told[member][f"settled {reference}"] == 1, reference


async def check_legs(
    running: Machine, session: aiohttp.ClientSession, settled: list[Sent], lapsed: set[str]
) -> None:
    """No settlement is one-legged, by the ledgers' own contracts: the registry and the bank tell
    the same end of every settlement that anybody has ever opened."""
    ends: dict[str, dict[str, str]] = {}
    for ledger in (REGISTRY, EURO):
        headers = {"Authorization": f"Bearer {running.operator('ledger', ledger)}"}
        after = ""
        while True:
            async with session.get(
                f"{running.ready['ledgers'][ledger]}/v1/facts",
                params={"after": after, "limit": "1000"},
                headers=headers,
            ) as response:
                page = await response.json()
            for fact in page["facts"]:
                if fact.get("htlc") is not None:
                    terms, status = fact["htlc"]["terms"], fact["htlc"]["status"]
                    ends.setdefault(terms["settlement"], {})[terms["leg"]] = status
            if not page["facts"]:
                break
            after = page["facts"][-1]["cursor"]
    wrong = {id: legs for id, legs in ends.items() if len(set(legs.values())) != 1}
    wrong |= {id: legs for id, legs in ends.items() if "LOCKED" in legs.values()}
    assert not wrong, "every leg of a settlement ends the same way"
    executed = {id for id, legs in ends.items() if "EXECUTED" in legs.values()}
    assert all(len(ends[id]) == 2 for id in executed), "both legs of each"
    assert len(executed) == len(settled) > 0, "as many executed as trades have settled"
    swaps = {item.settlement for item in settled if item.settlement is not None}
    assert swaps <= executed, "what was told as settled is"
    assert not lapsed & executed, "what was told as cancelled is not"


async def holdings(
    running: Machine, session: aiohttp.ClientSession
) -> dict[tuple[str, str, str], int]:
    """Every holding of every member, and that each ledger conserves what was issued."""
    found = {}
    for ledger in (REGISTRY, EURO):
        client = LedgerClient(
            session, running.ready["ledgers"][ledger], running.operator("ledger", ledger)
        )
        for position in await client.conservation():
            assert int(position.difference) == 0, position
        for account in await client.accounts():
            for holding in account.holdings:
                assert int(holding.locked) == 0, "every lock is resolved"
                found[ledger, account.account, holding.asset] = int(holding.available)
    return found


async def check_holdings(
    running: Machine,
    session: aiohttp.ClientSession,
    load: Load,
    settled: list[Sent],
    before: dict[tuple[str, str, str], int],
) -> None:
    """Each holding is what it was, plus and minus every trade that has settled once."""
    world = worlds.load(worlds.find("dvp"))
    expected = Counter(before)
    for item in settled:
        units = item.quantity * 10 ** world.ledgers[REGISTRY].assets[item.isin].scale
        expected[REGISTRY, load.account(item.seller, REGISTRY), item.isin] -= units
        expected[REGISTRY, load.account(item.buyer, REGISTRY), item.isin] += units
        expected[EURO, load.account(item.buyer, EURO), "EUR"] -= item.cents
        expected[EURO, load.account(item.seller, EURO), "EUR"] += item.cents
    after = await holdings(running, session)
    assert {key: n for key, n in expected.items() if n} == {key: n for key, n in after.items() if n}
