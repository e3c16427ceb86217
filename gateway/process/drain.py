"""The end of a service in good order, within a bounded time."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Final

from gateway.config import ShutdownSettings
from gateway.process.health import Health

POLL_SECONDS: Final = 0.02
"""Between two looks at whether all is done; settlements take some 100 ms."""

SLOW_SECONDS: Final = 1.0
"""A drain that takes longer is told at the usual level; a quick end is as silent as a start."""

_QUIET: Final = logging.DEBUG
_log = logging.getLogger("process")


async def drain(
    health: Health,
    settings: ShutdownSettings,
    *,
    refuse: Callable[[], None],
    idle: Callable[[], bool],
) -> None:
    """Not ready; then (`refuse`) no new intake; then wait until `idle`, or for the time there is.

    What is not done by then is in the journal: another replica, or the next start, goes on."""
    begun = time.monotonic()
    health.draining = True
    _log.debug("told to stop: not ready any more")
    await asyncio.sleep(settings.announce_seconds)
    refuse()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(settings.finish_seconds):
            while not idle():  # noqa: ASYNC110 - a hundred parts would have to tell of it
                await asyncio.sleep(POLL_SECONDS)
    seconds = time.monotonic() - begun - settings.announce_seconds
    if not idle():
        _log.warning("stopping after %.1f s; what is open is in the journal", seconds)
    else:
        _log.log(logging.INFO if seconds > SLOW_SECONDS else _QUIET, "drained in %.1f s", seconds)
