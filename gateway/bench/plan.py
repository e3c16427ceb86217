"""What a round of the bench is, as the bench and its load generator tell each other.

A *trade* is one settlement of the ordered shape. A *unit* is what is sent at once: one trade, or a
bulk of them. A *lane* is where a trade may run: members in a circle, each with an account for what
it pays and one for what it is paid.
"""

from enum import StrEnum
from typing import Final

import msgspec

BULK: Final = 50
"""Proposals of a JSON array, and messages of a BizMsgs: what limits of the market call a batch."""


class Shape(StrEnum):
    """What a trade is: a circle in which each member pays the next one, a ledger for each leg."""

    DVP = "dvp"  # a security against cash
    PVP = "pvp"  # one currency against another
    CROSS = "cross"  # a security sold to one who pays in another currency: three legs
    RING = "ring"  # a security and three currencies: four members, no two of whom can settle alone

    @property
    def legs(self) -> tuple[str, ...]:
        """The names of the legs; SECU is on a securities ledger, all others on currency ledgers."""
        return _LEGS[self]


SECURITY_LEG: Final = "SECU"

_LEGS: Final = {
    Shape.DVP: (SECURITY_LEG, "CASH"),
    Shape.PVP: ("CASH1", "CASH2"),
    Shape.CROSS: (SECURITY_LEG, "CASH1", "CASH2"),
    Shape.RING: (SECURITY_LEG, "CASH1", "CASH2", "CASH3"),
}


class Fate(StrEnum):
    """How a trade has to end. Whatever ends in another way is a fault of the round."""

    SETTLED = "settled"
    NO_COVER = "no cover"  # of its last leg, by more than there is: cancelled
    LAPSED = "lapsed"  # a payer never consents: cancelled when its time is up
    ALONE = "alone"  # the counterparty never instructs (ISO 20022): told that it is unmatched

    @property
    def ends(self) -> frozenset[str | None]:
        """What a party may be told in the end; None is settled. A cancelled settlement of which
        nothing was ever locked is reported as REJECTED."""
        match self:
            case Fate.SETTLED:
                return frozenset({None})
            case Fate.NO_COVER | Fate.LAPSED:
                return frozenset({"CANCELLED", "REJECTED"})
            case Fate.ALONE:
                return frozenset({UNMATCHED})


UNMATCHED: Final = "unmatched"


class Case(StrEnum):
    """How trades are handed in."""

    JSON_BULK = "json-bulk"  # agreed swaps, an array of BULK in a request, answered in short
    JSON_SINGLE = "json-single"  # agreed swaps, one in a request, answered in short
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
    beyond: int = 0  # more than all its holders have together, in smallest units


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """A party of a lane: its place in `Site.members`, and its account on each ledger it needs."""

    member: int
    accounts: dict[str, str]


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """A circle: each party pays its asset to the next one, or in reverse to the one before. The
    assets stand in the order of the shape's legs."""

    assets: tuple[Asset, ...]
    parties: tuple[Holder, ...]


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """The system that the load generator speaks to. The lanes of the same members stand together
    in `groups`: a bulk is between the same members. All of `hot` go over one cash account."""

    shape: Shape
    gateway: str
    bic: str
    depository: str | None  # of the securities leg, where the shape has one
    business_date: str  # YYYY-MM-DD
    members: tuple[Member, ...]
    groups: tuple[tuple[Lane, ...], ...]
    hot: tuple[Lane, ...]
    absent: Holder | None  # a member that has given no power of attorney, and never consents
    database: str | None  # DSN of the case DATABASE


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A round to be run. It starts no new unit after `seconds`, or `settlements` trades."""

    case: Case
    in_flight: int  # trades that are not final yet, rounded up to whole units
    seconds: float | None = None
    settlements: int | None = None
    hot_share: float = 0.0  # of the units, on the hot lanes
    fault_rate: float = 0.0  # of the trades, that have to fail
    protocol: str | None = None
    cursors: dict[str, str] = {}  # by BIC: read the mailbox on from there, not from the last round
    rate: float | None = None  # trades per second at most; None: as fast as they settle

    @property
    def units_in_flight(self) -> int:
        return -(-self.in_flight // self.case.unit)


def fates(order: Order, site: Site) -> tuple[Fate, ...]:
    """The ways in which trades of an order may be made to fail. An instruction without cover waits
    and is tried again for days; a leg of `htlc` comes back by its clock only, after minutes."""
    if order.case is Case.DATABASE or not order.fault_rate:
        return ()
    if order.case.is_iso:
        return (Fate.ALONE,)
    lapsed = () if site.absent is None else (Fate.LAPSED,)
    return lapsed if order.protocol == "htlc" else (Fate.NO_COVER, *lapsed)


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
    failed: int  # that had to, and did
    resent: int  # requests: the gateway was busy, and asked for that
    seconds: float  # first request to the last that was settled
    latencies: tuple[float, ...]  # seconds, one per settled trade: request to all parties told
    flows: tuple[Flow, ...]
    faults: tuple[str, ...]  # what was refused, lost, told twice or ended in another way
