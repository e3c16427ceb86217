"""A day against real services: trades are proposed while processes are killed, stopped and cut off,
at random from the seed."""

import asyncio
import random
import time
import uuid
from typing import Any, Final

import msgspec

from gateway.client import GatewayClient, GatewayUnreachableError
from gateway.http import wire
from gateway.machine.world import decimal_text, smallest_units
from gateway.simulation import scenario
from gateway.simulation.live_faults import Faults
from gateway.simulation.live_site import Site
from gateway.simulation.scenario import Case, Scenario
from gateway.simulation.scenario_day import Tally, told
from gateway.simulation.scenario_run import Run
from gateway.simulation.scenario_terms import proposal

AT_ONCE: Final = 8
"""Traders at work at the same time."""

FAULT_EVERY_SECONDS: Final = (0.5, 2.5)
"""Between two faults: several strike while a settlement is under way, and some go through."""

PATIENCE_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.1

_OVER: Final = {"SETTLED", "CANCELLED", "REJECTED", "BROKEN"}


async def play(site: Site, spec: Scenario, case: Case, seed: int) -> Run:
    """The whole day. Raises GatewayUnreachableError if the gateway does not come back."""
    assert spec.day is not None
    dice = random.Random(f"{seed}/{case.protocol}")
    await site.top_up()
    before = await site.holdings()
    began = time.monotonic()
    tally, stop = Tally(), asyncio.Event()
    ids = [
        str(uuid.UUID(int=dice.getrandbits(128), version=4)) for _ in range(spec.day.live_trades)
    ]
    havoc = asyncio.create_task(_havoc(site, dice, tally, stop))
    turn = asyncio.Semaphore(AT_ONCE)
    amounts = [dice.randint(1, 20) for _ in ids]
    await asyncio.gather(
        *(_trade(site, spec, case, id, n, turn) for id, n in zip(ids, amounts, strict=True))
    )
    stop.set()
    await havoc
    views = [await _ended(site.supervisor(), id) for id in ids]
    for view in views:
        tally.ends[view.state] += 1
    tally.violations += [f"1: {text}" for text in await site.auditor.ends(views)]
    return await _told(site, spec, case, tally, before, time.monotonic() - began)


async def _told(
    site: Site,
    spec: Scenario,
    case: Case,
    tally: Tally,
    before: dict[tuple[str, str], tuple[int, int]],
    seconds: float,
) -> Run:
    after = await site.holdings()
    tally.locked = sum(locked for _, locked in after.values())
    for books in (await site.auditor.books()).values():
        tally.violations += [f"2: {each}" for each in books.positions if each.difference != "0"]
    run = told(spec, case, tally)
    return msgspec.structs.replace(
        run,
        balances=site.balances(before, after),
        seconds=seconds,
        wall_seconds=seconds,
        facts={name: value for name, value in run.facts.items() if name not in _NOT_MEASURED},
    )


_NOT_MEASURED: Final = ("median", "99 % within")
"""Under faults of a real machine the time of a trade is that of the outages."""


async def _trade(
    site: Site, spec: Scenario, case: Case, id: str, percent: int, turn: asyncio.Semaphore
) -> None:
    """Propose a trade of a hundredth or more of the scenario's amounts, and see it to its end."""
    terms: dict[str, Any] = msgspec.to_builtins(proposal(spec, spec.legs, id))
    terms["protocol"] = str(case.protocol)
    for leg in terms["legs"]:
        scale = spec.ledgers[leg["ledger"]].scale
        units = smallest_units(leg["quantity"], scale) * percent // 1000
        leg["quantity"] = decimal_text(max(1, units), scale)
    async with turn:
        client = site.member(spec.legs[0].payer)
        await _until_taken(client, terms)
        await _ended(client, id)


async def _until_taken(client: GatewayClient, terms: dict[str, Any]) -> None:
    """The same again until it is answered: a lost answer is no reason to think that it was lost."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            await client.propose(terms)
            return
        except GatewayUnreachableError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(POLL_SECONDS)


async def _ended(client: GatewayClient, id: str) -> wire.SettlementView:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            view = await client.settlement(id)
            if view.state in _OVER or time.monotonic() > deadline:
                return view
        except GatewayUnreachableError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(POLL_SECONDS)


async def _havoc(site: Site, dice: random.Random, tally: Tally, stop: asyncio.Event) -> None:
    """Faults, one after the other, until the traders are done."""
    faults = Faults(site, "", _untold)
    while not stop.is_set():
        fault = _drawn(site, dice)
        tally.faults[type(fault).__name__] += 1
        await faults.strike(fault, later=0.0)
        await asyncio.sleep(dice.uniform(*FAULT_EVERY_SECONDS))
        await faults.over()
    for each in site.wires.values():
        each.heal()


def _untold(node: str, text: str, *, over: bool = False) -> None:
    """A day has no diagram: its faults are counted."""


def _drawn(site: Site, dice: random.Random) -> scenario.Fault:
    ledger = dice.choice(list(site.wires))
    seconds = dice.uniform(0.2, 1.5)
    return dice.choice(
        (
            scenario.KillGateway(when="start", seconds=0.0),
            scenario.KillGateway(when="start", seconds=seconds),
            scenario.StopLedger(when="start", ledger=ledger, seconds=seconds),
            scenario.Cut(when="start", ledger=ledger, seconds=seconds),
            scenario.Lose(when="start", ledger=ledger, what="answer", count=3),
        )
    )
