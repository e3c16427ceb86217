"""Pairs that wait: for their settlement date, for what they lack, for another attempt.

A pair is tried again when its time has come, and at once when a settlement of ours brings its payer
the asset that it lacks: a chain of deliveries settles as fast as its first link. Of several that
wait for the same asset the one with the higher priority is tried first.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final

from gateway import waiting
from gateway.amounts import Holding
from gateway.days import Days
from gateway.jobs import FOREVER, AttemptJob
from gateway.journal import PendingPair
from gateway.pairs import MatchedPair
from htlc.settlement import Settlement

DATE_SECONDS: Final = 1.0
"""How often at most a pair asks whether its business day is open."""

OPEN_SECONDS_MAX: Final = 3600.0
"""And how often at least: the machine's clock may be set."""


class PendingPairs:
    """The waiting pairs that this replica looks after."""

    def __init__(
        self,
        *,
        needs: Callable[[MatchedPair], tuple[Holding, ...]],
        attempt: Callable[[AttemptJob], bool],
        days: Days,
    ) -> None:
        self._needs_of = needs
        self._attempt = attempt
        self._days = days
        self._waiting: dict[str, tuple[PendingPair, MatchedPair]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._needs: defaultdict[Holding, set[str]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._waiting)

    def all(self) -> list[tuple[PendingPair, MatchedPair]]:
        """Each as it is known here, and why it waits."""
        return list(self._waiting.values())

    def __iter__(self) -> Iterator[str]:
        return iter(self._waiting)

    def wait(self, pending: PendingPair, pair: MatchedPair) -> None:
        """Take on a pair. One that waits for no time (a hold, a running attempt) is only known."""
        self.forget(pair.id)
        self._waiting[pair.id] = (pending, pair)
        if pending.due_at == FOREVER:
            return
        for need in self._needs_of(pair):
            self._needs[need].add(pair.id)
        delay = max(0.0, (pending.due_at - self._days.now()) / 1e9)
        if not pending.attempts and self._days.is_open(pair) and pending.advised in waiting.DATED:
            delay = 0.0  # its date was set by hand, ahead of the clock
        self._timers[pair.id] = asyncio.get_running_loop().call_later(delay, self._try, pair.id)

    def forget(self, id: str) -> None:
        """A pair that waits no more."""
        known = self._waiting.pop(id, None)
        if (timer := self._timers.pop(id, None)) is not None:
            timer.cancel()
        if known is not None:
            for need in self._needs_of(known[1]):
                self._needs[need].discard(id)

    def settled(self, state: Settlement) -> None:
        """A settlement has brought its payees something: whoever lacked it is tried again."""
        for leg in state.swap.legs if self._needs else ():
            self.brought((leg.ledger, leg.payee.account, leg.asset))

    def brought(self, holding: Holding) -> None:
        """An account was given something: the pairs that lacked it are tried again."""
        for id in sorted(self._needs.get(holding, ()), key=self._order):
            if self._waiting[id][0].attempts:  # not one that only waits for its date
                self._try(id)

    def _order(self, id: str) -> tuple[str, int, str]:
        """Of several that want the same: by priority, and then the oldest first."""
        pair = self._waiting[id][1]
        entered_at = max(side.entered_at for side, _ in pair.sides)
        return pair.priority, entered_at, id

    def _try(self, id: str) -> None:
        pending, pair = self._waiting[id]
        if not self._days.is_open(pair):
            # After a cut-off, or where the business date is set by hand and lags the clock.
            loop = asyncio.get_running_loop()
            opens_in = (self._days.current(pair.instruction).opens_at - self._days.now()) / 1e9
            delay = min(max(opens_in, DATE_SECONDS), OPEN_SECONDS_MAX)
            self._timers[id] = loop.call_later(delay, self._try, id)
            return
        job = AttemptJob(pair=pair, wait=pending)
        if self._attempt(job):
            self.forget(id)
        else:  # too much is queued: the next second will do
            self._timers[id] = asyncio.get_running_loop().call_later(1.0, self._try, id)
