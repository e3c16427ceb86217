"""A small proxy between the gateway and one ledger. It sees every command and every answer, and can
cut, lose, delay and double them: so faults strike at moments, not at random."""

import asyncio
from typing import Any, Final, Protocol

import aiohttp
import msgspec
from aiohttp import web

LOOPBACK: Final = "127.0.0.1"
BODY_BYTES_MAX: Final = 16 * 1024 * 1024
"""A batch of 2,000 operations of a kilobyte each, many times over."""

Operations = list[dict[str, Any]]


class Observer(Protocol):
    """Is told what passes."""

    async def asked(self, ledger: str, operations: Operations) -> bool:
        """Commands are about to reach a ledger; False: they never do."""

    async def answered(self, ledger: str, operations: Operations, answers: Operations) -> None:
        """A ledger has answered; the gateway has not heard it yet."""


class Wire:
    """The way to one ledger."""

    def __init__(self, ledger: str, observer: Observer) -> None:
        self.ledger = ledger
        self.target = ""
        self.url = ""
        self.cut_until = 0.0
        self.delay_seconds = 0.0
        self.doubled = False
        self.lose = {"request": 0, "answer": 0}
        self._observer = observer
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Listen; `target` is set once the ledger is there."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._session = aiohttp.ClientSession()
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, LOOPBACK, 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    def heal(self) -> None:
        """From now on everything passes."""
        self.cut_until, self.delay_seconds, self.doubled = 0.0, 0.0, False
        self.lose = {"request": 0, "answer": 0}

    @property
    def is_cut(self) -> bool:
        return asyncio.get_running_loop().time() < self.cut_until

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        operations = _operations(request, body)
        if operations and not await self._observer.asked(self.ledger, operations):
            return self._hang_up(request)
        if self.is_cut or (operations and self._is_lost("request")):
            return self._hang_up(request)
        try:
            status, media, data = await self._forward(request, body)
            if self.doubled and operations:
                status, media, data = await self._forward(request, body)
        except (aiohttp.ClientError, OSError):
            return self._hang_up(request)
        heard = await self._heard(operations, status, data)
        if not heard or self.is_cut:
            return self._hang_up(request)
        return web.Response(status=status, body=data, content_type=media)

    async def _heard(self, operations: Operations, status: int, data: bytes) -> bool:
        """Whether the answer goes on to the gateway."""
        if not operations or status != 200:
            return True
        answers = msgspec.json.decode(data)
        await self._observer.answered(self.ledger, operations, answers)
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        return not self._is_lost("answer")

    def _is_lost(self, what: str) -> bool:
        self.lose[what] = max(0, (left := self.lose[what]) - 1)
        return left > 0

    async def _forward(self, request: web.Request, body: bytes) -> tuple[int, str, bytes]:
        assert self._session is not None
        headers = {
            name: request.headers[name]
            for name in ("Authorization", "Content-Type")
            if name in request.headers
        }
        url = f"{self.target}{request.path_qs}"
        async with self._session.request(
            request.method, url, data=body or None, headers=headers
        ) as response:
            return response.status, response.content_type, await response.read()

    def _hang_up(self, request: web.Request) -> web.Response:
        """As a broken connection: no answer at all."""
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=502)


def _operations(request: web.Request, body: bytes) -> Operations:
    if request.method != "POST" or request.path != "/v1/operations":
        return []
    content = msgspec.json.decode(body)
    return content if isinstance(content, list) else []
