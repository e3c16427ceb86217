"""A registry's node that kills itself at a point in the life of a message, once it is told to.

    LOCKSTEP_DIES_AT=FILE python -m tests.system.mortal_node icsd-node --config registry.toml

It is the node as it is, but where FILE names one of `POINTS`, it takes the file away and dies there
by SIGKILL: no luck is needed to meet the moments that a kill from outside meets once in a thousand.
"""

import os
import signal
from pathlib import Path
from typing import Any, Final

from gateway.cli import main
from gateway.icsd_node.message_store import MessageStore
from ledgers.icsd.stream import JetStreamLog

FILE: Final = "LOCKSTEP_DIES_AT"

POINTS: Final = ("kept", "published", "final", "answered")
"""Durable, and not yet received (202); in the log, and not yet final; final, and the answer not yet
written; the answer in the mailbox, and nobody told."""

_awaited: set[bytes] = set()
"""Ids of what messages ask for, as they stand in a bundle."""


def die(point: str) -> None:
    """If this is the point to die at."""
    file = Path(os.environ[FILE])
    if file.exists() and file.read_text() == point:
        file.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def mortal() -> None:
    """Put the points into the classes that a node is made of."""
    keep, waiting, answer = MessageStore.keep, MessageStore.waiting, MessageStore.answer
    append = JetStreamLog.append

    async def kept(self: MessageStore, *given: Any) -> bool:
        found = await keep(self, *given)
        die("kept")
        return found

    async def noted(self: MessageStore, limit: int) -> Any:
        found = await waiting(self, limit)
        _awaited.update(each.id.encode() for each in found)
        return found

    async def published(self: JetStreamLog, subject: str, data: bytes, **given: Any) -> Any:
        told = await append(self, subject, data, **given)
        if any(id in data for id in _awaited):
            die("published")
        return told

    async def answered(self: MessageStore, replies: Any) -> None:
        if replies:
            die("final")
        await answer(self, replies)
        if replies:
            die("answered")

    MessageStore.keep = kept  # type: ignore[method-assign,assignment]
    MessageStore.waiting = noted  # type: ignore[method-assign]
    MessageStore.answer = answered  # type: ignore[method-assign]
    JetStreamLog.append = published  # type: ignore[method-assign]


if __name__ == "__main__":
    mortal()
    main()
