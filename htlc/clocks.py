"""The ledgers' own times as the gateway estimates them between answers, and when to ask again."""

from collections.abc import Iterator, Mapping

import msgspec

from htlc.settlement import LegStatus, Phase, Settlement
from htlc.units import Duration, Instant, LedgerId


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger's estimated time, and how far the estimate may be off, either way."""

    at: Instant
    skew: Duration = Duration(0)

    @property
    def latest(self) -> Instant:
        return Instant(self.at + self.skew)


Clocks = Mapping[LedgerId, Clock]
"""A ledger that has not been heard since the start has no entry: ask first."""


def passed(now: Clocks, ledger: LedgerId, instant: Instant) -> bool | None:
    """Whether a ledger's time may have reached `instant`; None if it is not known at all."""
    clock = now.get(ledger)
    return None if clock is None else clock.latest >= instant


def wake_at(state: Settlement) -> Instant | None:
    """The next instant at which time alone changes what is owed. Scheduling only."""
    return min(_instants(state), default=None)


def _instants(state: Settlement) -> Iterator[Instant]:
    if state.phase is Phase.PROPOSED and state.swap.commit_by is not None:
        yield state.swap.commit_by
    elif state.phase is Phase.LOCKING:
        yield state.agreed.commit_by
    elif not state.ended and state.agreement is not None:
        for leg, agreed in zip(state.legs, state.agreed.legs, strict=True):
            if leg.status is LegStatus.ABSENT:
                yield agreed.terms.lock_by
            elif leg.status is LegStatus.LOCKED and agreed.terms.expires_at is not None:
                yield agreed.terms.expires_at
