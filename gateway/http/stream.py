"""The mailbox as server-sent events (WHATWG HTML section 9.2): each message once it is there.

`id:` of an event is the message's cursor, so a reader that comes back with `Last-Event-ID` misses
nothing and gets nothing twice. A stream ends cleanly when the gateway shuts down.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from gateway.http import exchange, mailbox, notation, wire
from gateway.http.exchange import MessageCall, encode
from gateway.http.mailbox import PAGE_DEFAULT, deliveries

WRITE_SECONDS: Final = 30.0
"""For a reader to take what was sent. One that takes longer is cut off, and comes back with its
`Last-Event-ID`."""

RETRY_MILLISECONDS: Final = 1000
"""When a browser connects again (`retry:` of the stream): soon, for a restart takes seconds."""

HEARTBEAT_SECONDS: Final = 15.0
"""Of a silent stream: below the idle limit of every common proxy (nginx 60 s, AWS ALB 60 s), and
how soon a reader that has gone is noticed."""

MEDIA_TYPE: Final = "text/event-stream"


async def stream(call: MessageCall) -> web.StreamResponse:
    """Everything after `Last-Event-ID` (or `after`, or all), and then what arrives, for ever."""
    after = _start(call)
    headers = {**exchange.HEADERS, "Content-Type": MEDIA_TYPE, "X-Accel-Buffering": "no"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(call.request)
    try:
        await _Feed(call, response).run(after)
    except (ConnectionError, TimeoutError):
        pass  # the reader has gone, or takes nothing; it comes back with its last id
    except Exception as error:
        # The status is sent: ending the stream is all that can still be told.
        call.desk.say(f"stream of {call.principal.name} ended: {error!r}")
    return response


def _start(call: MessageCall) -> int:
    query = call.query("after")
    resumed = call.request.headers.get("Last-Event-ID")
    if resumed:
        return mailbox.place("Last-Event-ID", resumed)
    return mailbox.place("after", query.get("after", notation.START))


class _Feed:
    """One stream: what was last written when, and what it waits for."""

    def __init__(self, call: MessageCall, response: web.StreamResponse) -> None:
        self._call = call
        self._response = response
        self._clock = asyncio.get_running_loop().time
        self._quiet_until = 0.0

    async def run(self, after: int) -> None:
        """Write until the application closes."""
        await self._write(f"retry: {RETRY_MILLISECONDS}\n\n".encode())
        closing = asyncio.ensure_future(self._call.desk.closing.wait())
        try:
            while not closing.done():
                after = await self._turn(after, closing)
        finally:
            closing.cancel()

    async def _turn(self, after: int, closing: "asyncio.Future[Any]") -> int:
        """Write what is there, or wait for more; the place reached."""
        member = self._call.principal.name
        # Armed before the mailbox is read: what arrives between the two is not missed.
        arrival = asyncio.ensure_future(self._call.gateway.arrived(member))
        try:
            await asyncio.sleep(0)
            stored = await self._call.gateway.read(member, after=after, limit=PAGE_DEFAULT)
            if stored:
                await self._write(_events(await deliveries(self._call, stored)))
                return stored[-1].sequence
            await self._wait(arrival, closing)
            return after
        finally:
            arrival.cancel()

    async def _wait(self, arrival: "asyncio.Future[Any]", closing: "asyncio.Future[Any]") -> None:
        """Until something may have arrived; meanwhile, keep proxies and the reader awake."""
        done: set[asyncio.Future[Any]] = set()
        while not done:
            left = self._quiet_until - self._clock()
            if left <= 0:
                await self._write(b": alive\n\n")
                continue
            done, _ = await asyncio.wait(
                {arrival, closing}, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
        if arrival in done:
            arrival.result()

    async def _write(self, data: bytes) -> None:
        async with asyncio.timeout(WRITE_SECONDS):
            await self._response.write(data)
        self._quiet_until = self._clock() + self._call.desk.heartbeat_seconds


def _events(entries: Sequence[wire.Delivery]) -> bytes:
    # JSON has no line breaks of its own, so each event is one `data` line.
    return b"".join(
        b"id: %b\ndata: %b\n\n" % (entry.cursor.encode(), encode(entry)) for entry in entries
    )
