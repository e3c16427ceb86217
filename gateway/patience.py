"""How long requests wait for their answers: one timer for all of them.

A timer of the event loop for each request costs as much as looking at what it says, for nearly
every one is cancelled unused.
"""

import asyncio
from collections import deque
from typing import Any, TypeVar

T = TypeVar("T")


class Patience:
    """Ends the waiting for each answer after the same number of seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()  # the oldest first
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many are looked at: those that wait, and some whose answers have come."""
        return len(self._waiting)

    async def wait_for(self, answer: "asyncio.Future[T]") -> T:
        """The answer. TimeoutError, here and in the future, if it takes too long."""
        loop, waiting = asyncio.get_running_loop(), self._waiting
        while waiting and waiting[0][1].done():  # given in the order in which they were asked for
            waiting.popleft()
        waiting.append((loop.time() + self._seconds, answer))
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look, loop)
        return await answer

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the waiting of those whose time has come; look again when the next one's does."""
        waiting, now = self._waiting, loop.time()
        while waiting and (waiting[0][0] <= now or waiting[0][1].done()):
            _, answer = waiting.popleft()
            if not answer.done():
                answer.set_exception(TimeoutError())
        self._timer = loop.call_at(waiting[0][0], self._look, loop) if waiting else None
