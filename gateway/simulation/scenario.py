"""The form of a scenario: who owns what, who pays whom, what goes wrong when, how it must end.

A scenario is one TOML file (`SCENARIOS.md`). It has one or more *cases*: the same situation under
another lock protocol, with another holder of the secret, or with the fault at another moment. Each
case has exactly one end that it must reach, so that a verdict can fail.
"""

import re
from enum import StrEnum
from typing import Final, Literal

import msgspec

from htlc.hashlock import HashFunction
from htlc.swap import LockProtocol
from ledgers.port import LockKind


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file. A key that we do not know is a typing error: refused."""


class End(StrEnum):
    """How a settlement ends, as its parties are told."""

    SETTLED = "SETTLED"  # every leg executed, final with its payee
    CANCELLED = "CANCELLED"  # something was locked, and every lock went back to its payer
    REJECTED = "REJECTED"  # nothing was ever locked
    BROKEN = "BROKEN"  # legs ended differently: an announced residual risk came true
    WAITING = "WAITING"  # no end: nothing irrevocable was done, evidence is waited for
    STOPPED = "STOPPED"  # a registry found its book wrong: it serves nobody until it is mended


class LegEnd(StrEnum):
    """How one leg ends, by the word of its ledger."""

    EXECUTED = "executed"  # paid out to the payee
    RETURNED = "returned"  # back with the payer, by key or by the clock
    LOCKED = "locked"
    ABSENT = "absent"  # never locked


# --------------------------------------------------------------------------- who and what


class LedgerSpec(_Table, frozen=True, kw_only=True):
    """An independent ledger of one asset."""

    title: str
    kind: Literal["securities", "currency"]
    asset: str  # an ISIN, or an ISO 4217 code
    asset_name: str
    operator: str  # test BIC of who runs it
    issuer: str  # test BIC of the issuer's agent, or of the central bank
    scale: int = 2
    locks: tuple[LockKind, ...] = (LockKind.TWO_KEY, LockKind.HTLC)
    hash: HashFunction = HashFunction()
    finality_seconds: float = 0.0
    skew_seconds: float = 1.0
    #: The ledger closes this long after the trade is proposed. The parties set `commit_by` to the
    #: earliest cut-off of their ledgers, so that nothing is decided after it.
    cut_off_seconds: float | None = None


class PartySpec(_Table, frozen=True, kw_only=True):
    """A member and what it owns when the scenario begins: ledger, decimal amount."""

    bic: str
    name: str
    holds: dict[str, str] = {}


class LegSpec(_Table, frozen=True, kw_only=True):
    """One transfer. `payer` and `payee` are names of `parties`."""

    leg: str
    ledger: str
    payer: str
    payee: str
    amount: str
    expires_seconds: float | None = None  # an expiry that the parties set themselves


class Terms(_Table, frozen=True, kw_only=True):
    """The time budget; the defaults are those of a gateway (`gateway.config.LimitSettings`)."""

    lock_within_seconds: float = 20.0
    commit_within_seconds: float = 60.0
    recovery_seconds: float = 600.0
    backstop_seconds: float | None = None


class LiveTerms(_Table, frozen=True, kw_only=True):
    """The same for a run against real services, where people wait for the end. A gateway that was
    killed is back within 2 s on a quiet machine, and within 5 s on a busy one."""

    lock_within_seconds: float = 6.0
    commit_within_seconds: float = 8.0
    recovery_seconds: float = 4.0
    backstop_seconds: float | None = None


# --------------------------------------------------------------------------- what goes wrong


class _Fault(_Table, frozen=True, kw_only=True, tag_field="do"):
    """`when` is a moment (`Moment`)."""

    when: str


class KillGateway(_Fault, frozen=True, kw_only=True, tag="kill_gateway"):
    """The gateway dies, and is started again after a while: all its processes, or the one that has
    come to the moment."""

    seconds: float
    live_seconds: float | None = None
    which: Literal["all", "one"] = "all"


class StopLedger(_Fault, frozen=True, kw_only=True, tag="stop_ledger"):
    """A ledger answers nobody for a while; its clock goes on."""

    ledger: str
    seconds: float
    live_seconds: float | None = None


class Cut(_Fault, frozen=True, kw_only=True, tag="cut"):
    """The connection between a ledger and the gateway (one replica, or all) is down for a while."""

    ledger: str
    seconds: float
    live_seconds: float | None = None
    replica: int | None = None


class Lose(_Fault, frozen=True, kw_only=True, tag="lose"):
    """The next `count` requests to a ledger, or its answers, are lost."""

    ledger: str
    what: Literal["request", "answer"]
    count: int = 1


class Duplicate(_Fault, frozen=True, kw_only=True, tag="duplicate"):
    """From now on every message to a ledger arrives twice."""

    ledger: str


class Delay(_Fault, frozen=True, kw_only=True, tag="delay"):
    """From now on answers of a ledger take this long: they come late and out of order."""

    ledger: str
    seconds: float
    live_seconds: float | None = None


class ShiftClock(_Fault, frozen=True, kw_only=True, tag="shift_clock"):
    """A clock is set forward or back: of `gateway`, or of a ledger (forward only)."""

    of: str
    seconds: float


class Cancel(_Fault, frozen=True, kw_only=True, tag="cancel"):
    """An authority orders the cancellation, or parties ask for it."""

    by: tuple[str, ...] = ()  # parties; empty is the ledger's operator or the central bank
    reason: str = "INSOLVENCY"


class Claim(_Fault, frozen=True, kw_only=True, tag="claim"):
    """The holder of the secret claims the leg that pays it, on the ledger itself."""


class HandSecret(_Fault, frozen=True, kw_only=True, tag="hand_secret"):
    """The holder of the secret hands it to the gateway, which claims."""


class BlockAccount(_Fault, frozen=True, kw_only=True, tag="block_account"):
    """The ledger's operator blocks a party's account."""

    ledger: str
    party: str


class Reorganise(_Fault, frozen=True, kw_only=True, tag="reorganise"):
    """A ledger undoes its last change if that is not yet final."""

    ledger: str


class Restore(_Fault, frozen=True, kw_only=True, tag="restore"):
    """The site is lost; it comes back from a copy of the journal that lacks the last records."""

    records_lost: int
    seconds: float = 120.0


class LockOtherwise(_Fault, frozen=True, kw_only=True, tag="lock_otherwise"):
    """The payer of a leg locks it itself, under the agreed id, with an expiry that is earlier."""

    leg: str
    earlier_seconds: float


class ProposeOtherwise(_Fault, frozen=True, kw_only=True, tag="propose_otherwise"):
    """A payer posts other terms under the id of the trade: another amount for a leg."""

    leg: str
    amount: str


class Misdeclare(_Fault, frozen=True, kw_only=True, tag="misdeclare"):
    """A ledger's probe does not agree with the hash function that it declares."""

    ledger: str


