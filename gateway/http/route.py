"""What a row of the table of routes holds beside its description: who may call, who answers."""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from gateway.http import exchange
from gateway.http.exchange import Call, MessageCall, Reply
from gateway.http.problems import Kind, failure
from gateway.http.samples import REJECTION_XML
from ledgers.described import Content, Described, Failure

Handled = Reply | web.StreamResponse

MEMBERS: Final = frozenset({"member"})
OPERATORS: Final = frozenset({"gateway", "ledger", "central-bank"})
EVERYBODY: Final = MEMBERS | OPERATORS

REJECTION: Final = Content(media=exchange.XML, example=REJECTION_XML)
"""What is wrong with a message, told as a message."""


class Route(Described, frozen=True, kw_only=True):
    """One row. Problems that every route may answer with are added by `kinds`."""

    handler: Callable[[Call], Awaitable[Handled]]
    roles: frozenset[str] = EVERYBODY
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

    def failures(self) -> tuple[Failure, ...]:
        return tuple(
            failure(kind, *([REJECTION] if kind is Kind.MESSAGE else [])) for kind in self.kinds
        )


class MessageRoute(Route, frozen=True, kw_only=True):
    """A row that a registry's node has as well."""

    handler: Callable[[MessageCall], Awaitable[Handled]]
