"""The JSON form of a business message: `application/vnd.iso20022+json; form=1`.

`{"AppHdr": {…}, "Document": {…}}` with the tags of the XML form. Arrays stand exactly where an
element may repeat, amounts are `{"@Ccy": "EUR", "#text": "998750.00"}`, indicators are booleans,
all else is text. Content of a foreign namespace is `{"#xml": "<…>"}`; our lock block may also be
written out by the same rules. The form is rebuilt as XML and then takes the same road as XML.
"""

import json
from typing import Any, Final

import msgspec
from lxml import etree

from protocols.iso20022 import envelope
from protocols.iso20022.envelope import ACCEPTED, MESSAGES_MAX, Enveloped
from protocols.iso20022.errors import ProtocolError, RejectCode
from protocols.iso20022.header import WRITTEN
from protocols.iso20022.lexical import boolean, boolean_text
from protocols.iso20022.schema_model import Model, Shape, model
from protocols.iso20022.schemas import BIZMSG, BUNDLED, ISO, SUPL, local_name, namespace_of
from protocols.iso20022.xml import BODY_BYTES_MAX, canonical, parse

MEDIA_TYPE: Final = "application/vnd.iso20022+json; form=1"

_MEMBERS: Final = ("AppHdr", "Document")
_BLOCK: Final = "HshdTmLckSD1"


def split(
    body: bytes, accepted: frozenset[str] = ACCEPTED
) -> tuple[Enveloped | ProtocolError, ...]:
    """As `envelope.split`, for one message or an array of them in the JSON form."""
    value = _load(body)
    if not isinstance(value, list):
        (single,) = envelope.split(_message(value, accepted))
        if isinstance(single, Enveloped):
            return (msgspec.structs.replace(single, raw=body),)
        return (single,)
    if not 1 <= len(value) <= MESSAGES_MAX:
        raise ProtocolError(
            RejectCode.XSIZ, f"a batch has 1 to {MESSAGES_MAX} messages, this one {len(value)}"
        )
    return tuple(_in_batch(item, accepted) for item in value)


def _in_batch(item: Any, accepted: frozenset[str]) -> Enveloped | ProtocolError:
    try:
        return envelope.split(_message(item, accepted))[0]
    except ProtocolError as error:
        return error


def from_json(body: bytes, accepted: frozenset[str] = ACCEPTED) -> bytes:
    """One message in the JSON form as an XML BizMsg; ProtocolError XWEL, XSIZ, XVER or XSDV."""
    return _message(_load(body), accepted)


