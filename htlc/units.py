"""The units everything is counted in, and the names of the things that are counted."""

from typing import Final, NewType

import msgspec


class Value(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is, once made, and never refers back to what it is a part of.

    So the garbage collector need not look for cycles in it. An open settlement is some fifty of
    these: a gateway that holds many of them would be searched through in vain again and again."""


Instant = NewType("Instant", int)
"""A point in time: integer UTC nanoseconds since 1970-01-01, on the clock of ONE ledger.

Two ledgers' instants have no common order; they are compared only with a skew bound."""

Duration = NewType("Duration", int)
"""A length of time in nanoseconds."""

Quantity = NewType("Quantity", int)
"""An amount in the smallest unit of its asset (cents, single securities). Always positive."""

SettlementId = NewType("SettlementId", str)
"""A UUID in lower case: one attempt to settle one swap."""

LegId = NewType("LegId", str)
"""The name of a leg within its swap: 1 to 8 capitals and digits (`LegIdentifier` of supl.001)."""

HtlcId = NewType("HtlcId", str)
"""A UUID in lower case, made by the client: names one lock on one ledger for ever."""

LedgerId = NewType("LedgerId", str)
AccountId = NewType("AccountId", str)
AssetId = NewType("AssetId", str)
"""What a quantity is of: an ISIN, or an ISO 4217 currency code."""

MemberId = NewType("MemberId", str)
"""A party: its BIC (ISO 9362)."""

QUANTITY_MAX: Final = Quantity(2**63 - 1)
"""The largest quantity: what a signed 64-bit word (and a PostgreSQL `bigint`) can hold."""

INSTANT_MAX: Final = Instant(2**63 - 1)
"""The last instant that fits a signed 64-bit word: in the year 2262."""

SECOND: Final = Duration(1_000_000_000)
MILLISECOND: Final = Duration(1_000_000)


def after(instant: Instant, *durations: Duration) -> Instant:
    """The instant that lies the sum of `durations` later."""
    return Instant(instant + sum(durations))


def seconds(count: float) -> Duration:
    """A duration from a configuration value in seconds; finer than a nanosecond is cut off."""
    return Duration(int(count * SECOND))
