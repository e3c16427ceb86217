"""A day: many trades over the scenario's ledgers and parties, under faults drawn from the seed.

The day is played in hours of a few trades each, all on the same accounts: books and judge of an
hour stay small, and an hour that fails is repeated by its own seed. What is drawn is aimed at the
moments that matter (locks, decision, claims), as random faults alone seldom meet them.
"""

import random
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from gateway.machine.world import smallest_units
from gateway.simulation import faults
from gateway.simulation.faults import Moment, When
from gateway.simulation.scenario import Case, End, Scenario
from gateway.simulation.scenario_run import Balance, Run
from gateway.simulation.trace import What
from gateway.simulation.world import World, party
from htlc.swap import Amount, Leg, LockProtocol
from htlc.units import SECOND, AssetId, LedgerId, Quantity, SettlementId

HOUR: Final = 20
"""Trades of one hour."""

APART_SECONDS: Final = 3
"""Between two proposals: trades overlap, for a settlement under faults takes longer."""

CALM_AFTER_SECONDS: Final = 240
"""Faults stop after this; what is open then must end by itself."""

WINDOW_SECONDS: Final = 120
"""The longest outage drawn: for `htlc` well within its window of ten minutes."""


def cases(scenario: Scenario) -> tuple[Case, ...]:
    """One case for each protocol."""
    assert scenario.day is not None
    return tuple(
        Case(name=f"a day in {protocol}", protocol=protocol, end=End.SETTLED, live=True)
        for protocol in scenario.day.protocols
    )


class Tally(msgspec.Struct):
    """What a day has come to so far."""

    ends: Counter[str] = msgspec.field(default_factory=Counter)
    faults: Counter[str] = msgspec.field(default_factory=Counter)
    violations: list[str] = msgspec.field(default_factory=list)
    moved: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    seconds: list[float] = msgspec.field(default_factory=list)
    locked: int = 0
    untold: int = 0


def play(scenario: Scenario, case: Case, seed: int, make: "Make") -> Run:
    """The whole day in the simulator; `make` makes a world that has not begun."""
    assert scenario.day is not None
    tally = Tally()
    for first in range(0, scenario.day.trades, HOUR):
        count = min(HOUR, scenario.day.trades - first)
        _hour(scenario, case, make, random.Random(f"{seed}/{case.protocol}/{first}"), count, tally)
    return told(scenario, case, tally)


class Make(msgspec.Struct, frozen=True):
    """How worlds of a scenario are made; the seed of each hour is its own."""

    world: Callable[..., World]
    endow: Callable[[World, Scenario], None]
    legs: tuple[Leg, ...]


def _hour(
    scenario: Scenario, case: Case, make: Make, dice: random.Random, count: int, tally: Tally
) -> None:
    world = make.world(seed=dice.getrandbits(31), heals_at=CALM_AFTER_SECONDS * SECOND)
    make.endow(world, scenario)
    ids = [
        world.propose(
            _trade(make.legs, dice), protocol=case.protocol, at=n * APART_SECONDS * SECOND
        )
        for n in range(count)
    ]
    _disturb(world, ids, dice, tally)
    run = world.run()
    _count(scenario, world, run.violations, ids, tally)
    for end in run.ends:
        tally.ends[end.state] += 1


def _trade(legs: tuple[Leg, ...], dice: random.Random) -> tuple[Leg, ...]:
    """The scenario's legs with another amount, in either direction; one trade in ten asks for more
    than its payer has."""
    share = dice.choice((0.4, 0.3, 0.2, 0.1, 0.05, 0.05, 0.02, 0.01, 0.01, 9.0))
    turned = dice.random() < 0.5
    return tuple(
        Amount(
            ledger=leg.ledger,
            asset=leg.asset,
            quantity=Quantity(max(1, int(leg.quantity * share))),
        ).leg(leg.leg, *((leg.payee, leg.payer) if turned else (leg.payer, leg.payee)))
        for leg in legs
    )


# --------------------------------------------------------------------------- what goes wrong


def _disturb(world: World, ids: list[SettlementId], dice: random.Random, tally: Tally) -> None:
    """Noise on every message, and aimed faults for about every third trade."""
    loss = dice.choice((0.0, 0.02, 0.1))
    noise = faults.Noise(
        loss=loss, doubling=loss, straggler=loss, straggle=5 * SECOND, losses_in_row_max=5
    )
    world.on(faults.At(time=0), noise)
    for id in ids:
        if dice.random() < 0.35:
            moment, fault = _moment(id, dice), _fault(world, dice)
            world.on(moment, fault)
            tally.faults[type(fault).__name__] += 1