class CutOffRegistry(_Fault, frozen=True, kw_only=True, tag="cut_off_registry"):
    """A registry of the network reaches neither the log nor the others for a while."""

    registry: str
    seconds: float


class AlterHolding(_Fault, frozen=True, kw_only=True, tag="alter_holding"):
    """Somebody or something alters holdings in the book of one registry, past its node: moves a
    little from one holder to another in its memory, or makes one row on its disk larger."""

    registry: str
    where: Literal["memory", "disk"]


Fault = (
    KillGateway
    | StopLedger
    | Cut
    | Lose
    | Duplicate
    | Delay
    | ShiftClock
    | Cancel
    | Claim
    | HandSecret
    | BlockAccount
    | Reorganise
    | Restore
    | LockOtherwise
    | ProposeOtherwise
    | Misdeclare
    | CutOffRegistry
    | AlterHolding
)


LIVE: Final = (
    KillGateway,
    StopLedger,
    Cut,
    Lose,
    Duplicate,
    Delay,
    Cancel,
    BlockAccount,
    ProposeOtherwise,
)
"""The faults that can be made with real services on one machine."""


class MomentKind(StrEnum):
    """When a fault happens; most name a leg."""

    START = "start"  # before anything is sent
    AT = "at"  # "at 30 s" after the start
    OPENED = "opened"  # the agreement is durable
    LOCK_SENT = "lock sent"  # the first lock command of a leg has left
    LOCKED = "locked"  # a leg is locked on its ledger
    ALL_LOCKED = "all locked"
    COMMITTED = "committed"  # the decision COMMIT is durable
    CANCELLING = "cancelling"  # the decision CANCEL is durable
    CLAIM_SENT = "claim sent"  # the first claim of a leg has left
    EXECUTED = "executed"  # a leg is executed on its ledger
    ALL_EXECUTED = "all executed"
    RETURNED = "returned"
    COMMIT_BY = "commit_by"  # the agreed instant has come
    EXPIRY = "expiry"  # of a leg, on its ledger's clock


