"""Reading XML that nobody has vouched for, and the digest that says whether two documents agree.

Measures against the known hazards of XML (entity bombs, external entities, document types hidden
in UTF-16, endless depth) are the parser's options and the checks in `parse`.
"""

import hashlib
import re
from typing import Any, Final

from lxml import etree

from protocols.iso20022.errors import ProtocolError, RejectCode

#: Bytes of one request: 500 messages of 16 kB. An instruction has 3 kB.
BODY_BYTES_MAX: Final = 8 * 1024 * 1024

# Others that libxml2 knows through iconv (UTF-7 among them) have hidden markup from filters before.
_ENCODINGS: Final = frozenset(
    {"UTF-8", "UTF-16", "UTF-16LE", "UTF-16BE", "US-ASCII", "ASCII", "ISO-8859-1"}
)

# `huge_tree=False` keeps libxml2's own limits: depth 256, text 10 MB, entity amplification.
# Comments are removed so that `SELA<!-- -->DEF0XXX` is one text, not the text before the comment.
_PARSER: Final = etree.XMLParser(
    resolve_entities=False,
    no_network=True,
    load_dtd=False,
    dtd_validation=False,
    huge_tree=False,
    remove_comments=True,
    remove_pis=True,
)

# In canonical XML a literal `<` is always markup and `>` in text is escaped, so this finds text of
# white space only. No ISO 20022 type gives such a text a meaning.
_BLANK_TEXT: Final = re.compile(rb">\s+<")
_HINTS: Final = "{http://www.w3.org/2001/XMLSchema-instance}"


def parse(body: bytes, *, bytes_max: int = BODY_BYTES_MAX) -> etree._Element:
    """The root element of an untrusted body.

    Errors: ProtocolError XSIZ (too large), XWEL (not well-formed, or an encoding that is not
    accepted), XDTD (any DOCTYPE, asked of the tree because a byte search misses UTF-16).
    """
    if len(body) > bytes_max:
        raise ProtocolError(RejectCode.XSIZ, f"{len(body)} bytes; at most {bytes_max} are accepted")
    try:
        root = etree.fromstring(body, _PARSER)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        # libxml2 ends its text with the place, which is told beside it.
        message = (error.msg or "not well-formed").splitlines()[0]
        message = message.removesuffix(f", line {line}, column {column}")
        raise ProtocolError(RejectCode.XWEL, message, location=f"{line}:{column}") from None
    document: Any = root.getroottree().docinfo
    if document.internalDTD is not None:  # there is one for every DOCTYPE, an empty one too
        raise ProtocolError(RejectCode.XDTD, "a document type declaration is refused")
    if (document.encoding or "UTF-8").upper() not in _ENCODINGS:
        raise ProtocolError(
            RejectCode.XWEL, f"encoding {document.encoding} is not accepted; send UTF-8"
        )
    return root


def digest(document: etree._Element) -> bytes:
    """SHA-256 of what a document says, not of how it is written.

    Exclusive C14N 1.0 without comments and without text of white space only; prefixes are replaced
    by default namespaces, hints such as xsi:schemaLocation are left out.
    """
    text = canonical(document)
    if b"xmlns:" in text:  # a prefix is in use: say the same without
        text = canonical(_without_prefixes(document))
    return hashlib.sha256(text).digest()


def canonical(element: etree._Element) -> bytes:
    """Exclusive C14N 1.0 without comments and without text of white space only. Raises
    ProtocolError XWEL for namespaces that have no canonical form (relative ones: C14N, 1.3)."""
    try:
        text: bytes = etree.tostring(element, method="c14n", exclusive=True, with_comments=False)
    except etree.C14NError:
        raise ProtocolError(RejectCode.XWEL, "a namespace that is no absolute URI") from None
    return _BLANK_TEXT.sub(b"><", text)


def _without_prefixes(element: etree._Element) -> etree._Element:
    copy = _like(element, None)
    # A stack, not recursion: the depth of a tree is the sender's choice.
    stack = [(element, copy)]
    while stack:
        original, twin = stack.pop()
        stack.extend([(child, _like(child, twin)) for child in original])
    return copy


def _like(element: etree._Element, parent: etree._Element | None) -> etree._Element:
    namespace = str(element.tag)[1:].rpartition("}")[0]
    # lxml takes None for the default namespace; its published types do not say so.
    nsmap: Any = {None: namespace} if namespace else {}
    if parent is None:
        copy = etree.Element(element.tag, nsmap=nsmap)
    else:
        copy = etree.SubElement(parent, element.tag, nsmap=nsmap)
        copy.tail = element.tail
    copy.text = element.text
    for name, value in sorted(element.attrib.items()):
        if not str(name).startswith(_HINTS):
            copy.set(name, value)
    return copy
