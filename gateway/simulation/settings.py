"""The settings of random lives: which swap, which ledgers, which time budget. Times are ticks:
numbers so small that every boundary (`<` or `<=`) is met exactly, again and again.
"""

from typing import Final

import msgspec

from gateway.simulation.faults import Plan
from gateway.simulation.replica import Pace
from gateway.simulation.world import BOTH, HTLC_ONLY, World, party
from htlc.agreement import Limits
from htlc.schedule import Latency
from htlc.swap import Amount, Leg, LockProtocol, cross_currency_dvp, dvp, ring
from htlc.units import AssetId, Duration, LedgerId, MemberId, Quantity, SettlementId

LATENCY: Final = Latency(
    finality=Duration(7), lookup=Duration(36), delivery=Duration(30), skew=Duration(5)
)
"""A message takes up to 4 ticks, and one in a row may be lost: 14 + 4 + 4 to be judged, twice
14 + 4 to be seen. A prime finality meets no multiple of a look."""

LIMITS: Final = Limits(
    lock_within=Duration(300), commit_within=Duration(500), recovery=Duration(200), backstop=None
)
"""Room for a few losses before locking ends, for two outages of 70 and the time to catch up."""

PATIENT: Final = Pace(journey_min=1, journey=4, look_first=10, look=80)
"""Where no clock is raced, looking seldom costs nothing but time."""

PROMPT: Final = Pace()
"""Within `LATENCY`."""

EPOCH: Final = 10_000
"""Clocks that are set back must not reach 0."""

ENDS_AT: Final = 40_000
"""A life that has not ended by then never will."""

QUANTITY: Final = 100


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of a life but its plan of faults."""

    seed: int
    protocol: LockProtocol
    legs: tuple[Leg, ...]
    htlc_only: tuple[LedgerId, ...] = ()  # ledgers without cancellation locks
    holder: MemberId | None = None
    replicas: int = 1
    trades: int = 1  # so many settlements at once over the same ledgers
    offsets: tuple[int, ...] = ()  # of the ledgers' clocks, in the order of `ledgers`
    poor: tuple[int, ...] = ()  # legs whose payer has one unit too little
    latency: Latency = LATENCY
    limits: Limits = LIMITS
    pace: Pace = PATIENT
    heals_at: int = 2_500
    unwinding: int = 1_500

    @property
    def ledgers(self) -> tuple[LedgerId, ...]:
        return tuple(dict.fromkeys(leg.ledger for leg in self.legs))


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """A setting and its plan of faults: all that a run depends on."""

    setting: Setting
    plan: Plan = ()


def world_of(life: Life) -> World:
    """The world of a life, ready to run."""
    setting = life.setting
    world = World(
        seed=setting.seed,
        replicas=setting.replicas,
        limits=setting.limits,
        pace=setting.pace,
        epoch=EPOCH,
        plan=life.plan,
        heals_at=setting.heals_at,
        unwinding=setting.unwinding,
        ends_at=ENDS_AT,
    )
    for name, offset in zip(setting.ledgers, setting.offsets, strict=True):
        kinds = HTLC_ONLY if name in setting.htlc_only else BOTH
        world.ledger(name, latency=setting.latency, kinds=kinds, offset=offset)
    for n, leg in enumerate(setting.legs):
        short = 1 if n in setting.poor else 0
        held = setting.trades * leg.quantity - short
        world.hold(leg.ledger, leg.payer.member, leg.asset, held)
    for n in range(setting.trades):
        world.propose(setting.legs, protocol=setting.protocol, holder=setting.holder, at=n)
    return world


# ------------------------------------------------------------------ swaps


def amount(ledger: str, asset: str) -> Amount:
    return Amount(ledger=LedgerId(ledger), asset=AssetId(asset), quantity=Quantity(QUANTITY))


_NONE: Final = SettlementId("")
"""The constructors of swaps want an id; the world gives its own."""

SECURITIES, CASH, DOLLARS = amount("csd", "ISIN"), amount("rtgs", "EUR"), amount("fx", "USD")
SELLER, BUYER, DEALER = party("SELLER"), party("BUYER"), party("DEALER")

DVP: Final = dvp(_NONE, seller=SELLER, buyer=BUYER, securities=SECURITIES, cash=CASH).legs

CROSS: Final = cross_currency_dvp(
    _NONE,
    seller=SELLER,
    buyer=BUYER,
    dealer=DEALER,
    securities=SECURITIES,
    pays=CASH,
    gets=DOLLARS,
).legs

RING: Final = ring(_NONE, [(party(f"M{n}"), amount(f"ledger{n}", f"A{n}")) for n in range(4)]).legs

ONE_LEDGER: Final = dvp(
    _NONE, seller=SELLER, buyer=BUYER, securities=SECURITIES, cash=amount("csd", "EUR")
).legs
"""Both legs on one ledger: they travel in one batch."""

_HUB, _ONE, _TWO = party("HUB"), party("ONE"), party("TWO")

HUB: Final = (
    amount("a", "A").leg("IN1", _ONE, _HUB),
    amount("b", "B").leg("OUT1", _HUB, _ONE),
    amount("c", "C").leg("IN2", _TWO, _HUB),
    amount("d", "D").leg("OUT2", _HUB, _TWO),
)
"""Two legs pay the only party that can lead."""
