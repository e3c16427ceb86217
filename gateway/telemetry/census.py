"""What a replica's open settlements are at this moment: counted when Prometheus asks.

A replica may have 200,000 of them, so the count is taken in slices between which others work. Money
in locks is added up by currency; quantities of securities are not of one kind, so those locks are
only counted.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import msgspec

from gateway.live import Live
from gateway.tally import locked
from htlc.clocks import Clocks
from htlc.settlement import Phase, Settlement
from htlc.units import SECOND, Duration, LedgerId

SLICE: Final = 1_000
"""Settlements counted before others get their turn: about 3 ms."""

AGES: Final = ((1.0, "1s"), (10.0, "10s"), (60.0, "1m"), (600.0, "10m"))
"""A lock usually lives for 0.1 s; a settlement is decided within a minute; recovery takes ten."""

OLDER: Final = "older"

Downtime: TypeAlias = Callable[[Settlement], Duration | None]
"""`Agreements.safe_downtime`."""


class Census(msgspec.Struct, kw_only=True):
    """The figures of one moment."""

    phases: Counter[Phase] = msgspec.field(default_factory=Counter)
    oldest: dict[Phase, float] = {}  # seconds in the phase
    locks: Counter[tuple[LedgerId, str]] = msgspec.field(default_factory=Counter)  # ledger, age
    oldest_lock: dict[LedgerId, float] = {}
    value: Counter[tuple[LedgerId, str]] = msgspec.field(default_factory=Counter)  # ledger, asset
    frozen: int = 0
    at_risk: int = 0
    claim_margin: float | None = None
    safe_downtime: float | None = None

    @property
    def due(self) -> int:
        """What the gateway, and not a party, has to bring on."""
        return self.phases.total() - self.phases[Phase.PROPOSED]

    def count(self, live: Live, now: Clocks, downtime: Downtime) -> None:
        """Add one settlement, at the ledgers' times."""
        state = live.state
        self.phases[state.phase] += 1
        held = time.monotonic() - live.since
        self.oldest[state.phase] = max(held, self.oldest.get(state.phase, 0.0))
        if state.agreement is None:
            return
        self.frozen += state.frozen
        self._locks(live, state)
        self._margins(state, now, downtime)

    def _locks(self, live: Live, state: Settlement) -> None:
        age = max(0.0, (time.time_ns() - live.created_at) / SECOND)
        for n in locked(state):
            leg = state.agreed.legs[n]
            self.locks[leg.ledger, age_of(age)] += 1
            self.oldest_lock[leg.ledger] = max(age, self.oldest_lock.get(leg.ledger, 0.0))
            self.value[leg.ledger, leg.terms.asset] += leg.terms.quantity

    def _margins(self, state: Settlement, now: Clocks, downtime: Downtime) -> None:
        if (left := claim_margin(state, now)) is not None:
            least = float("inf") if self.claim_margin is None else self.claim_margin
            self.claim_margin = min(left / SECOND, least)
        if (left := downtime(state)) is not None:
            self.at_risk += 1
            least = float("inf") if self.safe_downtime is None else self.safe_downtime
            self.safe_downtime = min(left / SECOND, least)


async def take(lives: Iterable[Live], now: Clocks, downtime: Downtime) -> Census:
    """Count open settlements. `downtime` tells what an outage may last before it costs one."""
    census = Census()
    for n, live in enumerate(tuple(lives)):
        census.count(live, now, downtime)
        if n % SLICE == SLICE - 1:
            await asyncio.sleep(0)
    return census


def age_of(seconds: float) -> str:
    """The label of an age: the smallest bound that it is below."""
    return next((name for bound, name in AGES if seconds < bound), OLDER)


def claim_margin(state: Settlement, now: Clocks) -> Duration | None:
    """Time left until the first claim of an expiring settlement is not sent any more (rule 10);
    None where that is no question: nothing expires, the key is out, or a ledger is unheard."""
    if state.agreement is None or state.key_is_out or state.phase not in _UNREVEALED:
        return None
    left = [
        leg.terms.expires_at - leg.margin - now[leg.ledger].latest
        for leg in (state.agreed.legs[n] for n in state.agreed.revealers)
        if leg.terms.expires_at is not None and leg.ledger in now
    ]
    return Duration(min(left)) if left else None


_UNREVEALED: Final = (Phase.LOCKING, Phase.EXECUTING)
