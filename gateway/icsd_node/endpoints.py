"""What a registry's node answers of the network, beside the contract of every ledger.

Everything here can be checked by whoever knows the first members' keys: headers are chained and
certified by a quorum of registries, and an answer about the book comes with the way to the root
that they signed (`ledgers.icsd.light`). Operators and supervisors read it; an owner reads
proofs of its own holdings.
"""

import itertools
from typing import Final

from aiohttp import web

from gateway.icsd_node import views, wire
from gateway.icsd_node.served import NODE, STORE, require_follower, require_kept, told
from htlc.units import AccountId, AssetId, HtlcId
from ledgers.access import PRINCIPAL
from ledgers.icsd import light
from ledgers.icsd.block import carried
from ledgers.icsd.proof import State
from ledgers.icsd.view import View
from ledgers.parties import Principal
from ledgers.port import LedgerUnreachable
from ledgers.problems import Kind, ProblemError
from ledgers.wire import WireError, integer

BLOCKS_MAX: Final = 100
"""Blocks of one page: 100 headers with their certificates are 100 kB."""


async def get_head(request: web.Request) -> web.Response:
    """The last final block, the child that makes it final, and whether the node serves."""
    require_follower(request)
    node = request.app[NODE]
    final = await _finality(request, node.head.final) if node.head.final else None
    return told(views.head(node, final))


async def get_blocks(request: web.Request) -> web.Response:
    """Blocks after a height, final ones only, each with the certificate that its child carries."""
    require_follower(request)
    after = integer(request.query.get("after", "0"), "after")
    limit = integer(request.query.get("limit", str(BLOCKS_MAX)), "limit")
    if not 1 <= limit <= BLOCKS_MAX:
        raise WireError("limit", f"1 to {BLOCKS_MAX}")
    require_kept(request.app[NODE].head.base, after + 1)
    archived = await request.app[STORE].blocks(after, limit + 1)
    final = request.app[NODE].head.final
    return told(
        [
            views.block(block, carried(child.cut))
            for block, child in itertools.pairwise(archived)
            if block.header.height <= final
        ]
    )


async def _finality(request: web.Request, height: int) -> wire.FinalJson:
    """A final block and its child, each with its certificate."""
    store = request.app[STORE]
    block, child = await store.blocks(height - 1, 2)
    certificates = await store.certificates([height + 1])
    return wire.FinalJson(
        block=views.block(block, carried(child.cut)), child=views.block(child, certificates[0])
    )


async def get_holding(request: web.Request) -> web.Response:
    """What an account holds, with the way to a state that is final. Its owner's, too."""
    account = AccountId(request.match_info["account"])
    asset = AssetId(request.match_info["isin"])
    view = request.app[NODE].replica.view
    proof = light.prove_holding(view, account, asset)
    if proof is None or not _may_see(request[PRINCIPAL], view, account):
        raise ProblemError(Kind.NOT_FOUND, "no such account or instrument")
    final = await _proved(request, proof.issue.state, view)
    shown = views.holding_proof(proof)
    return told(wire.ProvedHolding(proof=shown, block=final.block, child=final.child))


def _may_see(by: Principal, view: View, account: AccountId) -> bool:
    known = view.book.accounts.get(account)
    return by.follows_the_ledger or (known is not None and known.owner == by.name)


async def get_issue(request: web.Request) -> web.Response:
    """An instrument as the whole network holds it, with the way to a state that is final."""
    require_follower(request)
    view = request.app[NODE].replica.view
    proof = light.prove_issue(view, AssetId(request.match_info["isin"]))
    if proof is None:
        raise ProblemError(Kind.NOT_FOUND, "no such instrument")
    final = await _proved(request, proof.state, view)
    shown = views.issue_proof(proof)
    return told(wire.ProvedIssue(proof=shown, block=final.block, child=final.child))


async def get_contract(request: web.Request) -> web.Response:
    """A contract as it is, or that there is none, with the way to a state that is final. Anyone's
    who knows the id, as contracts are looked up."""
    view = request.app[NODE].replica.view
    proof = light.prove_contract(view, HtlcId(request.match_info["id"]))
    final = await _proved(request, proof.state, view)
    shown = views.contract_proof(proof)
    return told(wire.ProvedContract(proof=shown, block=final.block, child=final.child))


async def get_operation(request: web.Request) -> web.Response:
    """That a transfer, issue or redemption was done, by its digest, and in which block."""
    view = request.app[NODE].replica.view
    proof = light.prove_operation(view, request.match_info["id"])
    if proof is None:
        detail = "no operation of this id was done so far; it may still be, so nothing proves that"
        raise ProblemError(Kind.NOT_FOUND, detail)
    final = await _proved(request, proof.state, view)
    shown = views.operation_proof(proof)
    return told(wire.ProvedOperation(proof=shown, block=final.block, child=final.child))


async def _proved(request: web.Request, state: State, view: View) -> wire.FinalJson:
    """The head of which a proof is, once it is final: a block is made for that if need be."""
    node, height = request.app[NODE], view.height
    if height == 0:
        raise LedgerUnreachable("the network has no block yet; ask again")
    await node.reach(view.at, height)
    found = await _finality(request, height)
    if found.block.statement.state != state.root.hex():
        raise LedgerUnreachable("the head was replaced meanwhile; ask again")
    return found


async def get_certificate(request: web.Request) -> web.Response:
    """A quorum's signatures on one block."""
    require_follower(request)
    height = integer(request.match_info["height"], "height")
    require_kept(request.app[NODE].head.base, height)
    found = await request.app[STORE].certificates([height])
    if not found:
        raise ProblemError(Kind.NOT_FOUND, f"height {height} is not certified")
    return told(views.certificate(found[0]))


async def get_epochs(request: web.Request) -> web.Response:
    """The members in force, and the next ones if they are decided."""
    require_follower(request)
    view = request.app[NODE].replica.view
    epochs = [epoch for epoch in (view.epoch, view.following) if epoch is not None]
    return told([views.epoch(epoch) for epoch in epochs])


async def get_evidence(request: web.Request) -> web.Response:
    """What registries are convicted of by their own signatures."""
    require_follower(request)
    return told([views.evidence(shown) for shown in await request.app[STORE].evidence()])
