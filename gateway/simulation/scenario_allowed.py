"""What may stand at a place of a scenario file, from the types of its form: for error messages."""

import re
import types
import typing
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import msgspec


def allowed(kind: Any, path: str, content: object) -> tuple[str, ...]:
    """The keys or values that are allowed at `path`, as far as they can be listed.

    `content` is the file as read: it says which member of a tagged union a table means to be."""
    parts = re.findall(r"[^.\[\]]+", path)
    for n, part in enumerate(parts):
        last = n == len(parts) - 1
        kind = _chosen(kind, content)
        fields = _fields(kind)
        if last and fields and part not in fields:
            return tuple(fields)
        if part == _tag_field(kind):
            return tuple(_tags(kind))
        kind = fields[part] if part in fields else _element(kind)
        content = _inside(content, part)
    return _values(kind)


def _members(kind: Any) -> tuple[Any, ...]:
    """The alternatives of a union without None; one that is no union is its own."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return tuple(each for each in typing.get_args(kind) if each is not type(None))
    return (kind,)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _chosen(kind: Any, content: object) -> Any:
    """The struct of a tagged union that the content names; else the kind as it is."""
    members = _members(kind)
    if isinstance(content, Mapping):
        for member in members:
            config = getattr(member, "__struct_config__", None)
            if config and config.tag_field and content.get(config.tag_field) == config.tag:
                return member
    return members[0] if len(members) == 1 else kind


def _tag_field(kind: Any) -> str | None:
    config = getattr(_members(kind)[0], "__struct_config__", None)
    return config.tag_field if config else None


def _tags(kind: Any) -> list[str]:
    return [member.__struct_config__.tag for member in _members(kind)]


def _fields(kind: Any) -> dict[str, Any]:
    if not _is_struct(kind):
        return {}
    tag = _tag_field(kind)
    return ({tag: str} if tag else {}) | typing.get_type_hints(kind)


def _element(kind: Any) -> Any:
    """What an array or a table of free keys holds."""
    arguments = [each for each in typing.get_args(kind) if each is not Ellipsis]
    return arguments[-1] if arguments else None


def _inside(content: object, part: str) -> object:
    if isinstance(content, Mapping):
        return content.get(part)
    if isinstance(content, Sequence) and part.isdecimal() and int(part) < len(content):
        return content[int(part)]
    return None


def _values(kind: Any) -> tuple[str, ...]:
    (first, *others) = _members(kind)
    if typing.get_origin(first) is typing.Literal:
        return tuple(map(str, typing.get_args(first)))
    if isinstance(first, type) and issubclass(first, Enum):
        return tuple(str(member.value) for member in first)
    if _is_struct(first) and not others:
        return tuple(_fields(first))
    return ()
