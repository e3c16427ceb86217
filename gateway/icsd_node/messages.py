"""`/v1/messages` of a registry's node: the gateway's own routes (`gateway.http`), for the members
of the registry's internal system that its configuration names."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from gateway.http.exchange import MessageCall, MessageDesk, Reply, problem_reply
from gateway.http.message_routes import KEY, MESSAGE_ROUTES
from gateway.http.problems import Kind, RequestError
from gateway.http.route import MessageRoute
from gateway.http.stream import HEARTBEAT_SECONDS
from gateway.icsd_node.message_room import ACCEPTED, MessageRoom, require_away
from gateway.port import Principal, Statements
from gateway.telemetry.logs import Say
from ledgers.access import PRINCIPAL
from ledgers.described import Failure
from ledgers.port import LedgerUnreachable
from ledgers.problems import Kind as LedgerKind
from ledgers.problems import failure
from ledgers.reading import LOST
from ledgers.route import COMMON
from ledgers.service import BODY_BYTES_MAX
from protocols.iso20022.envelope import MESSAGES_MAX

OTHERWISE: Final = frozenset({Kind.NOT_AUTHENTICATED, Kind.INTERNAL})
"""Told as a ledger tells it, as on all other routes of a node."""


class NodeRoute(MessageRoute, frozen=True, kw_only=True):
    """A row of the gateway's table as a node serves it."""

    def failures(self) -> tuple[Failure, ...]:
        own = (failure(kind) for kind in COMMON if kind is not LedgerKind.INVALID)
        return (*super().failures(), *own)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return tuple(kind for kind in super().kinds if kind not in OTHERWISE)


def _as_here(route: MessageRoute) -> NodeRoute:
    """Without `Idempotency-Key`: what a node takes has ids of its own."""
    fields = {name: getattr(route, name) for name in route.__struct_fields__}
    taken = tuple(parameter for parameter in route.parameters if parameter is not KEY)
    return NodeRoute(**(fields | {"parameters": taken}))


ROUTES: Final = tuple(map(_as_here, MESSAGE_ROUTES))


def add(
    app: web.Application,
    desk: MessageDesk,
    members: Mapping[str, str],
) -> None:
    """Serve messages; `members` are the BICs of the tokens' principals."""
    for route in ROUTES:
        endpoint = _endpoint(desk, members, route)
        for method in (route.method, "HEAD") if route.head else (route.method,):
            app.router.add_route(method, route.path, endpoint)

    async def close(_: web.Application) -> None:
        desk.closing.set()

    app.on_shutdown.append(close)


def desk_of(
    room: MessageRoom, stated: Statements, bic: str, now: Callable[[], int], say: Say
) -> MessageDesk:
    """What the routes work with. `bic` is the registry's."""
    return MessageDesk(
        gateway=room,
        statements=stated,
        bic=bic,
        body_bytes_max=BODY_BYTES_MAX,
        batch_max=MESSAGES_MAX,
        heartbeat_seconds=HEARTBEAT_SECONDS,
        sign=lambda _, message: message,
        now=now,
        say=say,
        closing=asyncio.Event(),
        accepted=ACCEPTED,
    )


def _endpoint(
    desk: MessageDesk, members: Mapping[str, str], route: MessageRoute
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def endpoint(request: web.Request) -> web.StreamResponse:
        try:
            principal = _member(members, request[PRINCIPAL].name)
            call = MessageCall(desk=desk, request=request, principal=principal)
            told = await route.handler(call)
            return told.response() if isinstance(told, Reply) else told
        except RequestError as error:
            return problem_reply(error.problem).response()
        except LOST as error:
            require_away(error)
            raise LedgerUnreachable("the database is away; ask again") from error

    return endpoint


def _member(members: Mapping[str, str], name: str) -> Principal:
    if name not in members:
        detail = "messages.members names no BIC for this token's principal"
        raise RequestError(Kind.FORBIDDEN, detail)
    return Principal(name=members[name], role="member")