def _moment(id: SettlementId, dice: random.Random) -> Moment:
    what, detail = dice.choice(
        (
            (What.OPENED, ""),
            (What.LOCKED, ""),
            (What.DECIDED, ""),
            (What.EXECUTED, ""),
            (What.SENT, "Unlock"),
            (What.CANCELLED, ""),
        )
    )
    return When(what=what, settlement=id, detail=detail)


def _fault(world: World, dice: random.Random) -> faults.Fault:
    ledger = dice.choice(list(world.ledgers))
    outage = dice.randint(1, WINDOW_SECONDS) * SECOND
    return dice.choice(
        (
            faults.CrashAll(outage=outage),
            faults.CrashAll(outage=SECOND),
            faults.Crash(node=ledger, outage=outage // 4),
            faults.Cut(ledger=ledger, outage=outage // 4),
            faults.Lose(ledger=ledger, back=True, count=3),
            faults.Step(node=ledger, by=dice.randint(1, 1000) * SECOND // 1000),
            faults.Delay(ledger=ledger, back=True, by=4 * SECOND, count=20),
        )
    )


# --------------------------------------------------------------------------- what came of it


def _count(
    scenario: Scenario,
    world: World,
    violations: tuple[object, ...],
    ids: list[SettlementId],
    tally: Tally,
) -> None:
    tally.violations += [str(violation) for violation in violations]
    began = {e.settlement: e.at for e in world.trace if e.what is What.PROPOSED}
    over = {e.settlement: e.at for e in world.trace if e.what is What.PHASE}
    tally.seconds += [(over[id] - began[id]) / SECOND for id in ids if id in over]
    for (name, ledger), (before, after, locked) in _positions(scenario, world).items():
        tally.moved[name, ledger] += after - before
        tally.locked += locked


def _positions(scenario: Scenario, world: World) -> dict[tuple[str, str], tuple[int, int, int]]:
    found = {}
    for name, spec in scenario.parties.items():
        for ledger, about in scenario.ledgers.items():
            balance = world.ledgers[LedgerId(ledger)].book.balance(
                party(spec.bic).account, AssetId(about.asset)
            )
            before = smallest_units(spec.holds.get(ledger, "0"), about.scale)
            found[name, ledger] = (before, balance.available + balance.locked, balance.locked)
    return found


def told(scenario: Scenario, case: Case, tally: Tally) -> Run:
    """A day as one run: it ends SETTLED if every trade ended as a whole and nothing is left."""
    whole = {"SETTLED", "CANCELLED", "REJECTED"}
    other = sum(count for end, count in tally.ends.items() if end not in whole)
    fine = other == 0 and tally.locked == 0 and not tally.violations
    return Run(
        end=End.SETTLED if fine else None,
        legs={},
        steps=(),
        balances=_balances(scenario, tally),
        violations=tuple(tally.violations),
        protocol=case.protocol,
        risk="residual" if case.protocol is LockProtocol.HTLC else "none",
        seconds=max(tally.seconds, default=0.0),
        facts=_facts(tally, other),
    )


def _balances(scenario: Scenario, tally: Tally) -> tuple[Balance, ...]:
    """What each party gained or lost over the whole day: before is nothing."""
    return tuple(
        Balance(
            party=name,
            ledger=ledger,
            asset=scenario.ledgers[ledger].asset,
            scale=scenario.ledgers[ledger].scale,
            before=0,
            available=moved,
            locked=0,
        )
        for (name, ledger), moved in sorted(tally.moved.items())
    )


def _facts(tally: Tally, other: int) -> dict[str, str]:
    times = sorted(tally.seconds)
    return {
        "trades": f"{sum(tally.ends.values()):,}",
        **{end.lower(): f"{count:,}" for end, count in sorted(tally.ends.items())},
        "ended otherwise": str(other),
        "left locked": str(tally.locked),
        "faults": ", ".join(f"{name} {count}" for name, count in sorted(tally.faults.items())),
        "median": f"{_share(times, 0.5):.2f} s",
        "99 % within": f"{_share(times, 0.99):.1f} s",
    }


def _share(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
