"""What a published description says of a route: what is sent, what is answered, what may go wrong.

The tables of routes of every service (a ledger, a registry's node, the gateway) have these rows;
`ledgers.openapi` writes them down, and the tests of each service hold its answers against that.
"""

from enum import Enum
from typing import Any, Final, Literal, Self

import msgspec

JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"  # RFC 9457

Place = Literal["query", "header", "path"]


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """One form of a body. `type` None is text of a form of its own (XML, events), or, with
    `binary`, bytes."""

    media: str
    type: Any = None
    example: Any = None
    binary: bool = False


def json_content(type: Any, example: Any = None) -> tuple[Content, ...]:
    """The one form of a body that is JSON."""
    return (Content(media=JSON, type=type, example=example),)


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    place: Place
    description: str
    schema: dict[str, Any]
    required: bool = False
    example: Any = None


def page_limit(default: int, most: int) -> Parameter:
    """How much a page may have."""
    return Parameter(
        name="limit",
        place="query",
        description="Items of a page at most",
        schema={"type": "integer", "minimum": 1, "maximum": most, "default": default},
    )


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a status means here, and its forms."""

    status: int
    description: str
    contents: tuple[Content, ...]
    location: bool = False


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of problem (RFC 9457), and what it is told in."""

    type: str  # a URN
    title: str
    statuses: tuple[int, ...]
    contents: tuple[Content, ...]


class ProblemKind(Enum):
    """A kind of problem: the end of its URN, its status, its title. Each service has its own."""

    status: int
    title: str

    def __new__(cls, name: str, status: int, title: str) -> Self:
        member = object.__new__(cls)
        member._value_ = name
        member.status = status
        member.title = title
        return member


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """One row: a method of a path. Whoever serves it adds how it is answered."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    name: str
    summary: str
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    request: tuple[Content, ...] = ()
    body_required: bool = True
    answers: tuple[Answer, ...]

    def failures(self) -> tuple[Failure, ...]:
        """Every kind of problem that it may answer with."""
        return ()
