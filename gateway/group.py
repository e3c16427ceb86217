"""Group commit: many small durable writes share one transaction.

Whatever has gathered while the last batch was being written goes out as the next one: an idle
system writes at once, a busy one writes in large batches (`gathering`).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from gateway.epoch import SupersededError
from gateway.gathering import Gathering
from gateway.journal import LOST
from ledgers.distribution import SIZES, Distribution

T = TypeVar("T")
R = TypeVar("R")

PAUSE_FIRST: Final = 0.05
PAUSE_MAX: Final = 2.0
"""Seconds between two tries to reach a database that is away: a restart takes 0.1 to 2 s."""


class Overloaded(Exception):
    """The queue is full: the caller should come back later."""


class GroupWriter(Generic[T, R]):
    """A bounded queue in front of `write`, which takes a batch and gives one result per item.

    `done` is called with each item and its result. A batch whose outcome is unknown (connection
    lost) is written again until it is known: `write` must be idempotent. A batch that the database
    refuses (our own error in one of its items) is written item by item; `failed` is called with
    the ones that cannot be written, and the others are not harmed. SupersededError ends `run`."""

    def __init__(
        self,
        write: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        done: Callable[[T, R], None],
        failed: Callable[[T, Exception], None],
        *,
        batch_max: int,
        queue_max: int,
        say: Callable[[str], None],
    ) -> None:
        self._write = write
        self._done = done
        self._failed = failed
        self._batch_max = batch_max
        self._say = say
        self._queue_max = queue_max
        self._queue: Gathering[T] = Gathering()
        self.seconds = Distribution()  # of a batch, until its outcome is known
        self.sizes = Distribution(SIZES)
        self.retries = 0  # batches written again
        self._busy_since: float | None = None

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def lag(self) -> float:
        """Seconds that the batch being written has taken so far; 0 when none is."""
        return 0.0 if self._busy_since is None else time.monotonic() - self._busy_since

    def put(self, *items: T) -> None:
        """Queue items; refuses them (`Overloaded`) when the queue would be too long."""
        if len(self._queue) + len(items) > self._queue_max:
            raise Overloaded
        self._queue.put(*items)

    async def run(self) -> None:
        """Write batches until cancelled. What is queued then is lost to this process only: it was
        told to nobody."""
        while True:
            batch = await self._queue.take(self._batch_max)
            begun = self._busy_since = time.monotonic()
            await self._write_out(batch)
            self._busy_since = None
            self.seconds.observe(time.monotonic() - begun)
            self.sizes.observe(len(batch))

    async def _write_out(self, batch: Sequence[T]) -> None:
        try:
            results = await self._until_known(batch)
        except SupersededError:
            raise
        except Exception as error:
            if len(batch) == 1:
                self._failed(batch[0], error)
                return
            for item in batch:
                await self._write_out([item])
            return
        for item, result in zip(batch, results, strict=True):
            self._done(item, result)

    async def _until_known(self, batch: Sequence[T]) -> Sequence[R]:
        pause = PAUSE_FIRST
        while True:
            try:
                return await self._write(batch)
            except LOST as error:
                self._say(f"the gateway's database is away ({error!r}); trying again")
                self.retries += 1
                await asyncio.sleep(pause)
                pause = min(2 * pause, PAUSE_MAX)
