"""One link per ledger: gathers commands of many settlements into batches, and keeps its clock.

A link does not decide and does not retry: it sends what it is given, hands back what the ledger
answers, and holds its fire for a growing pause after a ledger gave no answer at all.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

import aiohttp
import msgspec

from gateway.config import LedgerSettings, secret
from gateway.gathering import Gathering
from gateway.telemetry import logs, spans
from htlc.contract import Answer, Unknown
from htlc.coordinator import Clock
from htlc.units import Duration, HtlcId, Instant, LedgerId, SettlementId, Value
from ledgers.books import KeptLedger
from ledgers.distribution import SIZES, Distribution
from ledgers.icsd.nodes import NetworkLedger
from ledgers.port import Ledger, Lock, Operation
from ledgers.remote import RemoteLedger, RemoteLedgerError
from ledgers.trace import CURRENT, Trace

if TYPE_CHECKING:
    from opentelemetry.trace import Span

PAUSE_FIRST: Final = 0.05
PAUSE_MAX: Final = 1.0
"""Seconds between two tries at a ledger that gave no answer. Short: assets are locked meanwhile."""


Key = tuple[int, str]
"""A leg and the name of a command: what is in flight, or held, once at most."""


class Task(Value, frozen=True, kw_only=True):
    """One thing to ask a ledger. `operation` None is a look at the contract."""

    settlement: SettlementId
    key: Key
    contract: HtlcId
    operation: Operation | None
    trace: Trace | None = None


Told = Callable[[Sequence[Task], Sequence[Answer | Unknown]], None]
"""Takes what a ledger has answered to each task of a batch."""

_Ask = Callable[[Sequence[Task]], Awaitable[Sequence[Answer | Unknown]]]


class Traffic:
    """What a link did of one kind: requests by their seconds, and by the tasks in them."""

    def __init__(self) -> None:
        self.seconds = Distribution()
        self.sizes = Distribution(SIZES)


class Link:
    """Sends tasks to one ledger in batches; `told` is called with each, and its answers."""

    def __init__(
        self,
        name: LedgerId,
        ledger: Ledger,
        *,
        skew: Duration,
        batch_max: int,
        in_flight_max: int,
        told: Told,
        say: Callable[[str], None],
        stopped: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.name = name
        self.ledger = ledger
        self._skew = skew
        self._batch_max = batch_max
        self._in_flight_max = in_flight_max
        self._told = told
        self._say = say
        self._stopped = stopped
        self._operations: Gathering[Task] = Gathering()
        self._looks: Gathering[Task] = Gathering()
        self._at = Instant(0)
        self._read_at = 0
        self.failures = 0  # batches without any answer, in a row
        self.unanswered = 0  # batches without any answer, in all
        self.applied, self.looked = Traffic(), Traffic()
        self.refusals: Counter[str] = Counter()
        self.heard_at = 0  # our wall clock (ns) when the ledger last answered
        self.clock_offset = 0  # its time less ours (ns), then
        self.trusted = False  # it has passed the preflight: locks may go to it

    def put(self, tasks: Iterable[Task]) -> None:
        """Queue tasks. Bounded by what the runner has open: one task per leg and kind.

        No lock leaves for a ledger before it has passed the preflight (rule 5), nor for an asset
        that is not reconciled; whatever ends a lock that it holds already does. Of the latter it is
        asked what there is instead: the answer binds, so that the other legs are let go in time."""
        operations, looks = [], []
        for task in tasks:
            operation = task.operation
            if operation is None:
                looks.append(task)
            elif not isinstance(operation, Lock):
                operations.append(task)
            elif not self.trusted:
                why = f"ledger {self.name} has not passed the preflight"
                self._told((task,), (Unknown(why=why),))
            elif self._stopped(operation.terms.asset):
                looks.append(msgspec.structs.replace(task, operation=None))
            else:
                operations.append(task)
        self._operations.put(*operations)
        self._looks.put(*looks)

    def __len__(self) -> int:
        return len(self._operations) + len(self._looks)

    @property
    def clock(self) -> Clock | None:
        """The ledger's time: its last `at` plus the time since, by our monotonic clock."""
        if not self._at:
            return None
        elapsed = time.monotonic_ns() - self._read_at
        return Clock(at=Instant(self._at + elapsed), skew=self._skew)

    def read(self, at: Instant) -> None:
        """Take note of the ledger's time, just heard. It never goes back."""
        if at >= self._at:
            self._at, self._read_at = at, time.monotonic_ns()

    def _heard(self) -> None:
        """Once for each batch with an answer."""
        self.failures = 0
        self.heard_at = time.time_ns()
        self.clock_offset = self._at - self.heard_at

    async def run(self) -> None:
        """Send until cancelled: a few batches in flight, so that a ledger never waits for us."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._in_flight_max):
                group.create_task(self._pump(self._operations, self._apply, self.applied))
            group.create_task(self._pump(self._looks, self._look, self.looked))

    async def _pump(self, queue: Gathering[Task], ask: _Ask, traffic: Traffic) -> None:
        while True:
            batch = await queue.take(self._batch_max)
            begun = time.monotonic()
            within = common_trace(batch)
            span = self._span(batch, within)
            CURRENT.set(within if span is None else spans.trace_of(span))
            answers = await self._answers(ask, batch)
            if span is not None:
                span.end()
            traffic.seconds.observe(time.monotonic() - begun)
            traffic.sizes.observe(len(batch))
            if all(isinstance(answer, Unknown) for answer in answers):
                self.failures += 1
                self.unanswered += 1
                await asyncio.sleep(min(PAUSE_MAX, PAUSE_FIRST * 2 ** min(self.failures, 8)))
                self._hand_back(batch, answers)
            else:
                self._hand_back(batch, answers)
                self._heard()

    def _span(self, batch: Sequence[Task], within: Trace | None) -> "Span | None":
        if spans.active is None:
            return None
        about: dict[str, str | int] = {
            "lockstep.ledger": str(self.name),
            "lockstep.batch.size": len(batch),
        }
        name = "look" if batch[0].operation is None else "apply"
        return spans.active.begin(f"ledger {name}", "CLIENT", within, about)

    def _hand_back(self, batch: Sequence[Task], answers: Sequence[Answer | Unknown]) -> None:
        latest = Instant(0)
        for answer in answers:
            if isinstance(answer, Answer):
                if answer.at > latest:
                    latest = answer.at
                if answer.refusal is not None:
                    self.refusals[answer.refusal] += 1
        self.read(latest)
        self._told(batch, answers)

    async def _answers(self, ask: _Ask, batch: Sequence[Task]) -> Sequence[Answer | Unknown]:
        """A ledger that refuses to talk to us (a token withdrawn, another version) has told no
        fact: what is asked stays owed, and a person is told."""
        try:
            return await ask(batch)
        except RemoteLedgerError as error:
            with logs.bound(ledger=self.name):
                self._say(f"PAGE: ledger {self.name} refuses the gateway: {error}")
            return [Unknown(why=str(error))] * len(batch)

    async def _apply(self, batch: Sequence[Task]) -> Sequence[Answer | Unknown]:
        return await self.ledger.apply([task.operation for task in batch if task.operation])

    async def _look(self, batch: Sequence[Task]) -> Sequence[Answer | Unknown]:
        return await self.ledger.look([task.contract for task in batch])


def ledger(session: aiohttp.ClientSession, access: LedgerSettings) -> KeptLedger:
    """A ledger, or a network of registries as one, as the gateway speaks to it. Raises
    ConfigurationError."""
    token = secret(access.token_file)
    if not access.registries:
        return RemoteLedger(session, access.url, token)
    return NetworkLedger(
        {name: RemoteLedger(session, url, token) for name, url in access.registries.items()}
    )


def common_trace(batch: Sequence[Task]) -> Trace | None:
    """The trace that all tasks of a batch belong to: only then it is handed on."""
    first = batch[0].trace
    if first is None or any(task.trace != first for task in batch):
        return None
    return first
