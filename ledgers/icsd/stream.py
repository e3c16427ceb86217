"""The ordered log on NATS JetStream: one stream, spoken to over links that come and go.

Theory of operation
- A link lives until anything is wrong with it (`link.py`); then the next server is tried, for ever.
  Whoever asks meanwhile waits for a link as long as the question may take.
- The servers send what is new by themselves (`pushed.py`), at most once. What did not come so is
  asked for: "so many from this sequence on", answered by any replica, also while there is no
  leader. Consumers of the engine and of its library lose messages silently; we count them.
- Publishing is repeated with the same id until it is answered or its time is over. A server that
  says "that id was there already" is not believed: what stands there is read and compared, because
  any member can publish under an id that it has seen. The guard protects after a restart, when the
  engine has forgotten the id.
- What the engine's permissions keep out is hygiene: whoever runs a server can write as anyone. What
  a message is worth, its signature says.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from ledgers.icsd.direct import STATUS, Sent
from ledgers.icsd.entry import MESSAGE_MAX
from ledgers.icsd.heard import Heard
from ledgers.icsd.link import Access, Link, LinkLostError
from ledgers.icsd.log import (
    Conflict,
    LogBroken,
    LogRefused,
    LogUnreachable,
    Message,
    Stored,
    Unresolved,
)
from ledgers.icsd.pushed import STREAM, Pushed, message_of

APPEND_SECONDS: Final = 20.0
"""Until an append is Unresolved. Electing a leader takes the engine 4 to 9 s, and once in our
measurements 16 s; its duplicate window is 120 s."""

ATTEMPT_SECONDS: Final = 2.0
"""For one answer. With every replica one continent apart it takes 0.3 s."""

READ_SECONDS: Final = 4.0
"""For one batch. A replica answers in milliseconds or not at all; then the link is soon lost."""

PAUSE_SECONDS: Final = 0.1
"""Between attempts that were answered "not now": a tenth of the engine's own heartbeat."""

WINDOW: Final = 64
"""Appends under way on one connection. A node has two: a bundle and a cut."""

BATCH: Final = 256
BATCH_BYTES: Final = 4 << 20
"""Of one read: what fits into 20 ms of a local network, and well into the library's queue."""

SHORTER_SECONDS: Final = 30.0
"""How long a log may look shorter than it was before it counts as broken: a new leader tells its
end before it has caught up, and 16 s is the longest that was measured."""

TRANSIENT: Final = frozenset({10008, 10158, 10164})
"""Errors of the engine that pass: temporarily unavailable; the same id, or another message with the
same guard, is just being stored, and may still come to nothing. With every 5xx."""

WRONG_LAST_SEQUENCE: Final = 10071


class _Error(msgspec.Struct, frozen=True):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Reply(msgspec.Struct, frozen=True):
    """To a publish: of `PubAck`."""

    seq: int = 0
    duplicate: bool = False
    error: _Error | None = None


class _State(msgspec.Struct, frozen=True):
    last_seq: int = 0


class Info(msgspec.Struct, frozen=True):
    """What the engine says of a stream, as far as it is looked at."""

    created: str = ""
    config: dict[str, Any] = {}
    state: _State = _State()
    error: _Error | None = None


class _TakenError(Exception):
    """Another message has our id."""


