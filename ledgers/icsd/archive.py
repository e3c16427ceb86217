"""A registry that starts anew reads another one's archive as if it were the log.

The archive has the same messages at the same places, so the node takes them through the same
replica: every signature, every cut and every certificate is checked, every entry is done again, and
what comes out must be what a quorum signed. The other registry need not be trusted: it can leave
out the end, and nothing else.
"""

from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Final, Protocol

from ledgers.icsd.entry import CUT_SUBJECT
from ledgers.icsd.heard import Heard
from ledgers.icsd.log import LogBroken, LogRefused, Message, Stored, Unresolved
from ledgers.icsd.recovery import Begun
from ledgers.icsd.store import Placed

SUBJECT: Final = "ord.archived"
"""Of the messages that are no cuts. Whose they are, their signatures say."""


class Source(Protocol):
    """Another registry's archive."""

    async def page(self, after: int) -> Sequence[Placed]:
        """Certified blocks after a height, as many as it likes; none past the end. Raises
        LogUnreachable."""
        ...

    async def begun(self) -> Sequence[Begun]:
        """The epochs that people began."""
        ...


class ArchiveLog:
    """One log's part of an archive, as an `OrderedLog` that nobody writes to: the blocks above
    `height`, which the reader has, up to `last`."""

    def __init__(self, source: Source, log: int, height: int, last: int) -> None:
        self._source = source
        self._log = log
        self._last = last
        self.height = height  # of the last block that was read
        self._ready: deque[Message] = deque()
        self._heard = Heard()
        self.ended = False  # this log's part was read to its end

    async def read(self, first: int, limit: int) -> Sequence[Message]:
        if not self._ready and not self.ended:
            await self._fetch()
        found = [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]
        if found and found[0].sequence != first:
            raise LogBroken(f"the archive goes on at {found[0].sequence} instead of {first}")
        return found

    async def _fetch(self) -> None:
        page = await self._source.page(self.height)
        here = [
            placed
            for placed in page
            if placed.log == self._log and placed.block.header.height <= self._last
        ]
        for placed in here:
            self._ready += messages(placed)
            self.height = placed.block.header.height
        self.ended = len(here) < len(page) or not page or self.height >= self._last

    async def append(
        self,
        subject: str,
        data: bytes,
        *,
        id: str,  # noqa: ARG002
        after: int | None = None,  # noqa: ARG002
    ) -> Stored | Unresolved:
        """Nothing is published while a registry catches up."""
        return Unresolved(why=f"{subject}: {len(data)} bytes wait for the log")

    async def last(self) -> int:
        raise LogRefused("an archive is read until it ends")

    async def last_of(self, subject: str) -> int:
        raise LogRefused(f"an archive does not know subjects like {subject}")

    async def tell(self, subject: str, data: bytes) -> None:
        """Nobody listens."""

    def heard(self) -> AsyncIterator[tuple[str, bytes]]:
        return self._heard.each()

    async def close(self) -> None:
        self._heard.close()


def messages(placed: Placed) -> list[Message]:
    """A block as it stands in the log: its messages and then its cut, without a gap."""
    block, position = placed.block, placed.position
    first = position - len(block.messages)
    told = [
        Message(sequence=first + number, subject=SUBJECT, data=data)
        for number, data in enumerate(block.messages)
    ]
    return [*told, Message(sequence=position, subject=CUT_SUBJECT, data=block.cut)]
