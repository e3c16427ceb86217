"""What a node has read of the log and heard from others, and has not worked on yet: bounded."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from htlc.units import Instant
from ledgers.icsd.entry import Signed, Vote, unpack
from ledgers.icsd.log import LogUnreachable, Message, OrderedLog

READ_MAX: Final = 500
"""Messages of one read of the log: what the engine gives at once."""

MESSAGES_MAX: Final = 2_000
"""Messages that were read and not applied yet: bounds memory while a node catches up."""

VOTES_MAX: Final = 1_024
"""Votes that were heard and not counted yet; the oldest give way. They are told again."""

POLL_SECONDS: Final = 0.5
"""Between two reads without a hint: hints are sent once and may be lost."""

PAUSE_SECONDS: Final = 0.1
PAUSE_SECONDS_MAX: Final = 2.0
"""The first and the longest pause after a failed read, which doubles in between: a log that has
lost its leader is back after 4 to 9 seconds, and all registries ask it at once."""


class Inbox:
    """One node's side of the log's reading."""

    def __init__(self, log: OrderedLog, first: int, clock: Callable[[], Instant]) -> None:
        self.messages: deque[Message] = deque()
        self.votes: deque[tuple[Signed, Vote]] = deque(maxlen=VOTES_MAX)
        self.awake = asyncio.Event()  # something has come in
        self.next = first  # the sequence in the log of the next message
        self.read_until: Instant | None = None  # our clock when the log was last read to its end
        self.failures = 0  # reads that failed
        self._log = log
        self._clock = clock
        self._grown = asyncio.Event()
        self._taken = asyncio.Event()

    async def read(self) -> None:
        """Read on until cancelled. Raises LogBroken and LogRefused."""
        pause = PAUSE_SECONDS
        while True:
            self._grown.clear()
            try:
                ended = await self._read_once()
                pause = PAUSE_SECONDS
            except LogUnreachable:
                self.failures += 1
                await asyncio.sleep(pause)
                pause = min(2 * pause, PAUSE_SECONDS_MAX)
                continue
            if ended:
                await came(self._grown, POLL_SECONDS)
            while len(self.messages) >= MESSAGES_MAX:
                self._taken.clear()
                await self._taken.wait()

    async def _read_once(self) -> bool:
        """Whether that was the end of the log."""
        begun = self._clock()
        found = await self._log.read(self.next, READ_MAX)
        self.messages += found
        self.next += len(found)
        ended = len(found) < READ_MAX
        if ended:
            self.read_until = begun
        if found or ended:
            self.awake.set()
        return ended

    async def listen(self) -> None:
        """Take votes and hints until the connection is closed."""
        async for subject, data in self._log.heard():
            if not subject:
                self._grown.set()
            elif (opened := unpack(data)) is not None and isinstance(opened[1], Vote):
                self.votes.append((opened[0], opened[1]))
                self.awake.set()

    def take(self) -> Message | None:
        """The next message."""
        if not self.messages:
            return None
        self._taken.set()
        return self.messages.popleft()


async def came(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event; if nothing else has set it by then, it is set."""
    if event.is_set():
        return
    timer = asyncio.get_running_loop().call_later(seconds, event.set)
    try:
        await event.wait()
    finally:
        timer.cancel()
