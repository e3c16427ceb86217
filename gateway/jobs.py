"""What intake is given to do, and what becomes of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import msgspec

from gateway.inbound import Arrival
from gateway.journal import Loaded, Opening, PendingPair
from gateway.live import Origin
from gateway.pairs import MatchedPair
from gateway.port import Conflict, Taken
from gateway.sql import Connection
from htlc.events import Event
from htlc.swap import Swap
from htlc.units import MemberId, SettlementId, Value
from ledgers.trace import Trace
from protocols.iso20022.errors import ProtocolError

FOREVER: Final = 2**63 - 1
"""`due_at` of a pair that waits for something else than time: a running attempt, a release."""


UNTOLD: Final = "----"
"""`advised` of a pair that waits and whose sides were told no reason yet."""


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A settlement that an intake has opened, to be adopted by the runner."""

    loaded: Loaded
    origin: Origin


class MessageJob(msgspec.Struct, frozen=True, kw_only=True):
    """The valid messages of one request."""

    arrivals: tuple[Arrival, ...]
    answer: "asyncio.Future[list[Taken | ProtocolError]]"
    trace: Trace | None = None


class Proposal(Value, frozen=True, kw_only=True):
    """A sound swap, the digest of its terms as posted, who consents, and the event that opens it
    at once if everybody does."""

    swap: Swap
    digest: bytes
    consents: frozenset[MemberId]
    opened: Event | None


class SwapJob(msgspec.Struct, frozen=True, kw_only=True):
    """The proposals of one request."""

    proposals: tuple[Proposal, ...]
    answer: "asyncio.Future[list[SettlementId | Conflict]]"
    trace: Trace | None = None


class AttemptJob(msgspec.Struct, frozen=True, kw_only=True):
    """The next attempt of a pair; `wait` is where the pair stands before it."""

    pair: MatchedPair
    wait: PendingPair
    trace: Trace | None = None

    @property
    def attempt(self) -> int:
        return self.wait.attempts + 1

    @property
    def advised(self) -> str:
        """The first side's reason code, as told before; empty: nothing was."""
        return self.wait.advised


Job = MessageJob | SwapJob | AttemptJob


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a job."""

    started: list[Started]
    messages: list[Taken | ProtocolError] = []
    swaps: list[SettlementId | Conflict] = []
    waits: list[tuple[PendingPair, MatchedPair]] = []
    over: list[str] = []  # pairs that wait no more
    told: set[str] = set()  # members beside the sender


Begun = tuple[int, Opening, Started]
"""The number of a job, and a settlement that it opens."""

Admit = Callable[
    [Connection, Sequence[tuple[int, Arrival]], Sequence[Done]], Awaitable[list[Begun]]
]
"""Deals with new messages of one family inside the transaction; each with its job's number."""


_T = TypeVar("_T")


def answer(future: "asyncio.Future[_T]", value: _T) -> None:
    """Tell whoever waits, if it still does: it may have gone away."""
    if not future.done():
        future.set_result(value)


def nothing_done(jobs: Sequence[Job]) -> list[Done]:
    """A result for each job, to be filled in."""
    return [Done(started=[], messages=[], swaps=[], waits=[]) for _ in jobs]


def note_started(openings: Sequence[Begun], new: Sequence[bool], done: Sequence[Done]) -> None:
    """What was opened starts for the job that opened it."""
    for (n, _, started), is_new in zip(openings, new, strict=True):
        if is_new:
            done[n].started.append(started)
