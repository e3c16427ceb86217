"""One open settlement in memory, and what it owes to the journal and to its users."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from gateway.journal import Entry, Loaded, Notice, PairEnd, PaymentEnd, PendingPair
from gateway.links import Key
from htlc.events import Event, Learned
from htlc.leg import LegStatus
from htlc.settlement import BROKEN, Phase, Settlement
from htlc.swap import TWO_KEY
from htlc.units import LedgerId, Value
from ledgers.trace import Trace


class Advice(Value, frozen=True, kw_only=True):
    """What goes out with an entry, in the same transaction."""

    notices: tuple[Notice, ...] = ()
    pending: PendingPair | None = None
    settled_pair: str | None = None
    end: PairEnd | None = None
    payments: tuple[PaymentEnd, ...] = ()


NOTHING: Final = Advice()
"""Most entries are news for the journal only."""


class Origin(Protocol):
    """Where a settlement came from, and so who is told what about it."""

    def advise(self, before: Settlement, after: Settlement) -> Advice:
        """What the change from `before` (last durable) to `after` means to its parties."""
        ...

    def ended(self, state: Settlement) -> None:
        """The settlement has ended, durably."""
        ...


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Something a user asks of a settlement. `check` says no (a text) or yes (None) each time the
    request meets a newer state."""

    event: Event
    check: Callable[[Settlement], str | None]
    answer: "asyncio.Future[str | None]"

    def tell(self, text: str | None) -> None:
        """Answer it, unless whoever asked has gone."""
        if not self.answer.done():
            self.answer.set_result(text)


HOLD_FIRST: Final = 0.02
HOLD_MAX: Final = 1.0
"""Seconds before a command that changed nothing is sent again; the longest is the look-up interval
that the schedule of `htlc` counts with (`LATENCY_LOOKUP` in `config`)."""


class Live:
    """One open settlement in memory. `saved` is its state as the journal has it."""

    __slots__ = (
        "appending",
        "created_at",
        "held",
        "id",
        "in_flight",
        "origin",
        "pair",
        "phase",
        "requests",
        "saved",
        "sequence",
        "since",
        "state",
        "trace",
        "wakes_at",
    )

    def __init__(self, loaded: Loaded, origin: Origin, trace: Trace | None = None) -> None:
        self.id = loaded.state.swap.id
        self.state = self.saved = loaded.state
        self.sequence = loaded.sequence
        self.created_at = loaded.created_at
        self.pair = loaded.pair
        self.phase = loaded.state.phase  # as last counted, and since when (monotonic seconds)
        self.since = time.monotonic() - max(0.0, (time.time_ns() - loaded.created_at) / 1e9)
        self.origin = origin
        self.trace = trace  # of the request that opened it, where there was one: for the log
        self.appending = False
        self.in_flight: set[Key] = set()
        self.held: dict[Key, tuple[float, float]] = {}  # until, pause (monotonic seconds)
        self.requests: list[Request] = []
        self.wakes_at: int | None = None

    def hold(self, key: Key) -> float:
        """A command has changed nothing: the seconds that it is to be held for now."""
        _, pause = self.held.get(key, (0.0, HOLD_FIRST / 2))
        pause = min(2 * pause, HOLD_MAX)
        self.held[key] = (time.monotonic() + pause, pause)
        return pause

    def is_held(self, key: Key) -> bool:
        return key in self.held and time.monotonic() < self.held[key][0]


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """An entry on its way into the journal: `events` are the ones in it that are not facts,
    `before` is the state that they were decided on, and `after` the state once it is written."""

    live: Live
    entry: Entry
    before: Settlement
    after: Settlement
    events: tuple[Event, ...]
    request: Request | None = None


def facts(before: Settlement, after: Settlement) -> tuple[Learned, ...]:
    """What is known of legs now and was not when the journal was last written."""
    return tuple(
        [
            Learned(leg=n, known=leg)
            for n, leg in enumerate(after.legs)
            if leg.status is not before.legs[n].status
        ]
    )


def must_save(saved: Settlement, state: Settlement) -> bool:
    """Facts that cannot wait for the next record: an end, a break, being frozen, and, where the
    followers depend on it, an execution (a replica that cannot reach that ledger needs to know)."""
    if state.phase is not saved.phase and (state.ended or state.phase is BROKEN):
        return True
    if state.restored and state.frozen and not saved.frozen:
        return True  # operators may ask any replica
    return (
        state.agreement is not None
        and state.agreement.protocol is not TWO_KEY
        and any(
            now.status is LegStatus.EXECUTED and then.status is not LegStatus.EXECUTED
            for now, then in zip(state.legs, saved.legs, strict=True)
        )
    )


def about(live: Live, ledger: LedgerId | None = None) -> dict[str, object]:
    """What a line of the log says of a settlement; never a key."""
    return {"settlement": live.id, "ledger": ledger, "trace": live.trace}


# --------------------------------------------------------------------------- may it be asked?


def may_consent(state: Settlement) -> str | None:
    """Why consent comes too late, with the code of the denial."""
    if state.phase is Phase.CANCELLED:
        return "DCAN the proposal was withdrawn or has lapsed"
    return None


def may_cancel(state: Settlement) -> str | None:
    """Why a cancellation cannot be accepted any more, with the code of the denial."""
    if state.phase is Phase.SETTLED:
        return "DSET it is settled"
    if state.phase is Phase.CANCELLED:
        return "DCAN it is cancelled already"
    if state.frozen:
        return "DPRG it may have been committed before a restore: operators are resolving it"
    if not state.cancellable:
        return "DPRG settlement is in process and cannot be stopped"
    return None
