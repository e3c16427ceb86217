"""Tasks that end when they are told to.

A driver that loses its connection at the moment of a cancellation tells the loss instead, and a
loop that lives through losses goes on: then it is told once more.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

AGAIN_SECONDS: Final = 0.2
"""Between two cancellations of one task: what ends properly takes some milliseconds."""


async def ending(work: Coroutine[Any, Any, None]) -> None:
    """Do `work`; once cancelled, cancel it until it has ended."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=AGAIN_SECONDS)
        if not task.cancelled():
            task.exception()  # looked at: it has ended, and how no longer matters
        raise
