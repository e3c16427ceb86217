"""ISO 20022 messages over HTTP: intake, with an answer in the form that the request came in.

A message alone is answered with the status of its own outcome; in a batch (`BizMsgs`, or a JSON
array) each has its outcome in its place and the whole is 202. The answers to XML are messages
themselves: a receipt (admi.007) or a rejection (admi.002).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from gateway.http import exchange, problems, wire
from gateway.http.exchange import MessageCall, Reply, json_reply, problem_reply
from gateway.http.heads import header, related_to
from gateway.http.problems import Kind, RequestError
from gateway.ids import new_id
from gateway.port import Busy, Taken
from protocols.iso20022 import admi, envelope, json_form, render
from protocols.iso20022.advice import Rejection
from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.errors import ProtocolError, RejectCode
from protocols.iso20022.lexical import bic11

MAILBOX: Final = "/v1/messages"
"""`Location` of a 202: where it is told what became of the message (RFC 9110 section 15.3.3)."""

XML_UTF8: Final = f"{exchange.XML}; charset=utf-8"

DESCRIPTION: Final = (
    "One `BizMsg`, or `BizMsgs` around many (namespace `urn:lockstep:tech:xsd:bizmsg.001.01`); or "
    "the JSON form of one message, or an array of them. The form of the request decides that of "
    "the answer: a receipt (admi.007) or rejection (admi.002) for XML. A message alone is answered "
    "with its own status. A batch is ordered, not atomic: the whole is 202, and each message has "
    "its own result in its place. A repeated (Fr, BizMsgIdr) with the same content gets the first "
    "answer again (in XML marked `CpyDplct` DUPL, `PssblDplct` true), and nothing else is done; "
    "with other content 409 (XDUP). Business refusals follow in the mailbox."
)

T = TypeVar("T")

Item = Enveloped | ProtocolError
Outcome = Taken | ProtocolError

_array: Final = msgspec.json.Decoder(list[msgspec.Raw])

_DECLARED: Final = re.compile(rb"""<\?xml[^>]{1,100}encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})""")


async def send(call: MessageCall) -> Reply:
    """Take one message or a batch."""
    media, parameters = call.media
    if media == exchange.XML and exchange.is_utf8(parameters):
        return await _send_xml(call, parameters)
    if media == exchange.ISO_JSON and parameters.get("form") == "1":
        return await _send_json(call, parameters)
    raise RequestError(Kind.UNSUPPORTED, f"send {exchange.XML} or {exchange.ISO_JSON_FORM}")


async def _send_xml(call: MessageCall, parameters: Mapping[str, str]) -> Reply:
    try:
        body = await _body(call)
        _check_charset(body, parameters)
        items = _bounded(call, envelope.split(body))
        batch = not _alone(items, body)
    except ProtocolError as error:
        items, batch = (error,), False
    outcomes = await _outcomes(call, items)
    texts = [_answer(call, item, outcome) for item, outcome in zip(items, outcomes, strict=True)]
    if batch:
        return _xml_reply(202, render.batch(texts))
    return _xml_reply(_status(outcomes[0]), texts[0])


def _alone(items: Sequence[Item], body: bytes) -> bool:
    """Whether the body was one message: then it is that message's `raw`, unchanged."""
    return len(items) == 1 and isinstance(items[0], Enveloped) and items[0].raw is body


def _xml_reply(status: int, text: str) -> Reply:
    headers = {"Location": MAILBOX} if status == 202 else exchange.retry_after(status)
    return Reply(status=status, body=text.encode(), media=XML_UTF8, headers=headers)


async def _send_json(call: MessageCall, parameters: Mapping[str, str]) -> Reply:
    if not exchange.is_utf8(parameters):
        raise RequestError(Kind.UNSUPPORTED, "JSON is UTF-8 (RFC 8259 section 8.1)")
    body = await call.body()
    batch = _is_array(body)
    items: Sequence[Item]
    try:
        accepted = call.desk.accepted
        items = _split_array(call, body) if batch else json_form.split(body, accepted)
    except ProtocolError as error:
        items, batch = (error,), False
    outcomes = await _outcomes(call, items)
    if batch:
        return json_reply(202, [_result(outcome) for outcome in outcomes], Location=MAILBOX)
    (outcome,) = outcomes
    if isinstance(outcome, ProtocolError):
        return problem_reply(problems.rejected(outcome))
    return json_reply(202, wire.MessageTaken(id=outcome.id), Location=MAILBOX)


def _is_array(body: bytes | msgspec.Raw) -> bool:
    return bytes(body).lstrip(b" \t\r\n").startswith(b"[")


