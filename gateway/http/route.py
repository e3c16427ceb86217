"""What a row of the table of routes holds: who may call, what is sent, what may be answered."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

import msgspec
from aiohttp import web

from gateway.http.exchange import Call, Reply
from gateway.http.problems import Kind

Handled = Reply | web.StreamResponse
Place = Literal["query", "header", "path"]

MEMBERS: Final = frozenset({"member"})
OPERATORS: Final = frozenset({"gateway", "ledger", "central-bank"})
EVERYBODY: Final = MEMBERS | OPERATORS


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """One form of a body. `type` None is text of a form of its own (XML, events)."""

    media: str
    type: Any = None
    example: Any = None


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    place: Place
    description: str
    schema: dict[str, Any]
    required: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a status means here, and its forms."""

    status: int
    description: str
    contents: tuple[Content, ...]
    location: bool = False


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One row. Problems that every route may answer with are added by `problems`."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    name: str
    summary: str
    description: str = ""
    handler: Callable[[Call], Awaitable[Handled]]
    roles: frozenset[str] = EVERYBODY
    parameters: tuple[Parameter, ...] = ()
    request: tuple[Content, ...] = ()
    body_required: bool = True
    answers: tuple[Answer, ...]
    refusals: tuple[Kind, ...] = ()
    head: bool = False  # answered to HEAD as well

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Every kind of problem that it may answer with."""
        body = (Kind.MALFORMED, Kind.TIMEOUT, Kind.TOO_LARGE, Kind.UNSUPPORTED)
        common = (
            Kind.NOT_AUTHENTICATED,
            Kind.FORBIDDEN,
            Kind.INVALID,
            Kind.INTERNAL,
            Kind.BUSY,
        )
        keyed = (Kind.CONFLICT,) if self.method == "POST" else ()
        return common + (body if self.request else ()) + keyed + self.refusals
