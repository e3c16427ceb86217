"""`/v1/messages` of a registry's node: the gateway's own routes (`gateway.http`), for the members
of the registry's internal system that its configuration names."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from gateway.http import mailbox, messages
from gateway.http.exchange import MessageCall, MessageDesk, Reply, problem_reply
from gateway.http.messages import MAILBOX
from gateway.http.problems import Kind, RequestError
from gateway.icsd_node.message_room import MessageRoom
from gateway.port import Principal
from ledgers.access import PRINCIPAL
from ledgers.service import BODY_BYTES_MAX
from protocols.iso20022.envelope import MESSAGES_MAX

ROUTES: Final[tuple[tuple[str, str, Callable[[MessageCall], Awaitable[Reply]]], ...]] = (
    ("POST", MAILBOX, messages.send),
    ("GET", MAILBOX, mailbox.page),
    ("POST", f"{MAILBOX}/ack", mailbox.acknowledge),
)


def add(
    app: web.Application,
    room: MessageRoom,
    bic: str,
    members: Mapping[str, str],
    now: Callable[[], int],
) -> None:
    """Serve messages. `bic` is the registry's; `members` the BIC of each pseudonym."""
    desk = MessageDesk(
        gateway=room,
        bic=bic,
        body_bytes_max=BODY_BYTES_MAX,
        batch_max=MESSAGES_MAX,
        sign=lambda _, message: message,
        now=now,
    )
    for method, path, answer in ROUTES:
        app.router.add_route(method, path, _endpoint(desk, members, answer))


def _endpoint(
    desk: MessageDesk,
    members: Mapping[str, str],
    answer: Callable[[MessageCall], Awaitable[Reply]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def endpoint(request: web.Request) -> web.StreamResponse:
        try:
            principal = _member(members, request[PRINCIPAL].name)
            call = MessageCall(desk=desk, request=request, principal=principal)
            return (await answer(call)).response()
        except RequestError as error:
            return problem_reply(error.problem).response()

    return endpoint


def _member(members: Mapping[str, str], name: str) -> Principal:
    if name not in members:
        detail = "messages.members names no BIC for this token's principal"
        raise RequestError(Kind.FORBIDDEN, detail)
    return Principal(name=members[name], role="member")
