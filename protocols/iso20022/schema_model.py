"""What a bundled schema says of order, repetition and type, for the JSON form.

ISO 20022 schemas are regular: named types only, each a sequence, a choice, a text, or an amount
with its currency. Anything else here would be our own error and is asserted.
"""

from functools import lru_cache
from typing import Final

import msgspec
from lxml import etree

from protocols.iso20022.schemas import source

_XS: Final = "{http://www.w3.org/2001/XMLSchema}"


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A child element; `repeats` where maxOccurs > 1, which makes it an array in JSON."""

    name: str
    type: str
    repeats: bool


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A type: its members in schema order, its one attribute, or a leaf."""

    members: tuple[Member, ...] = ()
    attribute: str | None = None
    any_content: bool = False
    boolean: bool = False

    @property
    def leaf(self) -> bool:
        """A text without children."""
        return not self.members and not self.any_content

    def member(self, name: str) -> Member | None:
        """The member of this name."""
        return next((member for member in self.members if member.name == name), None)


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A schema: its root elements and types."""

    roots: dict[str, str]
    shapes: dict[str, Shape]

    def shape(self, type_name: str) -> Shape:
        """The shape of a type; types of XML Schema itself are leaves."""
        return self.shapes.get(type_name, _LEAF)


_LEAF: Final = Shape()
_BOOLEAN: Final = Shape(boolean=True)


@lru_cache(maxsize=64)
def model(namespace: str) -> Model:
    """The model of a bundled schema; ProtocolError XVER if it is not bundled."""
    tree = etree.fromstring(source(namespace), etree.XMLParser(remove_comments=True))
    roots = {
        str(root.attrib["name"]): str(root.attrib["type"])
        for root in tree.iterchildren(_XS + "element")
    }
    shapes = {
        str(kind.attrib["name"]): _simple(kind)
        if kind.tag == _XS + "simpleType"
        else _complex(kind)
        for kind in tree.iterchildren(_XS + "simpleType", _XS + "complexType")
    }
    return Model(roots=roots, shapes=shapes)


def _simple(kind: etree._Element) -> Shape:
    return _BOOLEAN if kind[0].get("base") == "xs:boolean" else _LEAF


def _complex(kind: etree._Element) -> Shape:
    attribute = next(kind.iter(_XS + "attribute"), None)
    members = tuple(_member(element) for element in kind.iter(_XS + "element"))
    assert attribute is None or not members, "an amount has no children"
    return Shape(
        members=members,
        attribute=None if attribute is None else str(attribute.attrib["name"]),
        any_content=next(kind.iter(_XS + "any"), None) is not None,
    )


def _member(element: etree._Element) -> Member:
    return Member(
        name=str(element.attrib["name"]),
        type=str(element.attrib["type"]),
        repeats=element.get("maxOccurs", "1") != "1",
    )
