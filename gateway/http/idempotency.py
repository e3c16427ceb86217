"""`Idempotency-Key` on JSON posts: the same key and body get the same answer, another body 409.

The ids in the bodies make every effect happen once already; the key adds that the *answer* is the
same. A key is reserved with the digest of its request before anything is done, so that no second
request is carried out under it; a crash in between leaves a reservation, under which the same
request is simply carried out again. Answers that ask to come back (5xx) are not kept.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import web

from gateway.http import exchange, problems
from gateway.http.exchange import Call, Reply, problem_reply
from gateway.http.problems import RequestError
from gateway.port import Conflict

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"

RESERVED: Final = 0
"""Status of a key whose request is not answered yet."""

# The draft of the header field writes a quoted string; many clients write it bare.
_KEY: Final = re.compile(r'"?([!#-~]{1,255})"?')


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A reply, as it is kept beside its status."""

    media: str
    headers: dict[str, str]
    body: str


_kept: Final = msgspec.json.Decoder(_Kept)


def applies(call: Call) -> bool:
    """Whether the key is honoured: XML has a key of its own, its (Fr, BizMsgIdr)."""
    return HEADER in call.request.headers and call.media[0] != exchange.XML


async def once(
    call: Call, handler: Callable[[Call], Awaitable[Reply | web.StreamResponse]]
) -> Reply:
    """The reply to a request under its key: a kept one, or a new one that is kept."""
    found = _KEY.fullmatch(call.request.headers[HEADER])
    if found is None:
        raise RequestError.field(HEADER, "is 1 to 255 printable ASCII characters without blanks")
    key, digest, member = found[1], await _digest(call), call.principal.name
    before = await call.gateway.remember(member, key, digest, RESERVED, "")
    if (known := _known(before)) is not None:
        return known
    reply = await handler(call)
    assert isinstance(reply, Reply), "only whole answers can be kept"
    if reply.status >= 500:
        return reply
    text = exchange.encode(
        _Kept(media=reply.media, headers=dict(reply.headers), body=reply.body.decode())
    ).decode()
    after = await call.gateway.remember(member, key, digest, reply.status, text)
    return reply if after == (reply.status, text) else _known(after) or reply


async def _digest(call: Call) -> bytes:
    request = call.request
    head = f"{request.method} {request.path_qs}\n{request.headers.get('Content-Type', '')}\n"
    return hashlib.sha256(head.encode("utf-8", "surrogateescape") + await call.body()).digest()


def _known(answer: tuple[int, str] | Conflict | None) -> Reply | None:
    match answer:
        case Conflict():
            return problem_reply(problems.outcome(answer))
        case (status, text) if status != RESERVED:
            kept = _kept.decode(text)
            headers = {**kept.headers, REPLAYED: "true"}
            return Reply(status=status, body=kept.body.encode(), media=kept.media, headers=headers)
        case _:
            return None
