"""One body into business messages: header and document side by side, alone or in a batch.

The caller asks who sent a message and whether it came before, between `split` (which reads no
further than the header) and `validate` (which asks the schemas about the document).
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Final

import msgspec
from lxml import etree

from protocols.iso20022 import header as app_hdr
from protocols.iso20022 import sese023_plain
from protocols.iso20022.errors import ProtocolError, RejectCode
from protocols.iso20022.header import Header
from protocols.iso20022.instruction import SettlementInstruction
from protocols.iso20022.schemas import BIZMSG, ISO, SUPL, local_name, namespace_of
from protocols.iso20022.schemas import validate as validate_tree
from protocols.iso20022.xml import BODY_BYTES_MAX, canonical, digest, parse

#: Messages of one batch; as many as one request may carry settlements.
MESSAGES_MAX: Final = 500
#: Bytes of one message: an instruction has 3 kB, the rest is for long free text and envelopes.
MESSAGE_BYTES_MAX: Final = 256 * 1024

#: What members may send. A schema that is bundled to write with is not thereby agreed to be read.
ACCEPTED: Final = frozenset(
    f"{message}.001.{version}"
    for message, versions in (
        ("camt.050", ("05",)),
        ("camt.056", ("08",)),
        ("fxtr.014", ("03", "04", "05", "06")),
        ("fxtr.015", ("05",)),
        ("fxtr.016", ("05",)),
        ("pacs.009", ("08", "09", "10", "11", "12", "13")),
        ("sese.020", ("07", "09")),
        ("sese.023", ("09", "10", "11", "12", "13")),
        ("sese.030", ("09", "10")),
    )
    for version in versions
)

_BATCH: Final = f"{{{BIZMSG}}}BizMsgs"
_ONE: Final = f"{{{BIZMSG}}}BizMsg"
#: Namespaces that a BizMsg needs: its own, the header's, the document's. With no more declared than
#: these, all are absolute ones, and there is a canonical form.
_DECLARED: Final = 3


class Enveloped(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A message whose header is valid; its document is not yet asked.

    `raw` is what was received: the body itself, or, for a message out of a batch, this message
    written again on its own.
    """

    header: Header
    definition: str  # of the Document's namespace, for example sese.023.001.11
    raw: bytes
    #: AppHdr and Document; or this message in XML, from which they are made when they are asked.
    source: tuple[etree._Element, etree._Element] | bytes
    #: What the document says, where that is known already: then it is valid against its schema.
    plain: SettlementInstruction | None = None

    @cached_property
    def _parts(self) -> tuple[etree._Element, etree._Element]:
        source = self.source
        return _parts(parse(source)) if isinstance(source, bytes) else source

    @property
    def app_hdr(self) -> etree._Element:
        return self._parts[0]

    @property
    def document(self) -> etree._Element:
        return self._parts[1]

    @cached_property
    def digest(self) -> bytes:
        """Tells equal content (see `xml.digest`): of a message that comes again. Hardly any does,
        and this costs more than to split one, so nobody asks before."""
        return digest(self.document)


def split(body: bytes) -> tuple[Enveloped | ProtocolError, ...]:
    """The messages of a body in their order; a bad one in a batch is a ProtocolError in its place.

    Raises ProtocolError where the whole body is bad: XSIZ, XWEL, XDTD, or an alone message's own.
    """
    if len(body) <= BODY_BYTES_MAX and (plain := _plain(body)) is not None:
        return plain
    root = parse(body)
    if root.tag != _BATCH:
        return (_enveloped(root, body),)
    if not 1 <= len(root) <= MESSAGES_MAX:
        raise ProtocolError(
            RejectCode.XSIZ if len(root) else RejectCode.XSDV,
            f"a batch has 1 to {MESSAGES_MAX} messages, this one {len(root)}",
            location="/BizMsgs",
        )
    return tuple(_in_batch(item, place) for place, item in enumerate(root, start=1))


def _plain(body: bytes) -> tuple[Enveloped, ...] | None:
    """The messages of a body of instructions that are written as nearly all are."""
    messages = sese023_plain.split(body, messages_max=MESSAGES_MAX, bytes_max=MESSAGE_BYTES_MAX)
    if messages is None:
        return None
    return tuple(
        [
            Enveloped(
                header=header,
                definition=instruction.definition,
                raw=raw,
                source=raw,
                plain=instruction,
            )
            for header, instruction, raw in messages
        ]
    )