def _load(body: bytes) -> Any:
    if len(body) > BODY_BYTES_MAX:
        raise ProtocolError(RejectCode.XSIZ, f"{len(body)} bytes; at most {BODY_BYTES_MAX}")
    try:
        return json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_number,
            parse_float=_number,
            parse_constant=_number,
        )
    except (ValueError, RecursionError) as error:
        raise ProtocolError(RejectCode.XWEL, f"no JSON: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ProtocolError(RejectCode.XWEL, f"member {double} is there more than once")
    return members


def _number(text: str) -> Any:
    raise ProtocolError(RejectCode.XSDV, f"{text[:20]}: numbers are written as text, in quotes")


def _message(value: Any, accepted: frozenset[str]) -> bytes:
    members = _members(value, "")
    if set(members) != set(_MEMBERS):
        raise ProtocolError(RejectCode.XSDV, "a message has the members AppHdr and Document")
    reference = _reference(members["AppHdr"])
    try:
        root = etree.Element(f"{{{BIZMSG}}}BizMsg")
        _append(root, "AppHdr", members["AppHdr"], WRITTEN)
        _append(root, "Document", members["Document"], _namespace(members["AppHdr"], accepted))
    except ProtocolError as error:
        raise (error.about(reference) if reference else error) from None
    xml: bytes = etree.tostring(root, encoding="UTF-8")
    return xml


def _reference(head: Any) -> str | None:
    text = head.get("BizMsgIdr") if isinstance(head, dict) else None
    return text[:35] or None if isinstance(text, str) else None


def _namespace(head: Any, accepted: frozenset[str]) -> str:
    """JSON has no namespaces: the header's MsgDefIdr says which message it is."""
    definition = head.get("MsgDefIdr") if isinstance(head, dict) else None
    if definition not in accepted:
        raise ProtocolError(
            RejectCode.XVER, f"{definition} is not agreed here", location="/AppHdr/MsgDefIdr"
        )
    return f"{ISO}{definition}"


def _append(parent: etree._Element, name: str, value: Any, namespace: str) -> None:
    schema = model(namespace)
    nsmap: Any = {None: namespace}  # lxml's name of the default namespace
    root = etree.SubElement(parent, f"{{{namespace}}}{name}", nsmap=nsmap)
    _Builder(namespace, schema).fill(root, schema.shape(schema.roots[name]), value, f"/{name}")


class _Builder:
    """Fills elements of one namespace from JSON, in schema order. What is missing is left to the
    schema, so that both forms have one judge. Depth is bounded by the schema's own."""

    def __init__(self, namespace: str, schema: Model) -> None:
        self._namespace = namespace
        self._schema = schema

    def fill(self, element: etree._Element, shape: Shape, value: Any, place: str) -> None:
        if shape.any_content:
            element.append(_foreign(value, place))
        elif shape.attribute is not None:
            members = _members(value, place)
            _only(members, (f"@{shape.attribute}", "#text"), place)
            for name, text in members.items():
                if name == "#text":
                    _set_text(element, text, place)
                else:
                    _set_attribute(element, shape.attribute, text, place)
        elif shape.members:
            self._fill_members(element, shape, _members(value, place), place)
        else:
            _set_text(element, _boolean(value, place) if shape.boolean else value, place)

    def _fill_members(
        self, element: etree._Element, shape: Shape, members: dict[str, Any], place: str
    ) -> None:
        _only(members, tuple(member.name for member in shape.members), place)
        for member in shape.members:
            if member.name not in members:
                continue
            here = f"{place}/{member.name}"
            value = members[member.name]
            for item in _array(value, here) if member.repeats else (value,):
                child = etree.SubElement(element, f"{{{self._namespace}}}{member.name}")
                self.fill(child, self._schema.shape(member.type), item, here)


def _refuse(rule: str, place: str) -> ProtocolError:
    return ProtocolError(RejectCode.XSDV, rule, location=place or "/")


def _members(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _refuse("an object is expected", place)
    return value


def _array(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise _refuse("it may repeat: an array of at least one is expected", place)
    return value


def _only(members: dict[str, Any], known: tuple[str, ...], place: str) -> None:
    for name in members:
        if name not in known:
            raise _refuse("no such member here", f"{place}/{name}")


def _boolean(value: Any, place: str) -> str:
    if not isinstance(value, bool):
        raise _refuse("true or false is expected", place)
    return boolean_text(value)


def _set_text(element: etree._Element, value: Any, place: str) -> None:
    if not isinstance(value, str):
        raise _refuse("a text is expected", place)
    try:
        element.text = value
    except ValueError:  # control characters, lone surrogates
        raise _refuse("a character that XML cannot hold", place) from None


def _set_attribute(element: etree._Element, name: str, value: Any, place: str) -> None:
    if not isinstance(value, str):
        raise _refuse("a text is expected", f"{place}/@{name}")
    try:
        element.set(name, value)
    except ValueError:
        raise _refuse("a character that XML cannot hold", f"{place}/@{name}") from None


def _foreign(value: Any, place: str) -> etree._Element:
    """Content of another namespace: `{"#xml": text}`, or our lock block by its own schema."""
    members = _members(value, place)
    if set(members) == {"#xml"} and isinstance(members["#xml"], str):
        return _foreign_root(members["#xml"], place)
    block = members.get("Document")
    if set(members) == {"Document"} and isinstance(block, dict) and set(block) == {_BLOCK}:
        holder = etree.Element("holder")
        _append(holder, "Document", block, SUPL)
        return holder[0]
    raise _refuse('"#xml" with XML text of its own namespace is expected', place)


def _foreign_root(text: str, place: str) -> etree._Element:
    try:
        root = parse(text.encode())
    except UnicodeEncodeError:
        raise _refuse("a character that XML cannot hold", place) from None
    except ProtocolError as error:
        raise ProtocolError(error.code, error.description, location=place) from None
    if not namespace_of(root):  # it would fall into the message's own namespace
        rule = f"{local_name(root)} needs a namespace of its own"
        raise ProtocolError(RejectCode.XENV, rule, location=place)
    return root


def to_json(xml: str) -> dict[str, Any]:
    """A valid BizMsg in the JSON form."""
    root = parse(xml.encode())
    return {
        local_name(child): _value(child, *_root_shape(child))
        for child in root
        if local_name(child) in _MEMBERS
    }


def _root_shape(element: etree._Element) -> tuple[Model, Shape]:
    namespace = namespace_of(element)
    assert namespace in BUNDLED, "only messages that we write or have validated are converted"
    schema = model(namespace)
    return schema, schema.shape(schema.roots[local_name(element)])


def _value(element: etree._Element, schema: Model, shape: Shape) -> Any:
    if shape.any_content:
        return {"#xml": canonical(element[0]).decode()}
    text = element.text or ""
    if shape.attribute is not None:
        return {f"@{shape.attribute}": element.get(shape.attribute), "#text": text}
    if shape.members:
        return _object_of(element, schema, shape)
    return boolean(text) if shape.boolean else text


def _object_of(element: etree._Element, schema: Model, shape: Shape) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for child in element:
        member = shape.member(local_name(child))
        assert member is not None, "the message is valid"
        value = _value(child, schema, schema.shape(member.type))
        if member.repeats:
            members.setdefault(member.name, []).append(value)
        else:
            members[member.name] = value
    return members
