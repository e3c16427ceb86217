"""The bundled XML schemas: chosen by namespace, compiled on first use.

Sources and terms of the files: `SOURCES.txt`. What is not bundled is refused as XVER, so a
version is never accepted by mistake.
"""

import re
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from lxml import etree

from protocols.iso20022.errors import ProtocolError, RejectCode

ISO: Final = "urn:iso:std:iso:20022:tech:xsd:"
LOCKSTEP: Final = "urn:lockstep:tech:xsd:"

BIZMSG: Final = LOCKSTEP + "bizmsg.001.01"
SUPL: Final = LOCKSTEP + "supl.001.001.01"

_OURS: Final = frozenset({"bizmsg.001.01", "supl.001.001.01"})
_NAMES: Final = frozenset(
    entry.name.removesuffix(".xsd")
    for entry in files(__name__).iterdir()
    if entry.name[-4:] == ".xsd"
)
#: Namespace of each bundled schema -> its file name without `.xsd`: no path is made from input.
BUNDLED: Final = {(LOCKSTEP if name in _OURS else ISO) + name: name for name in sorted(_NAMES)}

# "{namespace}Name" in a message of libxml2: the namespace says nothing to the reader.
_NAMESPACE: Final = re.compile(r"\{[^{}]*\}")
_ATTRIBUTE: Final = re.compile(r"[Aa]ttribute '([A-Za-z]+)'")
_STEP: Final = re.compile(r"(?:\*|[^\[/]+)(?:\[(\d+)\])?")


@lru_cache(maxsize=128)  # as many as are bundled, with room
def source(namespace: str) -> bytes:
    """The schema file of a namespace; ProtocolError XVER if it is not bundled."""
    name = BUNDLED.get(namespace)
    if name is None:
        short = namespace.rpartition(":")[2]
        raise ProtocolError(
            RejectCode.XVER, f"no schema for {short or 'no namespace'} is agreed here"
        )
    return files(__name__).joinpath(name + ".xsd").read_bytes()


@lru_cache(maxsize=128)
def schema(namespace: str) -> etree.XMLSchema:
    """The compiled schema of a namespace; ProtocolError XVER if it is not bundled."""
    return etree.XMLSchema(etree.fromstring(source(namespace)))


def validate(element: etree._Element, namespace: str, code: RejectCode) -> None:
    """Raise ProtocolError `code` with the place of the first fault if `element` is not valid."""
    compiled = schema(namespace)
    if compiled.validate(element):
        return
    log: Any = compiled.error_log  # its published type knows no items
    fault = log[0]
    message = _NAMESPACE.sub("", fault.message)
    raise ProtocolError(code, message, location=_location(element, fault.path or "/*", message))


def _location(root: etree._Element, path: str, message: str) -> str:
    names = [local_name(element) for element in _along(root, path)]
    attribute = _ATTRIBUTE.search(message)
    return "/" + "/".join(names) + (f"/@{attribute[1]}" if attribute else "")


def _along(root: etree._Element, path: str) -> list[etree._Element]:
    """The elements on a path of libxml2 such as `/*/*[2]/p:Amt[1]`, from the root down.

    Walked by hand, because an XPath is never evaluated that was made while reading input.
    """
    elements = [root]
    for step in path.split("/")[2:]:
        found = _STEP.fullmatch(step)
        if found is None:
            break
        name = step.partition("[")[0].rpartition(":")[2]
        children = [c for c in elements[-1] if name in ("*", local_name(c))]
        index = int(found[1] or "1") - 1
        if index >= len(children):
            break
        elements.append(children[index])
    return elements


def local_name(element: etree._Element) -> str:
    """The tag without its namespace."""
    return str(element.tag).rpartition("}")[2]


def namespace_of(element: etree._Element) -> str:
    """The namespace of the tag, empty if it has none."""
    return str(element.tag)[1:].rpartition("}")[0]
