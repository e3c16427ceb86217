"""`/v1/messages` of a registry's node: the gateway's own routes (`gateway.http`), for the members
of the registry's internal system that its configuration names."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from gateway.http import mailbox, messages, statements, stream, webhooks
from gateway.http.exchange import MessageCall, MessageDesk, Reply, problem_reply
from gateway.http.messages import MAILBOX
from gateway.http.problems import Kind, RequestError
from gateway.http.stream import HEARTBEAT_SECONDS
from gateway.icsd_node.message_room import ACCEPTED, MessageRoom, require_away
from gateway.port import Principal, Statements
from gateway.telemetry.logs import Say
from ledgers.access import PRINCIPAL
from ledgers.port import LedgerUnreachable
from ledgers.reading import LOST
from ledgers.service import BODY_BYTES_MAX
from protocols.iso20022.envelope import MESSAGES_MAX

Answer = Callable[[MessageCall], Awaitable[Reply | web.StreamResponse]]

WEBHOOK: Final = "/v1/webhooks"

ROUTES: Final[tuple[tuple[str, str, Answer], ...]] = (
    ("POST", MAILBOX, messages.send),
    ("GET", MAILBOX, mailbox.page),
    ("POST", f"{MAILBOX}/ack", mailbox.acknowledge),
    ("GET", f"{MAILBOX}/stream", stream.stream),
    ("PUT", WEBHOOK, webhooks.put),
    ("GET", WEBHOOK, webhooks.show),
    ("DELETE", WEBHOOK, webhooks.drop),
    ("POST", "/v1/statements", statements.state),
)


def add(
    app: web.Application,
    desk: MessageDesk,
    members: Mapping[str, str],
) -> None:
    """Serve messages; `members` are the BICs of the tokens' principals."""
    for method, path, answer in ROUTES:
        app.router.add_route(method, path, _endpoint(desk, members, answer))

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
    desk: MessageDesk, members: Mapping[str, str], answer: Answer
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def endpoint(request: web.Request) -> web.StreamResponse:
        try:
            principal = _member(members, request[PRINCIPAL].name)
            call = MessageCall(desk=desk, request=request, principal=principal)
            told = await answer(call)
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