WITH_LEG: Final = frozenset(
    {
        MomentKind.LOCK_SENT,
        MomentKind.LOCKED,
        MomentKind.CLAIM_SENT,
        MomentKind.EXECUTED,
        MomentKind.RETURNED,
        MomentKind.EXPIRY,
    }
)

_NUMBER: Final = re.compile(r"(\d+(?:\.\d+)?) ?s").fullmatch


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed `when`. `seconds`: after the start, or a shift of the moment."""

    kind: MomentKind
    leg: str | None = None
    seconds: float = 0.0


def moment(text: str) -> Moment | None:
    """`when` as a moment; None if it is none. A shift may follow: `expiry CASH - 5 s`."""
    body, shift = text, 0.0
    if found := re.fullmatch(r"(.*\S) ([+-]) (\d+(?:\.\d+)?) ?s", text):
        body, shift = found[1], float(found[3]) * (1 if found[2] == "+" else -1)
    if body.startswith("at ") and (number := _NUMBER(body[3:])):
        return Moment(kind=MomentKind.AT, seconds=float(number[1]) + shift)
    for kind in MomentKind:
        if kind in WITH_LEG and body.startswith(f"{kind} "):
            return Moment(kind=kind, leg=body[len(kind) + 1 :], seconds=shift)
        if kind not in WITH_LEG and body == kind and kind is not MomentKind.AT:
            return Moment(kind=kind, seconds=shift)
    return None


MOMENTS: Final = ", ".join(
    "at N s" if kind is MomentKind.AT else f"{kind} LEG" if kind in WITH_LEG else kind
    for kind in MomentKind
)
"""What may stand in `when`, for an error message."""


# --------------------------------------------------------------------------- what must come out


class Case(_Table, frozen=True, kw_only=True):
    """One run of the situation, and the end that it must reach."""

    name: str
    protocol: LockProtocol
    end: End
    legs: dict[str, LegEnd] = {}  # of those that are worth saying; the end says the rest
    reason: str | None = None  # a text that must stand in the refusal
    secret: str | None = None  # the party that holds the secret; none is the gateway's vault
    faults: tuple[Fault, ...] = ()  # beside those of the scenario
    cut_off_seconds: float | None = None  # in place of the ledgers'
    live: bool = False  # can be made with real services
    comment: str = ""


class Day(_Table, frozen=True, kw_only=True):
    """Many trades under random faults instead of one under a named one."""

    trades: int
    live_trades: int
    protocols: tuple[LockProtocol, ...]


class Scenario(_Table, frozen=True, kw_only=True):
    """A situation and its cases. `not_yet`: why today's product cannot make it."""

    id: str
    title: str
    group: str
    situation: str
    expected: str
    invariants: tuple[str, ...]
    precedent: str = ""
    tier: Literal["core", "extended"] = "core"
    not_yet: str | None = None
    not_live: str | None = None  # why no case can be made with real services
    ends: dict[LockProtocol, tuple[End, ...]] = {}  # what each protocol may end in at all
    registries: tuple[str, ...] = ()  # of a registry network; then nothing of what follows
    setting: str | None = None  # ledgers, parties, legs and terms from `settings/NAME.toml`
    ledgers: dict[str, LedgerSpec] = {}
    parties: dict[str, PartySpec] = {}
    legs: tuple[LegSpec, ...] = ()
    terms: Terms = Terms()
    live: LiveTerms = LiveTerms()
    replicas: int = 1
    faults: tuple[Fault, ...] = ()
    cases: tuple[Case, ...] = ()
    day: Day | None = None


def faults_of(scenario: Scenario, case: Case) -> tuple[Fault, ...]:
    """Everything that goes wrong in a case."""
    return (*scenario.faults, *case.faults)


def action(fault: Fault) -> str:
    """What a fault does, as it stands in the file."""
    tag = type(fault).__struct_config__.tag
    assert isinstance(tag, str)
    return tag
