"""The log's client library, with what it reads passed on at once, and what it sends sent at once.

The library gives each subscription a queue and a task of its own, through which every message goes;
a registry hears eight messages a block, and its process does nothing that such a queue could wait
for. So `Direct` calls whoever listens from where the message is read. What is sent the library
leaves to another task, which comes after everything else that is ready: a cut or a vote, for which
the whole network waits, then lies there while this process encodes a block for its database.

Two methods of the library are replaced that are not public: its version is pinned
(`pyproject.toml`), and the tests of the log would fail with another.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from nats.aio.client import Client

STATUS: Final = "Status"
"""The header of a reply that is no message: its number is that of HTTP, as far as there is one."""

STATUS_PLACE: Final = slice(9, 12)
"""Of a status in the first line: `NATS/1.0 404 Message Not Found`."""

NOTHING: Final[Mapping[str, str]] = {}


class Sent(msgspec.Struct, frozen=True):
    """What a server has sent."""

    subject: str
    data: bytes
    headers: Mapping[str, str] = NOTHING


Hear = Callable[[Sent], None]
"""Is given what comes on a subject listened to. Raises nothing, whatever it is given."""


class Direct(Client):
    """Whoever listens is named before its subscription is made (`hear`)."""

    def __init__(self) -> None:
        super().__init__()
        self._hears: dict[str, Hear] = {}

    async def hear(self, subject: str, hear: Hear) -> None:
        """Listen on a subject (`*` and `>` as in a subscription)."""
        self._hears[subject] = hear
        await self.subscribe(subject)

    async def _process_msg(
        self, sid: int, subject: bytes, _reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        subscription = self._subs.get(sid)
        if subscription is not None:
            told = headers_of(headers) if headers else NOTHING
            self._hears[subscription.subject](Sent(subject.decode(errors="replace"), data, told))

    async def _flush_pending(self, force_flush: bool = False) -> None:  # noqa: ARG002  # as it is called
        """To the socket, or to the transport's buffer if that is full: bounded by what is under way
        on a link, which is given up within seconds if nothing of it arrives."""
        transport = self._transport
        if self.is_connected and transport is not None and self._pending:
            unsent, self._pending, self._pending_data_size = self._pending, [], 0
            transport.writelines(unsent)


def headers_of(raw: bytes) -> dict[str, str]:
    """The headers of a message as it came: `NATS/1.0`, a status if the server answers itself, and a
    line for each. What a server adds comes last, and a status stands in the first line only: so a
    publisher can put neither there."""
    first, *lines = raw.decode(errors="replace").split("\r\n")
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon and name != STATUS:
            found[name] = value.strip()
    if status := first[STATUS_PLACE].strip():
        found[STATUS] = status
    return found
