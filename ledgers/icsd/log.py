"""What the network needs of an ordered log: one order of messages, read alike by everyone.

The log gives order and keeps what it acknowledged; it is not trusted for more. What is in it is
signed by registries, hashed into blocks and archived by every one of them, so a log that loses,
alters or forks what it once told is found out by the first reader and replaced by another.

A publisher is told one of three things, and must be ready for each of them:

    Stored     it stands in the log at this sequence (also if it stood there before: `repeated`)
    Conflict   the guard failed: another message came first on this subject
    Unresolved nobody knows. Read the log, or publish the same message with the same id again
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    sequence: int
    repeated: bool = False


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Unresolved(msgspec.Struct, frozen=True, kw_only=True):
    why: str


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message of the log. Sequences have no gaps; the first is 1."""

    sequence: int
    subject: str
    data: bytes


class LogUnreachable(Exception):
    """No answer to a read: ask again later."""


class LogBroken(Exception):
    """What was read cannot be the log that was read before: a gap, a change, a shorter log. Not
    retried: people decide (`README.md`, "When the log is lost")."""


class LogRefused(Exception):
    """The log does not let us, or is not set up as it must be. Asking again changes nothing: the
    text says what to mend, here or there."""


class OrderedLog(Protocol):
    """The log as one registry (or a reader) is connected to it."""

    async def append(
        self, subject: str, data: bytes, *, id: str, after: int | None = None
    ) -> Stored | Conflict | Unresolved:
        """Publish. `id` makes a repetition harmless; with `after`, only if the last message of
        this subject has that sequence (0: there is none). Raises LogRefused."""
        ...

    async def read(self, first: int, limit: int) -> Sequence[Message]:
        """The messages from `first` on, without a gap: `limit` of them, or fewer if there are no
        more. May be behind the last append. Raises LogUnreachable, LogBroken, LogRefused."""
        ...

    async def last(self) -> int:
        """The sequence of the last message; 0 if there is none. Raises as `read` does."""
        ...

    async def last_of(self, subject: str) -> int:
        """The sequence of the last message of a subject; 0 if there is none. May be behind: a
        guard made of it then ends in Conflict. Raises as `read` does."""
        ...

    async def tell(self, subject: str, data: bytes) -> None:
        """Send to whoever listens now. Kept nowhere, promised to nobody: votes, sent again until
        they are no longer needed."""
        ...

    def heard(self) -> AsyncIterator[tuple[str, bytes]]:
        """What others `tell`, and an empty pair whenever the log may have grown: a hint only."""
        ...

    async def close(self) -> None: ...
