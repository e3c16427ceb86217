"""A member's mailbox over HTTP: pages by cursor, and acknowledgement.

Entries are stored as typed values and written as messages here, at delivery, in the form that the
request accepts. Reading takes nothing out: a member that lost an answer reads it again.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from lxml import etree
from msgspec import UNSET, UnsetType

from gateway.http import exchange, notation, wire
from gateway.http.exchange import Call, MessageCall, Reply, json_reply, limit_of
from gateway.http.heads import Letterhead, header, message_id
from gateway.http.notation import Unreadable
from gateway.http.problems import RequestError
from gateway.port import Received, Stored
from htlc.units import SettlementId
from protocols.iso20022 import json_form, render
from protocols.iso20022.advice import Outbound
from protocols.iso20022.errors import ProtocolError
from protocols.iso20022.header import Related, related_of
from protocols.iso20022.lexical import instant_text
from protocols.iso20022.xml import parse

PAGE_DEFAULT: Final = 100
PAGE_MAX: Final = 500
"""Messages of a page: as many as a batch that is sent. About 2 MB."""

SLICE: Final = 25
"""Messages written before other tasks get their turn: below a millisecond as XML."""

_outbound: Final = msgspec.json.Decoder(Outbound)
_acknowledgement: Final = msgspec.json.Decoder(wire.Acknowledgement)


async def page(call: MessageCall) -> Reply:
    """Messages after a cursor, oldest first."""
    query = call.query("after", "limit")
    limit = limit_of(query, PAGE_DEFAULT, PAGE_MAX)
    after = place("after", query.get("after", notation.START))
    stored = await call.gateway.read(call.principal.name, after=after, limit=limit)
    delivered = await deliveries(call, stored)
    last = stored[-1].sequence if stored else after
    return json_reply(
        200,
        wire.DeliveryPage(messages=tuple(delivered), next=notation.cursor(last)),
        Vary="Accept",
    )


async def acknowledge(call: MessageCall) -> Reply:
    """Note how far the member has received."""
    through = (await call.json(_acknowledgement)).through
    sequence = place("through", through)
    reached = await call.gateway.acknowledge(call.principal.name, sequence)
    if reached is None:
        raise RequestError.field("through", "there is no such message yet")
    return json_reply(200, wire.Acknowledged(through=notation.cursor(reached)))


def place(field: str, text: str) -> int:
    """The place in a mailbox that a cursor names."""
    try:
        return notation.sequence(text)
    except Unreadable as error:
        raise RequestError.field(field, str(error)) from None


async def deliveries(call: MessageCall, stored: Sequence[Stored]) -> list[wire.Delivery]:
    """Entries as they are delivered, in the form that the request accepts."""
    as_json = exchange.accepts_iso_json(call.request.headers.get("Accept", ""))
    desk, member = call.desk, call.principal.name
    done: list[wire.Delivery] = []
    for start in range(0, len(stored), SLICE):
        if start:
            await asyncio.sleep(0)
        part = stored[start : start + SLICE]
        done += [delivery(desk, member, entry, as_json=as_json) for entry in part]
    return done


async def conversation(call: Call) -> Reply:
    """A settlement as one of its parties has lived it: its messages in and ours out."""
    call.query()
    id = SettlementId(call.settlement())
    messages = await call.gateway.conversation(call.principal.name, id)
    if messages is None:
        raise exchange.not_found()
    said = tuple(_said(call, message) for message in messages)
    return json_reply(200, wire.Conversation(messages=said))


def _said(call: Call, message: Received | Stored) -> wire.Said:
    if isinstance(message, Received):
        return _received(message)
    told = delivery(call.desk, call.principal.name, message, as_json=False)
    return wire.Said(
        direction="out",
        id=told.id,
        definition=told.definition,
        related=told.related,
        at=told.created_at,
        xml=told.xml,
        message=told.message,
    )


def _received(message: Received) -> wire.Said:
    """As it came: JSON stays JSON, and XML becomes text whatever its encoding was."""
    said = wire.Said(
        direction="in",
        id=message.id,
        definition=message.definition,
        related=None,
        at=instant_text(message.received_at),
    )
    try:
        xml = etree.tostring(parse(message.raw), encoding="unicode")
    except ProtocolError:  # accepted once, and no XML: it came in the JSON form
        return msgspec.structs.replace(said, message=msgspec.json.decode(message.raw))
    return msgspec.structs.replace(said, xml=xml)


def writer(letterhead: Letterhead) -> Callable[[str, Stored], bytes]:
    """Writes entries as webhooks deliver them: what a page holds of them, as XML."""

    def write(member: str, stored: Stored) -> bytes:
        return exchange.encode(delivery(letterhead, member, stored, as_json=False))

    return write


def delivery(desk: Letterhead, member: str, stored: Stored, *, as_json: bool) -> wire.Delivery:
    """An entry as it is delivered."""
    related = related_of(stored.related) if stored.related else None
    xml: str | UnsetType = UNSET
    message: Any = UNSET
    if stored.definition in wire.OWN_NOTICES:
        message = msgspec.Raw(stored.content)
    else:
        xml, message = _iso(desk, member, stored, related, as_json=as_json)
    return wire.Delivery(
        cursor=notation.cursor(stored.sequence),
        id=message_id(stored.id),
        definition=stored.definition,
        related=related.business_message_id if related else None,
        created_at=instant_text(stored.created_at),
        settlement=stored.settlement,
        xml=xml,
        message=message,
    )


def _iso(
    desk: Letterhead, member: str, stored: Stored, related: Related | None, *, as_json: bool
) -> tuple[str | UnsetType, Any]:
    """The message as XML, or as what its JSON is made of."""
    head = header(desk, member, stored.id, stored.definition, stored.created_at, related)
    xml = render.render(_outbound.decode(stored.content), head)
    if as_json:
        return UNSET, json_form.to_json(xml)
    return desk.sign(member, xml), UNSET
