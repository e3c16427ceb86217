"""Who speaks to the ledger's HTTP service: bearer tokens (RFC 6750), known by digest only."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from ledgers import openapi
from ledgers.parties import Principal
from ledgers.problems import Kind, Next, ProblemError

TOKEN_LENGTH_MAX: Final = 512
"""A token is 32 random bytes in some notation; longer text is not worth hashing."""

PRINCIPAL: Final = web.RequestKey("principal", Principal)
TOKENS: Final = web.AppKey("tokens", Mapping[str, Principal])


def token_digest(token: str) -> str:
    """What is configured and stored of a token: SHA-256 in lower-case hex."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def authenticate(tokens: Mapping[str, Principal], authorization: str) -> Principal | None:
    """The principal of an Authorization header.

    Every configured digest is compared, each in constant time: how long it takes tells neither
    whether a token is nearly right nor whose it might be."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not 0 < len(token) <= TOKEN_LENGTH_MAX:
        return None
    digest = token_digest(token)
    equal = [who for known, who in tokens.items() if hmac.compare_digest(known, digest)]
    return equal[0] if equal else None


@web.middleware
async def authentication(request: web.Request, handler: Next) -> web.StreamResponse:
    """Nothing is served to somebody unknown but the published description, which is the same
    everywhere."""
    if request.path == openapi.PATH:
        return await handler(request)
    principal = authenticate(request.app[TOKENS], request.headers.get("Authorization", ""))
    if principal is None:
        raise ProblemError(
            Kind.UNAUTHORIZED,
            "a valid bearer token is needed: send Authorization: Bearer TOKEN",
            headers={"WWW-Authenticate": "Bearer"},
        )
    request[PRINCIPAL] = principal
    return await handler(request)