class JetStreamLog:
    """An `OrderedLog` on the stream `name`. Make it by `open`."""

    def __init__(self, servers: Sequence[str], access: Access, name: str) -> None:
        assert servers, "the log has servers"
        self._servers = servers
        self._access = access
        self._name = name
        self._link: Link | None = None
        self._linked = asyncio.Event()
        self._used = False  # whether there ever was a link
        self._why = "not connected yet"
        self._readers: list[Heard] = []
        self._pushed = Pushed()
        self._window = asyncio.Semaphore(WINDOW)
        self._keeping: asyncio.Task[None] | None = None
        self._created = ""
        self._seen = 0  # the highest sequence that is known to exist
        self._shorter_since: float | None = None
        self.errors = 0  # appends and reads that were not answered; of the node's metrics

    @classmethod
    async def open(
        cls, servers: Sequence[str], access: Access, name: str, *, seconds: float = APPEND_SECONDS
    ) -> "JetStreamLog":
        """Connect to one of the servers (`nats://host:port`, `tls://host:port`). Raises
        LogUnreachable if none answers in time, LogRefused if one does not let us in."""
        log = cls(servers, access, name)
        log._keeping = asyncio.create_task(log._keep_connected(), name=f"log of {access.name}")
        waiting = asyncio.create_task(log._linked.wait())
        try:
            async with asyncio.timeout(seconds):
                await asyncio.wait({waiting, log._keeping}, return_when=asyncio.FIRST_COMPLETED)
                if log._keeping.done():
                    log._keeping.result()
        except TimeoutError:
            await log.close()
            raise LogUnreachable(log._why) from None
        except LogRefused:
            await log.close()
            raise
        finally:
            waiting.cancel()
        return log

    # --- the log ----------------------------------------------------------------------------------

    async def append(
        self, subject: str, data: bytes, *, id: str, after: int | None = None
    ) -> Stored | Conflict | Unresolved:
        assert len(data) <= MESSAGE_MAX, "the log takes no larger message"
        async with self._window:
            deadline = self._now() + APPEND_SECONDS
            others = 0  # messages of others under our id
            while True:
                message_id = f"{id}.{others}" if others else id
                try:
                    return await self._attempt(subject, data, message_id, after, deadline)
                except _TakenError:
                    others += 1
                except LogUnreachable as error:
                    self.errors += 1
                    if self._now() + PAUSE_SECONDS >= deadline:
                        return Unresolved(why=str(error))
                    await asyncio.sleep(PAUSE_SECONDS)

    async def read(self, first: int, limit: int) -> Sequence[Message]:
        assert first >= 1, "sequences begin at 1"
        found = self._pushed.take(first, limit)
        more = not found
        while more and len(found) < limit:
            page, more = await self._read(first + len(found), min(BATCH, limit - len(found)))
            found += page
        if found:
            self._seen = max(self._seen, found[-1].sequence)
        return found

    async def last(self) -> int:
        info = await self.info()
        if self._created and info.created != self._created:
            raise LogBroken(
                f"stream {self._name} was made at {info.created}, and the one that was read "
                f"before at {self._created}"
            )
        self._created = info.created
        self._expect_no_less(info.state.last_seq)
        return info.state.last_seq

    async def last_of(self, subject: str) -> int:
        message = await self._single({"last_by_subj": subject})
        return 0 if message is None else message.sequence

    async def tell(self, subject: str, data: bytes) -> None:
        if self._link is not None:
            await self._link.tell(subject, data)

    def heard(self) -> AsyncIterator[tuple[str, bytes]]:
        reader = Heard()
        self._readers.append(reader)
        return reader.each()

    async def close(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            with suppress(asyncio.CancelledError, LogRefused):
                await self._keeping
            self._keeping = None
        for reader in self._readers:
            reader.close()

    # --- what its keepers want to know ------------------------------------------------------------

    async def info(self) -> Info:
        """Of the stream, as its leader tells it. Raises LogUnreachable, LogRefused."""
        [reply] = await self._ask(f"$JS.API.STREAM.INFO.{self._name}", b"", ATTEMPT_SECONDS)
        info = msgspec.json.decode(reply.data, type=Info)
        if info.error is not None:
            # Not found too: with two of three disks lost the engine says so in turns.
            raise LogUnreachable(f"stream {self._name}: {info.error.description}")
        return info

    async def version(self) -> str:
        """Of the server that we are connected to. Raises LogUnreachable."""
        return (await self._connected(self._now() + ATTEMPT_SECONDS)).version

    @property
    def connected(self) -> bool:
        return self._link is not None

    # --- publishing -------------------------------------------------------------------------------

    async def _attempt(
        self, subject: str, data: bytes, id: str, after: int | None, deadline: float
    ) -> Stored | Conflict:
        """Raises _TakenError, LogUnreachable, LogRefused."""
        headers = {"Nats-Msg-Id": id, "Nats-Expected-Stream": self._name}
        if after is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(after)
        seconds = min(ATTEMPT_SECONDS, max(0.0, deadline - self._now()))
        [answer] = await self._ask(subject, data, seconds, headers)
        reply = msgspec.json.decode(answer.data, type=_Reply)
        if reply.error is not None:
            return await self._refused(reply.error, subject, data)
        if reply.duplicate and not await self._stands(reply.seq, subject, data):
            raise _TakenError
        self._seen = max(self._seen, reply.seq)
        return Stored(sequence=reply.seq, repeated=reply.duplicate)

    async def _stands(self, sequence: int, subject: str, data: bytes) -> bool:
        """Whether the message at this sequence is this one."""
        message = await self._single({"seq": sequence})
        if message is None:
            raise LogUnreachable(f"the message at {sequence} is on its way to this replica")
        return (message.subject, message.data) == (subject, data)

    async def _refused(self, error: _Error, subject: str, data: bytes) -> Stored | Conflict:
        if error.err_code == WRONG_LAST_SEQUENCE:
            # Perhaps our own, stored so long ago that its id is forgotten.
            last = await self._single({"last_by_subj": subject})
            if last is not None and last.data == data:
                return Stored(sequence=last.sequence, repeated=True)
            return Conflict()
        text = f"stream {self._name}: {error.description} ({error.err_code})"
        if error.err_code in TRANSIENT or error.code >= 500:
            raise LogUnreachable(text)
        raise LogRefused(text)

    # --- reading ----------------------------------------------------------------------------------

    async def _read(self, first: int, limit: int) -> tuple[list[Message], bool]:
        """One batch, without a gap, and whether there is more after it."""
        asked = {"seq": first, "batch": limit, "max_bytes": BATCH_BYTES}
        replies = await self._ask(
            self._direct, msgspec.json.encode(asked), READ_SECONDS, enough=_is_status
        )
        found: list[Message] = []
        for reply in replies:
            if _is_status(reply):
                return found, self._more(reply)
            message = message_of(reply)
            if message.sequence != first + len(found):
                if found:
                    return found, True  # a reply was lost; the next read begins there
                raise LogBroken(f"message {first} is missing: {message.sequence} stands there")
            found.append(message)
        if not found:
            raise LogUnreachable("the read was not answered")
        return found, True  # its end was lost

    def _more(self, end: Sent) -> bool:
        """What the end of a batch says of what comes after it."""
        headers = end.headers
        if headers[STATUS] == "404":  # nothing there
            return False
        if headers[STATUS] != "204":  # 204: end of batch
            raise LogUnreachable(f"the read was answered with status {headers[STATUS]}")
        return int(headers.get("Nats-Num-Pending", 0)) > 0

    async def _single(self, asked: dict[str, Any]) -> Message | None:
        [reply] = await self._ask(self._direct, msgspec.json.encode(asked), ATTEMPT_SECONDS)
        if not _is_status(reply):
            return message_of(reply)
        status = reply.headers[STATUS]
        if status == "404":
            return None
        raise LogUnreachable(f"the read was answered with status {status}")

    @property
    def _direct(self) -> str:
        return f"$JS.API.DIRECT.GET.{self._name}"

    def _expect_no_less(self, last: int) -> None:
        """Raises LogUnreachable while the log looks shorter than it was, LogBroken if it stays."""
        if last >= self._seen:
            self._seen = last
            self._shorter_since = None
            return
        text = f"stream {self._name} ends at {last}, and message {self._seen} was read before"
        if self._shorter_since is None:
            self._shorter_since = self._now()
        if self._now() - self._shorter_since >= SHORTER_SECONDS:
            raise LogBroken(text)
        raise LogUnreachable(text)

    # --- links ------------------------------------------------------------------------------------

    async def _ask(
        self,
        subject: str,
        data: bytes,
        seconds: float,
        headers: dict[str, str] | None = None,
        enough: Callable[[Sent], bool] = lambda _: True,
    ) -> list[Sent]:
        """At least one reply. Raises LogUnreachable, LogRefused."""
        deadline = self._now() + seconds
        link = await self._connected(deadline)
        replies = await link.ask(
            subject, data, seconds=deadline - self._now(), headers=headers, enough=enough
        )
        if not replies:
            why = "the link was lost" if link.lost.is_set() else f"no answer in {seconds:.1f} s"
            raise LogUnreachable(why)
        if replies[0].headers.get(STATUS) == "503":
            raise LogUnreachable(f"stream {self._name} has no leader, or there is none")
        return replies

    async def _connected(self, deadline: float) -> Link:
        """Raises LogUnreachable."""
        assert self._keeping is not None, "a closed log is not used"
        if self._keeping.done():
            self._keeping.result()  # raises: an error of ours, and nobody connects any more
        try:
            async with asyncio.timeout_at(deadline):
                while self._link is None:
                    await self._linked.wait()
        except TimeoutError:
            raise LogUnreachable(self._why) from None
        return self._link

    async def _keep_connected(self) -> None:
        """A link, and after it the next one, until cancelled. Raises LogRefused if none of the
        servers lets us in at the beginning; later, that may be one server's error."""
        refused = 0
        for server in itertools.cycle(self._servers):
            try:
                link = await Link.open(
                    server,
                    self._access,
                    {"tail.>": self._hear_growth, "vote.>": self._hear_vote},
                )
            except (LinkLostError, LogRefused) as error:
                self._why = str(error)
                refused += isinstance(error, LogRefused)
                if refused == len(self._servers) and not self._used:
                    raise LogRefused(self._why) from None
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            await self._use(link, server)
            await asyncio.sleep(PAUSE_SECONDS)  # one that takes us and drops us is not stormed

    async def _use(self, link: Link, server: str) -> None:
        self._link = link
        self._used = True
        self._linked.set()
        self._hint()  # what was sent meanwhile is past
        try:
            await link.lost.wait()
        finally:
            self._pushed.clear()
            self._link = None
            self._linked.clear()
            self._why = f"{server}: the link was lost"
            await link.close()

    def _hear_growth(self, sent: Sent) -> None:
        if sent.headers.get(STREAM) == self._name:
            with suppress(KeyError, ValueError):  # no server of ours: what is missing is asked for
                self._pushed.put(message_of(sent))
        self._hint()

    def _hint(self) -> None:
        for reader in self._readers:
            reader.hint()

    def _hear_vote(self, sent: Sent) -> None:
        for reader in self._readers:
            reader.told(sent.subject, sent.data)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _is_status(reply: Sent) -> bool:
    return STATUS in reply.headers
