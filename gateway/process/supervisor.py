"""A network's supervisor as a process: looks again and again, tells Prometheus what it saw.

It has no database and answers nobody but who asks for metrics and probes.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from gateway.icsd_node.supervision import Sight, Supervision
from gateway.process import health
from gateway.process.serving import serve_app
from gateway.telemetry.lag import LoopLag
from gateway.telemetry.process import ProcessSource, exposition
from gateway.telemetry.supervisor import SupervisorSource
from gateway.telemetry.traffic import Traffic
from htlc.units import Instant

LOOK_SECONDS: Final = 120.0
"""A look that takes longer makes the process not ready. One takes milliseconds, and with a node
that does not answer the 30 s of `gateway.icsd_node.remote`, for each of a few requests."""


class Watch:
    """Looks every so many seconds, and shows each sight."""

    def __init__(
        self, supervision: Supervision, show: Callable[[Sight], None], every_seconds: float
    ) -> None:
        self._supervision = supervision
        self._show = show
        self._every_seconds = every_seconds
        self._source = SupervisorSource(supervision)
        self.is_wrong = False  # from the first look on at which anything was

    async def look(self) -> None:
        """Look once."""
        sight = await self._supervision.look(_now())
        self._source.saw(sight, _now())
        self.is_wrong |= bool(sight.wrong)
        self._show(sight)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._every_seconds)

    @asynccontextmanager
    async def exposed(self, listening: socket.socket) -> AsyncIterator[None]:
        """Metrics and probes on a socket of their own, meanwhile."""
        state, lag = health.Health(), LoopLag()
        state.started = True
        state.checks["looks"] = self._check
        answers = exposition(
            ProcessSource("supervisor", health=state, lag=lag, traffic=Traffic()),
            self._source,
        )
        measuring = asyncio.create_task(lag.run(), name="lag")
        app = health.build_app(state, answers, lambda: lag.last)
        runner = await serve_app(app, listening)
        try:
            yield
        finally:
            state.draining = True
            await runner.cleanup()
            measuring.cancel()

    def _check(self) -> str | None:
        if self._source.looked_at is None:
            return "it has not looked at the whole network yet"
        age = (_now() - self._source.looked_at) / 1e9
        if age > LOOK_SECONDS + self._every_seconds:
            return f"the last look ended {age:.0f} s ago"
        return None


def _now() -> Instant:
    return Instant(time.time_ns())