def _split_array(call: MessageCall, body: bytes) -> Sequence[Item]:
    """The messages of an array, each read on its own: what spoils one does not spoil the others,
    and each keeps the bytes that it came in."""
    try:
        raws = _array.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(RejectCode.XWEL, f"no JSON: {error}") from None
    if not raws:
        raise ProtocolError(RejectCode.XSDV, "a batch has at least one message")
    return [_element(raw, call.desk.accepted) for raw in _bounded(call, raws)]


def _element(raw: msgspec.Raw, accepted: frozenset[str]) -> Item:
    if _is_array(raw):
        return ProtocolError(RejectCode.XSDV, "a message is an object, not another array")
    try:
        return json_form.split(bytes(raw), accepted)[0]
    except ProtocolError as error:
        return error


async def _body(call: MessageCall) -> bytes:
    """The body; what is too large is told as XML to one who sent XML."""
    try:
        return await call.body()
    except RequestError as error:
        if error.problem.code != RejectCode.XSIZ.value:
            raise
        raise ProtocolError(RejectCode.XSIZ, error.problem.detail) from None


def _bounded(call: MessageCall, items: Sequence[T]) -> Sequence[T]:
    most = call.desk.batch_max
    if len(items) > most:
        raise ProtocolError(RejectCode.XSIZ, f"a batch holds at most {most} messages")
    return items


def _check_charset(body: bytes, parameters: Mapping[str, str]) -> None:
    """RFC 7303 section 3.2: a `charset` outranks the XML declaration. The parser reads the
    declaration, so the two must say the same."""
    if "charset" not in parameters:
        return
    declared = _DECLARED.match(body)
    other = declared is not None and declared[1].upper() not in (b"UTF-8", b"US-ASCII", b"ASCII")
    if other or b"\0" in body[:4]:  # UTF-16 in either order has a zero byte there
        raise ProtocolError(
            RejectCode.XWEL, "Content-Type says UTF-8, the XML declaration another encoding"
        )


async def _outcomes(call: MessageCall, items: Sequence[Item]) -> Sequence[Outcome]:
    """What became of each message. The gateway sees all of them, in order."""
    admitted = [_admitted(call, item) for item in items]
    answers = await call.gateway.take_messages(call.principal.name, admitted)
    return [_outcome(item, answer) for item, answer in zip(admitted, answers, strict=True)]


def _admitted(call: MessageCall, item: Item) -> Item:
    """`Fr` is who is connected, `To` is this gateway."""
    if isinstance(item, ProtocolError):
        return item
    head = item.header
    if bic11(head.sender) != bic11(call.principal.name):
        return ProtocolError(
            RejectCode.XAUT,
            f"Fr is {head.sender}, the connection is {call.principal.name}'s",
            location="/AppHdr/Fr",
            reference=head.business_message_id,
        )
    if bic11(head.receiver) != bic11(call.desk.bic):
        return ProtocolError(
            RejectCode.XBAH,
            f"To is {head.receiver}, this is {call.desk.bic}",
            location="/AppHdr/To",
            reference=head.business_message_id,
        )
    return item


def _outcome(item: Item, answer: Taken | ProtocolError | Busy) -> Outcome:
    if isinstance(answer, Busy):
        reference = item.header.business_message_id if isinstance(item, Enveloped) else None
        return ProtocolError(RejectCode.XBSY, "send it again later", reference=reference)
    return answer


def _status(outcome: Outcome) -> int:
    return outcome.status_hint if isinstance(outcome, ProtocolError) else 202


def _result(outcome: Outcome) -> wire.MessageResult:
    if isinstance(outcome, ProtocolError):
        return wire.MessageResult(status=outcome.status_hint, problem=problems.rejected(outcome))
    return wire.MessageResult(status=202, id=outcome.id)


def _answer(call: MessageCall, item: Item, outcome: Outcome) -> str:
    """The receipt or the rejection, as a whole BizMsg. A receipt is the same each time, made from
    what was stored; from the second time on its header says so (`PssblDplct`)."""
    related = related_to(item.header) if isinstance(item, Enveloped) else None
    member = call.principal.name
    if isinstance(outcome, Taken):
        at = outcome.receipt.received_at
        head = header(call.desk, member, outcome.id, admi.RECEIPT, at, related)
        if outcome.is_repeated:
            head = msgspec.structs.replace(head, possible_duplicate=True)
        return call.desk.sign(member, render.render(outcome.receipt, head))
    now = call.desk.now()
    head = header(call.desk, member, new_id(), admi.REJECTION, now, related)
    return call.desk.sign(member, render.render(Rejection.of(outcome, now), head))
