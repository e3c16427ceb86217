"""Another registry, asked over HTTP in MessagePack: whatever it says is to be checked."""

import asyncio
from http import HTTPStatus
from typing import Any, Final, TypeVar

import aiohttp
import msgspec

from gateway.icsd_node.served import MSGPACK
from ledgers.icsd.compare import Gone
from ledgers.icsd.log import LogUnreachable
from ledgers.problems import LedgerProblem
from ledgers.wire import WireError

SECONDS: Final = 30.0
"""For one answer, over a slow line too."""

TRIES: Final = 5
"""With pauses of 0 to 4 s: a node that is started again is back by then."""

Value = TypeVar("Value")


class Remote:
    """One registry's node at `url`, asked with a supervisor's or operator's token. The session
    stays the caller's."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, token: str, *, tries: int = TRIES
    ) -> None:
        self._tries = tries
        self.session = session
        self.url = url.rstrip("/")
        self.token = token
        self.headers = {"Authorization": f"Bearer {token}"}

    async def get(self, path: str, kind: type[Value]) -> Value:
        """Raises LogUnreachable, Gone."""
        return self._decoded(path, await self.body(path), kind)

    async def body(self, path: str) -> bytes:
        """An answer as it comes. Raises LogUnreachable, Gone."""
        return await self._ask("GET", path, None)

    async def post(self, path: str, body: Any, kind: type[Value]) -> Value:
        """Raises LogUnreachable, Gone."""
        told = await self._ask("POST", path, msgspec.msgpack.encode(body))
        return self._decoded(path, told, kind)

    async def _ask(self, method: str, path: str, sent: bytes | None) -> bytes:
        why = ""
        for attempt in range(self._tries):
            await asyncio.sleep(attempt)
            try:
                status, body = await self._once(method, path, sent)
            except (aiohttp.ClientError, OSError, TimeoutError) as lost:
                why = f"{self.url}{path}: {type(lost).__name__}: {lost}"
                continue
            if status == HTTPStatus.OK:
                return body
            error = problem(self.url + path, status, body)
            if status < HTTPStatus.INTERNAL_SERVER_ERROR:
                raise error  # what is wrong with the question stays wrong
            why = str(error)
        raise LogUnreachable(why)

    async def _once(self, method: str, path: str, sent: bytes | None) -> tuple[int, bytes]:
        form = {} if sent is None else {"Content-Type": MSGPACK}
        async with (
            asyncio.timeout(SECONDS),
            self.session.request(
                method, self.url + path, data=sent, headers=self.headers | form
            ) as response,
        ):
            return response.status, await response.read()

    def _decoded(self, path: str, body: bytes, kind: type[Value]) -> Value:
        try:
            return msgspec.msgpack.decode(body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LogUnreachable(f"{self.url}{path}: not of the notation: {error}") from None


def problem(url: str, status: int, body: bytes) -> Exception:
    """What an answer that is none means to who asked."""
    if status == HTTPStatus.GONE:
        return Gone(f"{url}: {_detail(body)}")
    return LogUnreachable(f"{url}: status {status}: {_detail(body)}")


def _detail(body: bytes) -> str:
    """What a problem says; of anything else its beginning."""
    try:
        return msgspec.json.decode(body, type=LedgerProblem).detail
    except (msgspec.DecodeError, UnicodeDecodeError, WireError):
        return body.decode(errors="replace")[:200]
