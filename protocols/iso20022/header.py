"""Business application header (ISO 20022 head.001): who sends what to whom, under which identifier.

Versions .01 to .04 are read, .02 is written.
"""

import re
from functools import cached_property, lru_cache
from typing import Final

import msgspec
from lxml import etree

from protocols.iso20022.errors import ProtocolError, RejectCode
from protocols.iso20022.expressions import (
    BIC,
    BOOLEAN,
    SPACE,
    TEXT35,
    branch,
    leaf,
    literal,
    optional,
)
from protocols.iso20022.lexical import boolean, escaped, instant, instant_text
from protocols.iso20022.schemas import BIZMSG, ISO, namespace_of, validate
from protocols.iso20022.versions import Emits

VERSIONS: Final = frozenset(f"{ISO}head.001.001.0{version}" for version in (1, 2, 3, 4))
WRITTEN: Final = ISO + "head.001.001.02"


class Related(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """The header of the message that is answered (`Rltd`), and the versions of all its answers:
    those of the connection when it came, so that no chain of answers changes its version.

    A message has up to eight answers; what is the same in them is made once."""

    sender: str
    receiver: str
    business_message_id: str
    definition: str
    created_at: int
    emits: Emits = {}

    @cached_property
    def stored(self) -> str:
        """As JSON, for keeping with each answer."""
        return _encoder.encode(self).decode()

    @cached_property
    def written(self) -> str:
        """The Rltd element as XML text."""
        return (
            f"<Rltd>{_parties(self.sender, self.receiver)}"
            f"{escaped(self.business_message_id, 35)}{_kind(self.definition, None)}"
            f"{instant_text(self.created_at)}</CreDt></Rltd>"
        )


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Related)


