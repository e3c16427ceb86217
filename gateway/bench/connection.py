"""An HTTP/1.1 connection that costs little: the load generator shares the machine it measures.

Only what the gateway's own answers need: one request at a time, `Content-Length`, keep-alive.
"""

import asyncio
import re
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from ledgers import preference

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)

ANSWER_SECONDS: Final = 60.0
"""For one answer. A gateway that takes longer under load is not measured but broken."""


class Connection:
    """Opened by `open`; `exchange` sends one request and returns its answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, url: str) -> "Connection":
        parts = urlsplit(url)
        assert parts.hostname is not None
        return cls(*await asyncio.open_connection(parts.hostname, parts.port or 80))

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """The status and body of the answer. Raises OSError, EOFError, TimeoutError."""
        self._writer.write(request)
        async with asyncio.timeout(ANSWER_SECONDS):
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            assert length is not None, "every answer of the gateway to these says its length"
            return int(head[9:12]), await self._reader.readexactly(int(length[1]))

    async def close(self) -> None:
        self._writer.close()
        with suppress(OSError):  # it was lost: closed as well
            await self._writer.wait_closed()


def get(path: str, token: str) -> bytes:
    """A request for a resource."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def post_head(path: str, token: str, media: str) -> bytes:
    """A request that carries a body, up to the length: append it, `\\r\\n\\r\\n` and the body. No
    more is asked to be answered than what became of it, or of each item of an array."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: {media}\r\n{preference.HEADER}: {preference.MINIMAL}\r\nContent-Length: "
    ).encode()


def post(head: bytes, body: bytes) -> bytes:
    """A whole request from its prepared head."""
    return b"%b%d\r\n\r\n%b" % (head, len(body), body)
