"""What a registry's node tells of the network, beside the contract of every ledger.

Everything here can be checked by whoever knows the first members' keys: headers are chained and
certified by a quorum of registries, and an answer about the book comes with the way to the root
that they signed (`ledgers.icsd.light`). Followers read it: operators, and supervisors.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from gateway.icsd_node import views
from ledgers.access import PRINCIPAL
from ledgers.icsd.node import Node
from ledgers.icsd.store import Store
from ledgers.problems import ProblemError
from ledgers.wire import WireError, integer

BLOCKS_MAX: Final = 100
"""Blocks of one page: 100 headers with their certificates are 100 kB."""

NODE: Final = web.AppKey("node", Node)
STORE: Final = web.AppKey("store", Store)

_encode = msgspec.json.Encoder().encode

Answering = Callable[[web.Request], Awaitable[web.Response]]


def add(app: web.Application, node: Node, store: Store) -> None:
    """Serve a node's own routes too."""
    app[NODE], app[STORE] = node, store
    routes = {
        "/v1/registry/head": get_head,
        "/v1/registry/blocks": get_blocks,
        "/v1/registry/certificates/{height}": get_certificate,
        "/v1/registry/epochs": get_epochs,
        "/v1/registry/evidence": get_evidence,
    }
    app.router.add_routes([web.get(path, _followed(answer)) for path, answer in routes.items()])


def _followed(answer: Answering) -> Answering:
    async def followed(request: web.Request) -> web.Response:
        if not request[PRINCIPAL].follows_the_ledger:
            raise ProblemError(
                HTTPStatus.FORBIDDEN, "forbidden", "read by operators and supervisors"
            )
        return await answer(request)

    return followed


async def get_head(request: web.Request) -> web.Response:
    """The last final block, the certificates that make it final, and whether the node serves."""
    node, store = request.app[NODE], request.app[STORE]
    final = node.head.final
    archived = {block.header.height: block for block in await store.blocks(final - 1, 2)}
    certificates = {c.statement.height: c for c in await store.certificates([final, final + 1])}
    return _json(views.head(node, archived, certificates))


async def get_blocks(request: web.Request) -> web.Response:
    """Blocks after a height, final ones only, each with its certificate."""
    after = integer(request.query.get("after", "0"), "after")
    limit = integer(request.query.get("limit", str(BLOCKS_MAX)), "limit")
    if not 1 <= limit <= BLOCKS_MAX:
        raise WireError("limit", f"1 to {BLOCKS_MAX}")
    node, store = request.app[NODE], request.app[STORE]
    found = [
        block
        for block in await store.blocks(after, limit)
        if block.header.height <= node.head.final
    ]
    heights = [block.header.height for block in found]
    certificates = {c.statement.height: c for c in await store.certificates(heights)}
    return _json([views.block(b, certificates.get(b.header.height)) for b in found])


async def get_certificate(request: web.Request) -> web.Response:
    height = integer(request.match_info["height"], "height")
    found = await request.app[STORE].certificates([height])
    if not found:
        raise ProblemError(HTTPStatus.NOT_FOUND, "not-found", f"height {height} is not certified")
    return _json(views.certificate(found[0]))


async def get_epochs(request: web.Request) -> web.Response:
    """The members in force, and the next ones if they are decided."""
    view = request.app[NODE].replica.view
    epochs = [epoch for epoch in (view.epoch, view.following) if epoch is not None]
    return _json([views.epoch(epoch) for epoch in epochs])


async def get_evidence(request: web.Request) -> web.Response:
    return _json([views.evidence(shown) for shown in await request.app[STORE].evidence()])


def _json(content: Any) -> web.Response:
    return web.Response(body=_encode(content), content_type="application/json")
