"""The end of a service in good order, within a bounded time."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

from gateway.config import ShutdownSettings
from gateway.process.health import Health
from gateway.telemetry.logs import Say

POLL_SECONDS: Final = 0.02
"""Between two looks at whether all is done; settlements take some 100 ms."""


async def drain(
    health: Health,
    settings: ShutdownSettings,
    *,
    refuse: Callable[[], None],
    idle: Callable[[], bool],
    say: Say,
) -> None:
    """Not ready; then (`refuse`) no new intake; then wait until `idle`, or for the time there is.

    What is not done by then is in the journal: another replica, or the next start, goes on."""
    begun = time.monotonic()
    health.draining = True
    say("stopping: not ready any more")
    await asyncio.sleep(settings.announce_seconds)
    refuse()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(settings.finish_seconds):
            while not idle():  # noqa: ASYNC110 - a hundred parts would have to tell of it
                await asyncio.sleep(POLL_SECONDS)
    rest = "" if idle() else "; the rest is in the journal"
    say(f"stopping: drained in {time.monotonic() - begun:.1f} s{rest}")
