"""An ordered log in memory: several connections to one order, and what may go wrong between them.

For simulations and tests of the registries. It promises exactly what `log.OrderedLog` says, and
with `Trouble` it breaks no promise but uses all the freedom that is left.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec

from ledgers.icsd.heard import Heard
from ledgers.icsd.log import Conflict, LogUnreachable, Message, Stored, Unresolved


class Trouble(msgspec.Struct, kw_only=True):
    """What goes wrong on one connection from now on; changed while it runs. Counts run down."""

    delay_seconds: float = 0.0  # before every answer
    lost_appends: int = 0  # Unresolved, and not stored
    lost_answers: int = 0  # Unresolved, though stored
    lost_tells: int = 0  # of this connection; nobody hears them
    unreachable: bool = False  # nothing comes through, in either direction
    behind: int = 0  # messages at the end of the log that its reads do not see yet


class MemoryLog:
    """The log itself. `connect` gives what a registry has of it."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._by_id: dict[str, Message] = {}
        self._last_of: dict[str, int] = {}
        self._connections: list[MemoryConnection] = []

    def connect(self) -> "MemoryConnection":
        connection = MemoryConnection(self)
        self._connections.append(connection)
        return connection

    def append(self, subject: str, data: bytes, id: str, after: int | None) -> Stored | Conflict:
        """In one step, as the engine does it."""
        same = self._by_id.get(id)
        if same is not None and (same.subject, same.data) == (subject, data):
            return Stored(sequence=same.sequence, repeated=True)
        if after is not None and self.last_of(subject) != after:
            return Conflict()
        message = Message(sequence=len(self.messages) + 1, subject=subject, data=data)
        self.messages.append(message)
        self._by_id.setdefault(id, message)
        self._last_of[subject] = message.sequence
        for connection in self._connections:
            connection.hint()
        return Stored(sequence=message.sequence)

    def last_of(self, subject: str) -> int:
        return self._last_of.get(subject, 0)

    def tell(self, sender: "MemoryConnection", subject: str, data: bytes) -> None:
        for connection in self._connections:
            if connection is not sender:
                connection.told(subject, data)

    def forget(self, connection: "MemoryConnection") -> None:
        self._connections.remove(connection)


class MemoryConnection:
    """The log as one registry is connected to it: an `OrderedLog`."""

    def __init__(self, log: MemoryLog) -> None:
        self.trouble = Trouble()
        self._log = log
        self._readers: list[Heard] = []
        self._closed = False

    async def append(
        self, subject: str, data: bytes, *, id: str, after: int | None = None
    ) -> Stored | Conflict | Unresolved:
        await self._on_the_way()
        if self.trouble.unreachable:
            return Unresolved(why="the log cannot be reached")
        if self.trouble.lost_appends:
            self.trouble.lost_appends -= 1
            return Unresolved(why="no answer")
        outcome = self._log.append(subject, data, id, after)
        if self.trouble.lost_answers:
            self.trouble.lost_answers -= 1
            return Unresolved(why="no answer")
        return outcome

    async def read(self, first: int, limit: int) -> Sequence[Message]:
        assert first >= 1, "sequences begin at 1"
        await self._reachable()
        seen = self._log.messages[: len(self._log.messages) - self.trouble.behind]
        return seen[first - 1 : first - 1 + limit]

    async def last(self) -> int:
        await self._reachable()
        return len(self._log.messages)

    async def last_of(self, subject: str) -> int:
        await self._reachable()
        return self._log.last_of(subject)

    async def tell(self, subject: str, data: bytes) -> None:
        await self._on_the_way()
        if self.trouble.unreachable:
            return
        if self.trouble.lost_tells:
            self.trouble.lost_tells -= 1
            return
        self._log.tell(self, subject, data)

    def heard(self) -> AsyncIterator[tuple[str, bytes]]:
        reader = Heard()
        self._readers.append(reader)
        return reader.each()

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._log.forget(self)
            for reader in self._readers:
                reader.close()

    def hint(self) -> None:
        """The log has grown."""
        if not self.trouble.unreachable:
            for reader in self._readers:
                reader.hint()

    def told(self, subject: str, data: bytes) -> None:
        """Another connection has told this."""
        if not self.trouble.unreachable:
            for reader in self._readers:
                reader.told(subject, data)

    async def _reachable(self) -> None:
        await self._on_the_way()
        if self.trouble.unreachable:
            raise LogUnreachable("the log cannot be reached")

    async def _on_the_way(self) -> None:
        assert not self._closed, "a closed connection is not used"
        await asyncio.sleep(self.trouble.delay_seconds)
