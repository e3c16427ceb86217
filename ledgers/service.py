"""A ledger over HTTP: the contract that `README.md` describes, served by aiohttp.

The table of routes is all that is served, and what `/openapi.json` publishes is made from it.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

import msgspec
from aiohttp import web

from ledgers import openapi
from ledgers.access import TOKENS, authentication
from ledgers.endpoints import LEDGER
from ledgers.headers import HEADERS
from ledgers.hosted import HostedLedger
from ledgers.parties import Principal
from ledgers.problems import problems
from ledgers.route import Endpoint, Route
from ledgers.routes import ROUTES
from ledgers.wire import WireError

BODY_BYTES_MAX: Final = 4 * 1024 * 1024
"""A full batch of locks is about 1.6 MB of JSON, 2.6 MB with the longest names there can be."""


def build_app(ledger: HostedLedger, tokens: Mapping[str, Principal]) -> web.Application:
    """The service of one ledger. `tokens` are SHA-256 digests (hex) of bearer tokens and whose."""
    app = application(ledger, tokens)
    add(app, ROUTES)
    publish(app, document())
    return app


def application(ledger: HostedLedger, tokens: Mapping[str, Principal]) -> web.Application:
    """A service that knows who asks, without routes."""
    app = web.Application(middlewares=[problems, authentication], client_max_size=BODY_BYTES_MAX)
    app[LEDGER] = ledger
    app[TOKENS] = tokens
    app.on_response_prepare.append(_with_headers)
    return app


async def _with_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def add(app: web.Application, routes: Iterable[Route]) -> None:
    """Serve rows of a table; to HEAD what answers to GET."""
    for route in routes:
        if route.method == "GET":
            app.router.add_get(route.path, _strict(route))
        else:
            app.router.add_route(route.method, route.path, _strict(route))


def publish(app: web.Application, document: dict[str, Any]) -> None:
    """Serve the description, to everybody."""
    body = msgspec.json.encode(document)

    async def description(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app.router.add_get(openapi.PATH, description)


@cache
def document() -> dict[str, Any]:
    """The published description of a ledger's interface."""
    return openapi.document(
        ROUTES,
        title="Lockstep ledger",
        summary="What the gateway, owners and operators ask of a ledger",
        bearer="A token of each owner, operator, issuer and supervisor",
    )


def _strict(route: Route) -> Endpoint:
    """What is not in the row is refused: a misspelt parameter would be ignored in silence."""
    parameters = [parameter for parameter in route.parameters if parameter.place == "query"]
    known = [parameter.name for parameter in parameters]
    required = [parameter.name for parameter in parameters if parameter.required]

    async def endpoint(request: web.Request) -> web.StreamResponse:
        if request.rel_url.raw_query_string:
            _require_known(request, known)
        for name in required:
            if name not in request.query:
                raise WireError(name, "is required")
        return await route.handler(request)

    return endpoint


def _require_known(request: web.Request, known: list[str]) -> None:
    for name in request.query:
        if name not in known:
            rule = f"there are {', '.join(known)}" if known else "there is none here"
            raise WireError(name[:64], f"no such parameter; {rule}")
        if len(request.query.getall(name)) > 1:
            raise WireError(name, "given more than once")
