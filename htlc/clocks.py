"""The ledgers' own times as the gateway estimates them between answers."""

from collections.abc import Mapping

import msgspec

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
