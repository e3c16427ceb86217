"""What a registry's node tells of the network, beside the contract of every ledger.

Everything here can be checked by whoever knows the first members' keys: headers are chained and
certified by a quorum of registries, and an answer about the book comes with the way to the root
that they signed (`ledgers.icsd.light`). Operators and supervisors read it; an owner reads
proofs of its own holdings.
"""

import itertools
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from gateway.icsd_node import views
from gateway.icsd_node.archive import require_kept
from htlc.units import AccountId, AssetId, HtlcId
from ledgers.access import PRINCIPAL
from ledgers.icsd import light
from ledgers.icsd.block import carried
from ledgers.icsd.node import Node
from ledgers.icsd.proof import State
from ledgers.icsd.store import Store
from ledgers.icsd.view import View
from ledgers.parties import Principal
from ledgers.port import LedgerUnreachable
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
        "/v1/registry/issues/{isin}": get_issue,
        "/v1/registry/epochs": get_epochs,
        "/v1/registry/evidence": get_evidence,
    }
    app.router.add_routes([web.get(path, _followed(answer)) for path, answer in routes.items()])
    app.router.add_get("/v1/registry/holdings/{account}/{isin}", get_holding)
    app.router.add_get("/v1/registry/contracts/{id}", get_contract)
    app.router.add_get("/v1/registry/operations/{id}", get_operation)


def _followed(answer: Answering) -> Answering:
    async def followed(request: web.Request) -> web.Response:
        if not request[PRINCIPAL].follows_the_ledger:
            raise ProblemError(
                HTTPStatus.FORBIDDEN, "forbidden", "read by operators and supervisors"
            )
        return await answer(request)

    return followed


async def get_head(request: web.Request) -> web.Response:
    """The last final block, the child that makes it final, and whether the node serves."""
    node = request.app[NODE]
    return _json(views.head(node) | await _finality(request, node.head.final))


async def get_blocks(request: web.Request) -> web.Response:
    """Blocks after a height, final ones only, each with the certificate that its child carries."""
    after = integer(request.query.get("after", "0"), "after")
    limit = integer(request.query.get("limit", str(BLOCKS_MAX)), "limit")
    if not 1 <= limit <= BLOCKS_MAX:
        raise WireError("limit", f"1 to {BLOCKS_MAX}")
    require_kept(request.app[NODE].head.base, after + 1)
    archived = await request.app[STORE].blocks(after, limit + 1)
    final = request.app[NODE].head.final
    return _json(
        [
            views.block(block, carried(child.cut))
            for block, child in itertools.pairwise(archived)
            if block.header.height <= final
        ]
    )


async def _finality(request: web.Request, height: int) -> views.Json:
    """A final block and its child, each with its certificate; nothing at height 0."""
    store = request.app[STORE]
    if height == 0:
        return {}
    block, child = await store.blocks(height - 1, 2)
    certificates = await store.certificates([height + 1])
    return {
        "block": views.block(block, carried(child.cut)),
        "child": views.block(child, certificates[0]),
    }


async def get_holding(request: web.Request) -> web.Response:
    """What an account holds, with the way to a state that is final. Its owner's, too."""
    account = AccountId(request.match_info["account"])
    asset = AssetId(request.match_info["isin"])
    view = request.app[NODE].replica.view
    proof = light.prove_holding(view, account, asset)
    if proof is None or not _may_see(request[PRINCIPAL], view, account):
        raise ProblemError(HTTPStatus.NOT_FOUND, "not-found", "no such account or instrument")
    return _json(await _proved(request, views.holding_proof(proof), proof.issue.state, view))


def _may_see(by: Principal, view: View, account: AccountId) -> bool:
    known = view.book.accounts.get(account)
    return by.follows_the_ledger or (known is not None and known.owner == by.name)


async def get_issue(request: web.Request) -> web.Response:
    """An instrument as the whole network holds it, with the way to a state that is final."""
    view = request.app[NODE].replica.view
    proof = light.prove_issue(view, AssetId(request.match_info["isin"]))
    if proof is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "not-found", "no such instrument")
    return _json(await _proved(request, views.issue_proof(proof), proof.state, view))


async def get_contract(request: web.Request) -> web.Response:
    """A contract as it is, or that there is none, with the way to a state that is final. Anyone's
    who knows the id, as contracts are looked up."""
    view = request.app[NODE].replica.view
    proof = light.prove_contract(view, HtlcId(request.match_info["id"]))
    return _json(await _proved(request, views.contract_proof(proof), proof.state, view))


async def get_operation(request: web.Request) -> web.Response:
    """That a transfer, issue or redemption was done, by its digest, and in which block."""
    view = request.app[NODE].replica.view
    proof = light.prove_operation(view, request.match_info["id"])
    if proof is None:
        detail = "no operation of this id was done so far; it may still be, so nothing proves that"
        raise ProblemError(HTTPStatus.NOT_FOUND, "not-found", detail)
    return _json(await _proved(request, views.operation_proof(proof), proof.state, view))


async def _proved(request: web.Request, proof: views.Json, state: State, view: View) -> views.Json:
    """The proof, made of the head, once the head is final: a block is made for that if need be."""
    node, height = request.app[NODE], view.height
    await node.reach(view.at, height)
    found = await _finality(request, height)
    if found["block"]["statement"]["state"] != state.root.hex():
        raise LedgerUnreachable("the head was replaced meanwhile; ask again")
    return {"proof": proof} | found


async def get_certificate(request: web.Request) -> web.Response:
    height = integer(request.match_info["height"], "height")
    require_kept(request.app[NODE].head.base, height)
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
