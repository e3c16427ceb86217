"""Pairs that wait: for their settlement date, for what they lack, for another attempt.

A pair is tried again when its time has come, and at once when a settlement of ours brings its payer
the asset that it lacks: a chain of deliveries settles as fast as its first link.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from typing import Final

from gateway.jobs import FOREVER, AttemptJob
from gateway.journal import PendingPair
from gateway.pairs import Holding, MatchedPair
from htlc.settlement import Settlement

DATE_SECONDS: Final = 1.0
"""How often a pair asks for the business date when its own has come by the clock."""


class PendingPairs:
    """The waiting pairs that this replica looks after."""

    def __init__(
        self,
        *,
        needs: Callable[[MatchedPair], tuple[Holding, ...]],
        attempt: Callable[[AttemptJob], bool],
        now: Callable[[], int],
        today: Callable[[], date],
    ) -> None:
        self._needs_of = needs
        self._attempt = attempt
        self._now = now
        self._today = today
        self._waiting: dict[str, tuple[PendingPair, MatchedPair]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._needs: defaultdict[Holding, set[str]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._waiting)

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
        delay = max(0.0, (pending.due_at - self._now()) / 1e9)
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
        for leg in state.swap.legs:
            self.brought((leg.ledger, leg.payee.account, leg.asset))

    def brought(self, holding: Holding) -> None:
        """An account was given something: the pairs that lacked it are tried again."""
        for id in tuple(self._needs.get(holding, ())):
            if self._waiting[id][0].attempts:  # not one that only waits for its date
                self._try(id)

    def _try(self, id: str) -> None:
        pending, pair = self._waiting[id]
        if pair.settlement_date > self._today():
            # The clock is past the date, the business date (configured, then) is not.
            loop = asyncio.get_running_loop()
            self._timers[id] = loop.call_later(DATE_SECONDS, self._try, id)
            return
        job = AttemptJob(pair=pair, attempt=pending.attempts + 1, advised=pending.advised)
        if self._attempt(job):
            self.forget(id)
        else:  # too much is queued: the next second will do
            self._timers[id] = asyncio.get_running_loop().call_later(1.0, self._try, id)
