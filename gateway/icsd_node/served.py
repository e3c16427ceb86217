"""What the routes of a node share: the parts that they answer from, who may ask, how it is told."""

from typing import Final

import msgspec
from aiohttp import web

from ledgers.access import PRINCIPAL
from ledgers.icsd.node import Node
from ledgers.icsd.store import Store
from ledgers.problems import Kind, ProblemError

NODE: Final = web.AppKey("node", Node)
STORE: Final = web.AppKey("store", Store)

MSGPACK: Final = "application/msgpack"

_json: Final = msgspec.json.Encoder().encode
_msgpack: Final = msgspec.msgpack.Encoder().encode


def require_follower(request: web.Request) -> None:
    """Raises ProblemError for who is no operator or supervisor."""
    if not request[PRINCIPAL].follows_the_ledger:
        raise ProblemError(Kind.FORBIDDEN, "read by operators and supervisors")


def require_kept(base: int, height: int) -> None:
    """Raises ProblemError for a block from before the snapshot by which a registry joined."""
    if height < base:
        detail = (
            f"block {height} is not here: this registry joined by a snapshot at height {base} and "
            "has the blocks since; ask another registry, or join by a snapshot (`registry join`)"
        )
        raise ProblemError(Kind.BEFORE_SNAPSHOT, detail)


def told(content: object) -> web.Response:
    """An answer as JSON."""
    return web.Response(body=_json(content), content_type="application/json")


def packed(content: object) -> web.Response:
    """An answer as MessagePack."""
    return web.Response(body=_msgpack(content), content_type=MSGPACK)
