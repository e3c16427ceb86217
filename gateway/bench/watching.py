"""Which trades are final: followed in the mailboxes of both parties, as their own systems would.

A trade is settled when both have been told so; each is told exactly once, and that is checked.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import aiohttp
import msgspec
from msgspec import UNSET, UnsetType

from gateway.bench.connection import Connection, get
from gateway.bench.plan import UNMATCHED, Member, Watch
from gateway.client import GatewayClient
from gateway.http import notation, wire

PAGE: Final = 500
"""The longest page that the gateway gives."""

PAUSE_SECONDS: Final = 0.04
"""Between two pages that were not full: 25 requests a second and member cost the gateway little,
and with 256 trades in flight leave room for 6,000 settlements a second."""

CONFIRMATION: Final = "sese.025"
_STATUSES: Final = {
    b"<Rjctd>": "REJECTED",
    b"<Canc>": "CANCELLED",
    b"<Umtchd>": UNMATCHED,
}
"""Statuses of a sese.024 after which nothing follows, unless a counterpart of what is unmatched."""


class _Notice(msgspec.Struct):
    """What the bench reads of a `lockstep.settlement.1`."""

    state: str
    final: bool


class _Item(msgspec.Struct):
    """What the bench reads of a mailbox entry; the rest is skipped, not decoded."""

    cursor: str
    definition: str
    related: str | None
    settlement: str | None
    xml: msgspec.Raw | UnsetType = UNSET
    message: _Notice | UnsetType = UNSET


class _Page(msgspec.Struct):
    messages: list[_Item]
    next: str


_page: Final = msgspec.json.Decoder(_Page)
_item: Final = msgspec.json.Decoder(_Item)

Told = Callable[[str, str, str | None], None]
"""Called for each final notice: the member, the reference it was sent under, and None for settled
or else what happened instead."""


class Mailbox:
    """One member's mailbox, read from where it was last read."""

    def __init__(self, url: str, member: Member, told: Told) -> None:
        self._url = url
        self._member = member
        self._told = told
        self._after = notation.START

    async def skip(self) -> None:
        """Go to its end: what is there was not sent by this run."""
        connection = await Connection.open(self._url)
        while len((await self._read(connection)).messages) == PAGE:
            pass
        await connection.close()

    def go_on(self, cursors: Mapping[str, str]) -> None:
        """Leave out what lies before the member's cursor, if there is one."""
        self._after = cursors.get(self._member.bic, self._after)

    async def follow(self, watch: Watch) -> None:
        """Tell of everything that arrives, until cancelled."""
        if watch is Watch.STREAM:
            await self._follow_stream()
        else:
            await self._follow_pages()

    async def _follow_pages(self) -> None:
        connection = await Connection.open(self._url)
        try:
            while True:
                page = await self._read(connection)
                for item in page.messages:
                    self._take(item)
                if len(page.messages) < PAGE:
                    await asyncio.sleep(PAUSE_SECONDS)
        finally:
            await connection.close()

    async def _read(self, connection: Connection) -> _Page:
        path = f"/v1/messages?limit={PAGE}&after={self._after}"
        status, body = await connection.exchange(get(path, self._member.token))
        assert status == 200, body
        page = _page.decode(body)
        self._after = page.next
        return page

    async def _follow_stream(self) -> None:
        async with aiohttp.ClientSession() as session:
            gateway = GatewayClient(session, self._url, self._member.token)
            async for delivery in gateway.follow(self._after):
                self._after = delivery.cursor
                self._take(_as_item(delivery))

    def _take(self, item: _Item) -> None:
        if item.definition == wire.SETTLEMENT_NOTICE:
            notice = item.message
            assert isinstance(notice, _Notice) and item.settlement is not None
            if notice.final:
                instead = None if notice.state == "SETTLED" else notice.state
                self._told(self._member.bic, item.settlement, instead)
        elif item.related is not None:
            if item.definition.startswith(CONFIRMATION):
                self._told(self._member.bic, item.related, None)
            elif (status := _end(item)) is not None:
                self._told(self._member.bic, item.related, status)


def _as_item(delivery: wire.Delivery) -> _Item:
    return _item.decode(msgspec.json.encode(delivery))


def _end(item: _Item) -> str | None:
    assert not isinstance(item.xml, UnsetType), "the bench asks for XML"
    text = bytes(item.xml)
    return next((end for status, end in _STATUSES.items() if status in text), None)
