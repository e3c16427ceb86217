"""A registry's node over HTTP: a ledger's contract, the network's own records, and messages."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import asyncpg
from aiohttp import web

from gateway.icsd_node import messages, snapshot
from gateway.icsd_node.front import Front
from gateway.icsd_node.routes import ROUTES
from gateway.icsd_node.served import NODE, STORE
from ledgers import openapi, routes, service
from ledgers.icsd.hosted import RegistryLedger
from ledgers.icsd.store import Store
from ledgers.parties import Principal


def build_app(
    ledger: RegistryLedger,
    tokens: Mapping[str, Principal],
    store: Store,
    pool: "asyncpg.Pool[asyncpg.Record]",
    front: Front | None = None,
) -> web.Application:
    """The service of one node. `tokens` are SHA-256 digests (hex) of bearer tokens and whose;
    `pool` is what snapshots are read from; `front` is there where messages are configured."""
    app = service.application(ledger, tokens)
    app[NODE], app[STORE] = ledger.node, store
    snapshot.keep(app, pool)
    service.add(app, (*routes.ROUTES, *ROUTES))
    if front is not None:
        front.add(app)
    service.publish(app, document(takes_messages=front is not None))
    return app


@cache
def document(*, takes_messages: bool = True) -> dict[str, Any]:
    """The published description of a node's interface."""
    return openapi.document(
        (*(messages.ROUTES if takes_messages else ()), *routes.ROUTES, *ROUTES),
        title="Lockstep registry",
        summary="A registry of the network: messages of its members, the ledger, proofs",
        bearer="A token of each owner, operator, issuer and supervisor",
    )