@lru_cache(maxsize=4096)  # the answers to one message are read one after the other; 4 MB
def related_of(stored: str) -> Related:
    """What was kept with an answer (`Related.stored`)."""
    return _decoder.decode(stored)


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway uses of a header. BICs are as sent; `created_at` is UTC nanoseconds.

    (`sender`, `business_message_id`) is the idempotency key of the message.
    """

    sender: str
    receiver: str
    business_message_id: str
    definition: str  # MsgDefIdr, for example sese.023.001.11
    business_service: str | None = None
    created_at: int
    possible_duplicate: bool = False
    related: Related | None = None
    emits: Emits = {}  # versions of the answers: the connection's, not the message's


def identifier(element: etree._Element) -> str | None:
    """BizMsgIdr of a header that may be invalid, so that even its rejection can name it."""
    text = element.findtext(f"{{{namespace_of(element)}}}BizMsgIdr")
    return text.strip()[:35] or None if text else None


def _party(side: str) -> str:
    return branch(side, branch("FIId", branch("FinInstnId", leaf("BICFI", BIC))))


#: AppHdr as nearly all write it; `of_plain` makes a header of its groups.
APP_HDR: Final = branch(
    "AppHdr",
    _party("Fr"),
    _party("To"),
    leaf("BizMsgIdr", TEXT35),
    leaf("MsgDefIdr", TEXT35),
    optional(leaf("BizSvc", TEXT35)),
    leaf("CreDt", r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(?:\.[0-9]{1,9})?Z)"),
    optional(leaf("PssblDplct", BOOLEAN)),
    namespace=literal(ISO) + r"head\.001\.001\.0[234]",
)
GROUPS: Final = 7
"""Of that expression."""

_PLAIN: Final = re.compile(
    rf'(?:<\?xml[^>]*\?>{SPACE})?<BizMsg xmlns="{literal(BIZMSG)}">{SPACE}{APP_HDR}'
)
_PLAIN_CHARACTERS: Final = 1500  # twice what the longest has that is not spread over many lines


def plain(raw: bytes) -> Header | None:
    """The header of a BizMsg that is written as nearly all are, read without asking its schema;
    None for any other, which `read` judges.

    Whatever the expression takes, the schemas take; without them it costs a fifth."""
    found = _PLAIN.match(raw[:_PLAIN_CHARACTERS].decode("latin-1"))
    return None if found is None else of_plain(*found.groups())


def of_plain(
    sender: str,
    receiver: str,
    identifier: str,
    definition: str,
    service: str | None,
    created: str,
    repeated: str | None,
) -> Header | None:
    """The header that `APP_HDR` has found; None if its time is none."""
    try:
        created_at = instant(created)
    except ValueError:
        return None
    return Header(
        sender=sender,
        receiver=receiver,
        business_message_id=identifier,
        definition=definition,
        business_service=service,
        created_at=created_at,
        possible_duplicate=repeated == "true",
    )


def read(element: etree._Element) -> Header:
    """The header in an AppHdr element; ProtocolError XBAH if it is missing something or invalid."""
    namespace = namespace_of(element)
    if namespace not in VERSIONS:
        raise ProtocolError(
            RejectCode.XBAH,
            f"AppHdr of {namespace.rpartition(':')[2] or 'no namespace'} is not accepted",
            location="/AppHdr",
            reference=identifier(element),
        )
    try:
        validate(element, namespace, RejectCode.XBAH)
        return _read(element, f"{{{namespace}}}")
    except ProtocolError as error:
        reference = identifier(element)
        raise (error.about(reference) if reference else error) from None


def _read(element: etree._Element, ns: str) -> Header:
    parts = _children(element, ns)
    related = parts.get("Rltd")
    return Header(
        sender=_bic(parts, "Fr", ns),
        receiver=_bic(parts, "To", ns),
        business_message_id=_text(parts, "BizMsgIdr"),
        definition=_text(parts, "MsgDefIdr"),
        business_service=parts["BizSvc"].text if "BizSvc" in parts else None,
        created_at=_created(parts),
        possible_duplicate="PssblDplct" in parts and boolean(_text(parts, "PssblDplct")),
        related=None if related is None else _related(related, ns),
    )


def _related(element: etree._Element, ns: str) -> Related:
    parts = _children(element, ns)
    return Related(
        sender=_bic(parts, "Fr", ns),
        receiver=_bic(parts, "To", ns),
        business_message_id=_text(parts, "BizMsgIdr"),
        definition=_text(parts, "MsgDefIdr"),
        created_at=_created(parts),
    )


def _children(element: etree._Element, ns: str) -> dict[str, etree._Element]:
    """Children by name; the first where one repeats (Rltd does from .02 on)."""
    length = len(ns)
    return {child.tag[length:]: child for child in reversed(element)}


def _text(parts: dict[str, etree._Element], name: str) -> str:
    return parts[name].text or ""  # the schema requires them, and some text in them


def _bic(parts: dict[str, etree._Element], side: str, ns: str) -> str:
    party = parts[side][0]
    if party.tag == ns + "FIId" and len(party[0]) and party[0][0].tag == ns + "BICFI":
        return party[0][0].text or ""
    raise ProtocolError(
        RejectCode.XBAH,
        f"{side} must name a financial institution by its BIC (FIId/FinInstnId/BICFI)",
        location=f"/AppHdr/{side}",
    )


def _created(parts: dict[str, etree._Element]) -> int:
    try:
        return instant(_text(parts, "CreDt"))
    except ValueError as error:
        raise ProtocolError(RejectCode.XBAH, str(error), location="/AppHdr/CreDt") from None


def write(header: Header) -> str:
    """The AppHdr element as XML text, head.001.001.02. A repetition is marked DUPL as well."""
    h, related = header, header.related
    return (
        f'<AppHdr xmlns="{WRITTEN}">{_parties(h.sender, h.receiver)}'
        f"{escaped(h.business_message_id, 35)}{_kind(h.definition, h.business_service)}"
        f"{instant_text(h.created_at)}{_REPEATED if h.possible_duplicate else _NOT_REPEATED}"
        f"{related.written if related else ''}</AppHdr>"
    )


_REPEATED: Final = "</CreDt><CpyDplct>DUPL</CpyDplct><PssblDplct>true</PssblDplct>"
_NOT_REPEATED: Final = "</CreDt><PssblDplct>false</PssblDplct>"


@lru_cache(maxsize=4096)  # the same members write to each other all day
def _parties(sender: str, receiver: str) -> str:
    """From the sender to where the identifier of the message begins."""
    return (
        f"<Fr><FIId><FinInstnId><BICFI>{escaped(sender)}</BICFI></FinInstnId></FIId></Fr>"
        f"<To><FIId><FinInstnId><BICFI>{escaped(receiver)}</BICFI></FinInstnId></FIId></To>"
        "<BizMsgIdr>"
    )


@lru_cache(maxsize=1024)  # as many as there are definitions, each with its service
def _kind(definition: str, service: str | None) -> str:
    """From the end of that identifier to where the time of the message begins."""
    written = f"<BizSvc>{escaped(service, 35)}</BizSvc>" if service else ""
    return f"</BizMsgIdr><MsgDefIdr>{escaped(definition, 35)}</MsgDefIdr>{written}<CreDt>"