def _in_batch(item: etree._Element, place: int) -> Enveloped | ProtocolError:
    try:
        if item.tag != _ONE:
            raise ProtocolError(
                RejectCode.XSDV, "only BizMsg stands in a BizMsgs", location=f"/BizMsgs/*[{place}]"
            )
        raw: bytes = etree.tostring(item, encoding="UTF-8", with_tail=False)
        return _enveloped(item, raw)
    except ProtocolError as error:
        return error


def _enveloped(root: etree._Element, raw: bytes) -> Enveloped:
    parts = [(local_name(child), child) for child in root]
    element = _only(root, parts, "AppHdr", RejectCode.XBAH)
    if len(raw) > MESSAGE_BYTES_MAX:
        raise ProtocolError(
            RejectCode.XSIZ,
            f"{len(raw)} bytes; at most {MESSAGE_BYTES_MAX} are accepted for one message",
            reference=app_hdr.identifier(element),
        )
    header = app_hdr.plain(raw) or app_hdr.read(element)
    try:
        document = _only(root, parts, "Document", RejectCode.XSDV)
        if root.tag == _ONE and len(parts) != 2:
            raise ProtocolError(
                RejectCode.XSDV, "a BizMsg holds AppHdr and Document only", location="/BizMsg"
            )
    except ProtocolError as error:
        raise error.about(header.business_message_id) from None
    namespace = namespace_of(document)
    plain = root.tag == _ONE and namespace.startswith(ISO)
    if not plain or raw.count(b"xmlns") != _DECLARED:
        canonical(document)  # XWEL where a namespace has no canonical form
    return Enveloped(
        header=header,
        definition=namespace.rpartition(":")[2],
        raw=raw,
        source=(element, document),
    )


def content_digest(raw: bytes) -> bytes:
    """The digest of a message in XML that was split before (`Enveloped.raw`)."""
    return digest(_parts(parse(raw))[1])


def _parts(root: etree._Element) -> tuple[etree._Element, etree._Element]:
    """AppHdr and Document of a message that was split before."""
    parts = [(local_name(child), child) for child in root]
    return (
        _only(root, parts, "AppHdr", RejectCode.XBAH),
        _only(root, parts, "Document", RejectCode.XSDV),
    )


def _only(
    root: etree._Element,
    parts: Sequence[tuple[str, etree._Element]],
    name: str,
    code: RejectCode,
) -> etree._Element:
    found = [child for its, child in parts if its == name]
    if len(found) != 1:
        place = f"/{local_name(root)}"
        raise ProtocolError(code, f"exactly one {name} is needed, not {len(found)}", location=place)
    return found[0]


def validate(enveloped: Enveloped, accepted: frozenset[str] = ACCEPTED) -> None:
    """Version, then schema, then supplementary data; ProtocolError XBAH, XVER, XSDV or XENV.

    Supplementary data of a namespace we do not know is kept and not judged.
    """
    try:
        if enveloped.plain is not None and enveloped.definition in accepted:
            return
        _check_version(enveloped, accepted)
        namespace = namespace_of(enveloped.document)
        validate_tree(enveloped.document, namespace, RejectCode.XSDV)
        if namespace.startswith(ISO):
            _validate_supplements(enveloped.document, namespace)
    except ProtocolError as error:
        raise error.about(enveloped.header.business_message_id) from None


def _check_version(enveloped: Enveloped, accepted: frozenset[str]) -> None:
    namespace = namespace_of(enveloped.document)
    said = enveloped.header.definition
    if not namespace.startswith(ISO) or enveloped.definition not in accepted:
        raise ProtocolError(
            RejectCode.XVER,
            f"{namespace.removeprefix(ISO) or 'a Document without namespace'} is not agreed here; "
            f"agreed are {', '.join(sorted(accepted))}",
            location="/Document",
        )
    if said != enveloped.definition:
        raise ProtocolError(
            RejectCode.XBAH,
            f"MsgDefIdr says {said}, the Document is {enveloped.definition}",
            location="/AppHdr/MsgDefIdr",
        )


def _validate_supplements(document: etree._Element, namespace: str) -> None:
    for envelope in document.iter(f"{{{namespace}}}Envlp"):
        content = envelope[0]
        supplement = namespace_of(content)
        if supplement == SUPL:
            validate_tree(content, SUPL, RejectCode.XENV)
        elif not supplement:  # it would fall into the message's own namespace when written again
            raise ProtocolError(
                RejectCode.XENV,
                f"{local_name(content)} needs a namespace of its own",
                location=f"/Envlp/{local_name(content)}",
            )
