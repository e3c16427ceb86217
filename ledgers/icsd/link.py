"""One connection to one server of the log, from its beginning to its end. It is never mended: when
it is lost, a new one is made, to the next server (`stream.py`).

Why so: the client library reconnects by itself, but over a link that swallows packets it first
waits, without limit, for the unsent data to leave. So its reconnecting is switched off, we ping,
and what does not answer is cut off hard.
"""

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import nats.errors

from ledgers.icsd.direct import Direct, Hear, Sent
from ledgers.icsd.log import LogRefused

CONNECT_SECONDS: Final = 3
"""TCP, TLS and the log's greeting: five round trips, 1.5 s over the longest line of the world."""

PING_EVERY_SECONDS: Final = 1.0
PING_PATIENCE_SECONDS: Final = 2
"""A link is given up 3 s after its last sign of life at the latest. A full message (1 MB) still
gets through 4 Mbit/s in that time."""

CLOSE_SECONDS: Final = 1.0
"""For the library's own clean end; then the socket is cut off."""

_denied = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"').search
"""What the server says, in lower case as the library passes it on."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Who connects, and with what. The seed is an nkey's ("SU…"); the name is also that of the
    private inbox, so that no registry reads the replies to another."""

    name: str
    seed: str | None = None  # None: a log of one process's own, without users
    tls: ssl.SSLContext | None = None

    @property
    def inbox(self) -> str:
        return f"_INBOX_{self.name}"


def context(certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    """For a client with a certificate of its own that trusts one authority. Raises OSError."""
    made = ssl.create_default_context(cafile=str(authority))
    made.load_cert_chain(str(certificate), str(key))
    return made


class LinkLostError(Exception):
    """The link cannot be made, or is no more; nothing is known of what was under way."""


class _Asked:
    """A question that waits for its replies."""

    def __init__(self, subject: str, enough: Callable[[Sent], bool]) -> None:
        self.subject = subject
        self.enough = enough
        self.replies: list[Sent] = []
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self, reply: Sent) -> None:
        self.replies.append(reply)
        if self.enough(reply):
            self.end()

    def end(self, error: Exception | None = None) -> None:
        if not self.over.done():
            if error is None:
                self.over.set_result(None)
            else:
                self.over.set_exception(error)


class Link:
    """A live connection. `lost` is set when it is none any more."""

    def __init__(self, client: Direct, access: Access) -> None:
        self.lost = asyncio.Event()
        self._client = client
        self._inbox = f"{access.inbox}.{client._nuid.next().decode()}"
        self._asked: dict[str, _Asked] = {}
        self._numbers = 0
        self._refused: list[str] = []
        self._pinging: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, server: str, access: Access, listen: Mapping[str, Hear]) -> "Link":
        """Connect and listen on subjects. Raises LinkLostError; LogRefused if we are not let in."""
        client = Direct()
        link = cls(client, access)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await link._connect(server, access)
                await link._listen(listen)
        except LogRefused:
            await link.close()
            raise
        except (nats.errors.Error, OSError, TimeoutError) as error:
            await link.close()
            if "authorization violation" in str(error).lower():
                raise LogRefused(
                    f"{server} does not know {access.name}: see that its public key stands in the "
                    "server's configuration, and that the seed here belongs to it"
                ) from None
            raise LinkLostError(f"{server}: {type(error).__name__}: {error}") from None
        link._pinging = asyncio.create_task(link._ping(), name=f"ping {server}")
        return link

    async def _connect(self, server: str, access: Access) -> None:
        await self._client.connect(
            servers=[server],
            name=access.name,
            error_cb=self._on_error,
            disconnected_cb=self._on_lost,
            allow_reconnect=False,
            connect_timeout=CONNECT_SECONDS,
            max_reconnect_attempts=1,  # of the first connect, which would else go on and on
            reconnect_time_wait=0,
            ping_interval=3600,  # ours below; the library's would end in its reconnecting
            no_echo=True,
            tls=access.tls,
            nkeys_seed_str=access.seed,
            inbox_prefix=access.inbox,
            pending_size=-1,  # nothing is kept for later: what is late is asked again by us
        )

    async def _listen(self, listen: Mapping[str, Hear]) -> None:
        await self._client.hear(f"{self._inbox}.*", self._on_reply)
        for subject, hear in listen.items():
            await self._client.hear(subject, hear)
        # Twice: the library's ping overtakes what was written just before it.
        await self._client.flush(PING_PATIENCE_SECONDS)
        await self._client.flush(PING_PATIENCE_SECONDS)
        if self._refused:
            raise LogRefused(self._refused[0])

    @property
    def version(self) -> str:
        """Of the server."""
        return str(self._client._server_info.get("version", "0"))

    async def ask(
        self,
        subject: str,
        data: bytes,
        *,
        seconds: float,
        headers: dict[str, str] | None = None,
        enough: Callable[[Sent], bool] = lambda _: True,
    ) -> list[Sent]:
        """Publish and gather the replies until one is `enough`, the time is over, or the link is
        lost: what has come until then. Raises LogRefused if we may not publish there."""
        self._numbers += 1
        token = str(self._numbers)
        asked = self._asked[token] = _Asked(subject, enough)
        try:
            await self._publish(subject, data, f"{self._inbox}.{token}", headers)
            async with asyncio.timeout(seconds):
                await asked.over
        except TimeoutError:
            pass
        finally:
            del self._asked[token]
        return asked.replies

    async def tell(self, subject: str, data: bytes) -> None:
        """Publish, and be told nothing."""
        await self._publish(subject, data, "", None)

    async def _publish(
        self, subject: str, data: bytes, reply: str, headers: dict[str, str] | None
    ) -> None:
        try:
            await self._client.publish(subject, data, reply=reply, headers=headers)
        except (nats.errors.Error, OSError):
            self._lose()

    async def close(self) -> None:
        """End it, cleanly if that goes quickly. Idempotent."""
        if self._pinging is not None:
            self._pinging.cancel()
        with suppress(nats.errors.Error, OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._client.close()
        self._lose()

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_EVERY_SECONDS)
            try:
                await self._client.flush(PING_PATIENCE_SECONDS)
            except (nats.errors.Error, OSError):
                self._lose()
                return

    def _lose(self) -> None:
        self.lost.set()
        for asked in list(self._asked.values()):
            asked.end()
        # There is no public way to close without waiting for unsent data to leave.
        writer = getattr(self._client._transport, "_io_writer", None)
        if writer is not None:
            with suppress(AttributeError):  # Python 3.11.2, where it is closed already
                writer.transport.abort()

    def _on_reply(self, message: Sent) -> None:
        asked = self._asked.get(message.subject.rpartition(".")[2])
        if asked is not None:
            asked.take(message)

    async def _on_lost(self) -> None:
        self._lose()

    async def _on_error(self, error: Exception) -> None:
        denied = _denied(str(error).lower())
        if denied is None:
            return  # whatever it is, the ping and the missing replies tell of it
        what, subject = denied.groups()
        text = (
            f"the log's server denies us {what} to {subject}: see its configuration, and that the "
            "seed here is of the registry that it is used for"
        )
        self._refused.append(text)
        for asked in list(self._asked.values()):
            if asked.subject.lower() == subject:
                asked.end(LogRefused(text))
