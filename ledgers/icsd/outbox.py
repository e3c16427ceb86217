"""What a registry asks of the network: entries gather, leave in bundles, and are answered when the
block that they stand in is final.

One bundle is on its way to the log at a time and the next gathers meanwhile, so the more is asked
the larger bundles become. A bundle is durable before it is published, and published again with the
same bytes until the log has it: the log may forget an answer, the network counts each bundle once.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledgers.icsd.entry import (
    ENTRIES_MAX,
    MESSAGE_MAX,
    NOTHING,
    Bundle,
    Entry,
    Hash,
    Signed,
    bundle_subject,
    pack,
    sign,
    unpack,
)
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.log import OrderedLog, Stored
from ledgers.icsd.proof import Result
from ledgers.port import LedgerUnreachable

QUEUE_MAX: Final = 20_000
"""Entries that wait for an answer: three seconds of a busy network. Who comes later is told at
once that the registry is overloaded instead of waiting for an answer that comes too late."""

BYTES_MAX: Final = MESSAGE_MAX // 2
"""Of the entries of one bundle, so that envelope and signature fit beside them in any case."""

AGAIN_SECONDS: Final = 0.25
"""Before a bundle whose fate is not known is published again; doubles with each try."""

AGAIN_SECONDS_MAX: Final = 4.0
"""The log finds a new leader in 4 to 9 seconds: it is asked soon after that."""

_encoder: Final = msgspec.msgpack.Encoder()


class Asked(msgspec.Struct, eq=False):
    """What one caller asks: entries that stay together, in their order."""

    entries: Sequence[Entry]
    future: "asyncio.Future[list[Result]]"
    size: int  # bytes


class Sent(msgspec.Struct, eq=False):
    """A bundle that is not final yet, and who waits for its answers."""

    bundle: Bundle
    signed: Signed
    asked: list[Asked]


class Outbox:
    """The own bundles of one registry."""

    def __init__(
        self,
        me: RegistryId,
        key: Ed25519PrivateKey,
        log: OrderedLog,
        keep: Callable[[int, bytes], Awaitable[None]],
        gather_seconds: float,
    ) -> None:
        self._me = me
        self._key = key
        self._log = log
        self._keep = keep
        self._gather_seconds = gather_seconds
        self._queue: deque[Asked] = deque()
        self._sent: dict[int, Sent] = {}
        self._epoch = 0
        self._last: tuple[int, Hash] = (0, NOTHING)
        self._awake = asyncio.Event()
        self.waiting = 0  # entries that are not answered yet
        self.overloaded = 0  # entries turned away

    def begin(self, epoch: int, last: tuple[int, Hash], kept: Sequence[bytes]) -> None:
        """Go on after the last bundle that counted, with those kept from before a restart."""
        self._epoch, self._last = epoch, last
        for data in kept:
            opened = unpack(data)
            assert opened is not None, "it was written here"
            signed, bundle = opened
            assert isinstance(bundle, Bundle), "so it is a bundle"
            if bundle.sequence > last[0]:
                self._sent[bundle.sequence] = Sent(bundle, signed, [])
                self._last = (bundle.sequence, signed.hash)

    def ask(self, entries: Sequence[Entry]) -> "asyncio.Future[list[Result]]":
        """Put entries (at most `ENTRIES_MAX`) into the order of the network; the answers come when
        they are final. Raises LedgerUnreachable when too many wait already."""
        assert 0 < len(entries) <= ENTRIES_MAX, "a bundle holds what one caller asks at once"
        if self.waiting + len(entries) > QUEUE_MAX:
            self.overloaded += len(entries)
            raise LedgerUnreachable("overloaded")
        size = len(_encoder.encode(entries))
        if size > BYTES_MAX:
            raise LedgerUnreachable(f"{size} bytes are more than a bundle holds ({BYTES_MAX})")
        future: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()
        self._queue.append(Asked(entries, future, size))
        self.waiting += len(entries)
        self._awake.set()
        return future

    async def run(self) -> None:
        """Publish until cancelled. Raises what the log or the database refuse for good."""
        for sent in list(self._sent.values()):
            await self._publish(sent)
        while True:
            await self._awake.wait()
            self._awake.clear()
            while self._queue:
                await self._publish(await self._next())
                if sum(len(asked.entries) for asked in self._queue) < ENTRIES_MAX:
                    await asyncio.sleep(self._gather_seconds)

    async def _next(self) -> Sent:
        """The next bundle, durable."""
        asked = self._gathered()
        bundle = Bundle(
            epoch=self._epoch,
            registry=self._me,
            sequence=self._last[0] + 1,
            previous=self._last[1],
            entries=tuple(entry for one in asked for entry in one.entries),
        )
        signed = sign(bundle, self._key)
        sent = self._sent[bundle.sequence] = Sent(bundle, signed, asked)
        self._last = (bundle.sequence, signed.hash)
        await self._keep(bundle.sequence, pack(signed))
        return sent

    def _gathered(self) -> list[Asked]:
        """From the front of the queue as much as one bundle holds."""
        taken: list[Asked] = []
        entries = size = 0
        while self._queue:
            asked = self._queue[0]
            entries, size = entries + len(asked.entries), size + asked.size
            if taken and (entries > ENTRIES_MAX or size > BYTES_MAX):
                break
            taken.append(self._queue.popleft())
        return taken

    async def _publish(self, sent: Sent) -> None:
        """Until the log has it, or it was seen to be final already."""
        pause = AGAIN_SECONDS
        while sent.bundle.sequence in self._sent:
            told = await self._log.append(
                bundle_subject(self._me), pack(sent.signed), id=sent.signed.hash.hex()
            )
            if isinstance(told, Stored):
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, AGAIN_SECONDS_MAX)

    def answered(self, sequence: int, results: Sequence[Result]) -> None:
        """A bundle of ours is final: tell those who asked."""
        sent = self._sent.pop(sequence, None)
        if sent is None:
            return
        place = 0
        for asked in sent.asked:
            end = place + len(asked.entries)
            if not asked.future.done():
                asked.future.set_result(list(results[place:end]))
            self.waiting -= len(asked.entries)
            place = end

    def fail(self, why: str) -> None:
        """The node ends: nobody waits for it. What is on its way may still be done."""
        left = [*self._queue, *(asked for sent in self._sent.values() for asked in sent.asked)]
        self._queue.clear()
        for asked in left:
            if not asked.future.done():
                asked.future.set_exception(LedgerUnreachable(why))
