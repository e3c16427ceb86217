"""An answer that leaves in one piece: head and body are written at once.

The library builds the head of every response anew, from a dictionary that anybody may have changed
in between, through some thirty calls. Nobody changes an answer of ours once it is made, and one
proposed settlement in a request pays for its answer alone.
"""

import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from typing import Final

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter

from ledgers.headers import HEADERS

_SAME: Final = "".join([f"{name}: {value}\r\n" for name, value in HEADERS.items()])


class Whole(web.StreamResponse):
    """The answer to one request; `serves` says whether that can be answered so."""

    def __init__(self, status: int, media: str, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(status=status)
        self._media = media
        self._more = headers
        self._whole = body

    @staticmethod
    def serves(request: web.BaseRequest) -> bool:
        """An answer with a body, to be followed by others on the same connection. What is special
        about HEAD, HTTP/1.0 and the last answer is the library's to know."""
        return (
            request.keep_alive
            and request.version == HttpVersion11
            and request.method != hdrs.METH_HEAD
        )

    @property
    def keep_alive(self) -> bool:
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        self._to = request.writer
        return self._to

    async def write_eof(self, data: bytes = b"") -> None:
        assert not data, "the body is known from the beginning"
        body = self._whole
        head = f"HTTP/1.1 {self.status} {self.reason}\r\n{_SAME}Content-Type: {self._media}\r\n"
        for name, value in self._more.items():
            assert "\r" not in value and "\n" not in value, "a header is one line"
            head += f"{name}: {value}\r\n"
        head += f"Content-Length: {len(body)}\r\nDate: {_date(int(time.time()))}\r\n\r\n"
        await self._to.write_eof(head.encode("ascii") + body)


@lru_cache(maxsize=1)  # the answers of a second share it
def _date(second: int) -> str:
    """RFC 9110, section 5.6.7."""
    return formatdate(second, usegmt=True)
