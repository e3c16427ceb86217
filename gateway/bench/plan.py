"""What a round of the bench is, as the bench and its load generator tell each other.

A *trade* is one DvP. A *unit* is what is sent at once: one trade, or a bulk of them. A *lane* is
where a trade may run: two members, each with an account for the security and one for the cash.
"""

from enum import StrEnum
from typing import Final

import msgspec

BULK: Final = 50
"""Proposals of a JSON array, and messages of a BizMsgs: what limits of the market call a batch."""


class Case(StrEnum):
    """How trades are handed in."""

    JSON_BULK = "json-bulk"  # agreed swaps, an array of BULK in a request
    JSON_SINGLE = "json-single"  # agreed swaps, one in a request
    ISO_BATCH = "iso-batch"  # sese.023, BULK messages in a BizMsgs, from each side
    ISO_SINGLE = "iso-single"  # sese.023, one message in a request, from each side
    DATABASE = "database"  # no gateway: one stored procedure in one database

    @property
    def unit(self) -> int:
        """Trades that are sent at once."""
        return BULK if self in (Case.JSON_BULK, Case.ISO_BATCH) else 1

    @property
    def is_iso(self) -> bool:
        return self in (Case.ISO_BATCH, Case.ISO_SINGLE)


class Watch(StrEnum):
    """How the load generator learns that a trade is final: from the mailboxes of both parties."""

    STREAM = "stream"  # server-sent events: at once
    PAGES = "pages"  # pages of 500 with a pause in between: cheaper, later


STREAM_IN_FLIGHT_MAX: Final = 8
"""Up to here latency is what a round is for, beyond it is throughput."""


def watch(in_flight: int) -> Watch:
    """How a round with so many trades in flight is watched."""
    return Watch.STREAM if in_flight <= STREAM_IN_FLIGHT_MAX else Watch.PAGES


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A party of the lanes and its token at the gateway."""

    bic: str
    token: str


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """A security or a currency, and the ledger that keeps it."""

    code: str
    ledger: str
    scale: int
    quantity_type: str


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """A party of a lane: its place in `Site.members`, and its two accounts."""

    member: int
    securities_account: str
    cash_account: str


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """Two members that trade one security against one currency, in both directions."""

    security: Asset
    cash: Asset
    one: Holder
    other: Holder


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """The system that the load generator speaks to. The lanes of one pair of members stand together
    in `pairs`: a bulk is between two members. The first lane of all is the hot one."""

    gateway: str
    bic: str
    depository: str
    business_date: str  # YYYY-MM-DD
    members: tuple[Member, ...]
    pairs: tuple[tuple[Lane, ...], ...]
    database: str | None  # DSN of the case DATABASE


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A round to be run. It starts no new unit after `seconds`, or `settlements` trades."""

    case: Case
    in_flight: int  # trades that are not final yet, rounded up to whole units
    seconds: float | None = None
    settlements: int | None = None
    hot_share: float = 0.0  # of the units, all on the hot lane
    protocol: str | None = None

    @property
    def units_in_flight(self) -> int:
        return -(-self.in_flight // self.case.unit)


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """What trades have moved on one account in all: positive is in."""

    ledger: str
    account: str
    asset: str
    quantity: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the load generator saw of a round."""

    first_id: str  # every settlement id of the round is greater (UUIDv7)
    sent: int  # trades
    settled: int
    seconds: float  # first request to last final state
    latencies: tuple[float, ...]  # seconds, one per trade: request to both parties told
    flows: tuple[Flow, ...]
    faults: tuple[str, ...]  # what was refused, lost, told twice or ended in another way
