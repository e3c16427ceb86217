"""What a registry asks of the network: entries gather, leave in bundles, and are answered when the
block that they stand in is final.

One bundle stands in each block, and the next gathers until that block is applied: so the more is
asked the larger bundles become, and what comes while votes go round is in the next block. Only a
full bundle does not wait. A bundle is durable before it is published, written with whatever else
the node writes then, and published again with the same bytes until the log has it: the log may
forget an answer, the network counts each bundle once.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledgers.distribution import SIZES, Distribution
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
from ledgers.icsd.recovery import carried_over
from ledgers.icsd.store import Store
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
    begun: float  # monotonic clock, when it was asked


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
        store: Store,
        due: Callable[[], None],
    ) -> None:
        self._me = me
        self._key = key
        self._log = log
        self._store = store
        self._due = due  # says that a bundle can be made
        self._stale: list[Sent] = []
        self._queue: deque[Asked] = deque()
        self._queued = 0  # entries in it
        self._sent: dict[int, Sent] = {}
        self._made_last: Sent | None = None  # and not durable yet
        self._durable: deque[Sent] = deque()  # to be published, in this order
        self._busy = False  # publishing
        self._epoch = 0
        self._last: tuple[int, Hash] = (0, NOTHING)
        self._counted = 0  # the sequence of the last bundle that stands in a block
        self._awake = asyncio.Event()
        self.waiting = 0  # entries that are not answered yet
        self.overloaded = 0  # entries turned away
        self.sizes = Distribution(SIZES)  # entries of the bundles

    @property
    def under_way(self) -> int:
        """Bundles that are not final yet."""
        return len(self._sent)

    def begin(self, epoch: int, last: tuple[int, Hash], kept: Sequence[bytes]) -> None:
        """Go on after the last bundle that counted, with those kept from before a restart."""
        self._last = last
        self._counted = last[0]
        epochs = {epoch}
        for data in kept:
            opened = unpack(data)
            assert opened is not None, "it was written here"
            signed, bundle = opened
            assert isinstance(bundle, Bundle), "so it is a bundle"
            if bundle.sequence > last[0]:
                self._sent[bundle.sequence] = Sent(bundle, signed, [])
                self._last = (bundle.sequence, signed.hash)
                epochs.add(bundle.epoch)
        if len(epochs) > 1:
            self.enter(epoch, last)
        else:
            self._durable += self._sent.values()
        self._awake.set()
        self._epoch = epoch

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
        self._queue.append(Asked(entries, future, size, time.monotonic()))
        self._queued += len(entries)
        self.waiting += len(entries)
        if self._may_leave:
            self._due()
        return future

    @property
    def _may_leave(self) -> bool:
        """Whether the next bundle is due: ours are in blocks, or a full one can follow them."""
        if not self._queue or self._stale or self._made_last is not None:
            return False
        if self._counted == self._last[0]:
            return True
        return self._queued >= ENTRIES_MAX and not self._busy

    def next(self) -> tuple[int, bytes] | None:
        """Sequence and bytes of the next bundle, if it is due. Make it durable; say so (`kept`)."""
        if not self._may_leave:
            return None
        asked = self._gathered()
        sent = self._made(tuple(entry for one in asked for entry in one.entries), asked)
        self._made_last = sent
        return sent.bundle.sequence, pack(sent.signed)

    def kept(self) -> None:
        """What `next` gave last is durable: it may be published, or signed again if its epoch has
        ended meanwhile."""
        if self._made_last is not None:
            if self._made_last not in self._stale:
                self._durable.append(self._made_last)
            self._made_last = None
            self._awake.set()

    def enter(self, epoch: int, last: tuple[int, Hash]) -> None:
        """Other members certify from now on. What was signed for the epoch before and has not
        counted never will: it is signed again."""
        if epoch == self._epoch:
            return
        self._epoch = epoch
        self._stale = [sent for number, sent in sorted(self._sent.items()) if number > last[0]]
        self._durable.clear()
        self._last = last
        self._counted = last[0]
        self._awake.set()

    async def run(self) -> None:
        """Publish until cancelled. Raises what the log or the database refuse for good."""
        while True:
            await self._awake.wait()
            self._awake.clear()
            self._busy = True
            while self._durable or (self._stale and self._made_last is None):
                if self._stale and self._made_last is None:
                    await self._renew()
                else:
                    await self._publish(self._durable.popleft())
            self._busy = False
            if self._may_leave:
                self._due()

    async def _renew(self) -> None:
        """Sign and publish again what the end of an epoch has left behind."""
        stale, self._stale = self._stale, []
        if any(sent.asked for sent in stale):
            renewed = [self._made(sent.bundle.entries, sent.asked) for sent in stale]
        else:
            renewed = self._regrouped(stale)
            await self._store.forget_bundles(self._last[0])
        for sent in renewed:
            await self._store.replace_bundle(sent.bundle.sequence, pack(sent.signed))
            await self._publish(sent)

    def _regrouped(self, stale: Sequence[Sent]) -> list[Sent]:
        """After a restart, when nobody waits for one of them: in the order of `carried_over`."""
        for sent in stale:
            del self._sent[sent.bundle.sequence]
        entries = carried_over([entry for sent in stale for entry in sent.bundle.entries])
        parts = [entries[i : i + ENTRIES_MAX] for i in range(0, len(entries), ENTRIES_MAX)]
        return [self._made(tuple(part), []) for part in parts]

    def _made(self, entries: tuple[Entry, ...], asked: list[Asked]) -> Sent:
        """The bundle after the last one."""
        bundle = Bundle(
            epoch=self._epoch,
            registry=self._me,
            sequence=self._last[0] + 1,
            previous=self._last[1],
            entries=entries,
        )
        signed = sign(bundle, self._key)
        self.sizes.observe(len(bundle.entries))
        sent = self._sent[bundle.sequence] = Sent(bundle, signed, asked)
        self._last = (bundle.sequence, signed.hash)
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
            self._queued -= len(asked.entries)
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

    def counted(self, sequence: int, bundle: Hash) -> bool:
        """A bundle in our name has counted. False if it is none of ours: then the next of ours
        follows it."""
        self._counted = max(self._counted, sequence)
        if sequence <= self._last[0]:
            return True
        self._last = (sequence, bundle)
        return False

    def begun(self, sequence: int) -> list[float]:
        """When each of the callers asked whose entries are in a bundle of ours."""
        sent = self._sent.get(sequence)
        return [] if sent is None else [asked.begun for asked in sent.asked]

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
        self._queued = 0
        for asked in left:
            if not asked.future.done():
                asked.future.set_exception(LedgerUnreachable(why))
