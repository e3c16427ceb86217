"""Who asks: the one seam between a connection and a `Principal`.

Today a bearer token each (RFC 6750). Mutual TLS and signed requests will be other implementations
of `Authentication`; nothing behind it knows how somebody was recognised.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Final, Protocol

from aiohttp import web

from gateway.config import ConfigurationError, MemberSettings, OperatorSettings
from gateway.port import Principal

CHALLENGE: Final = 'Bearer realm="lockstep"'
"""RFC 9110 section 11.6.1: a 401 says how to authenticate."""

_TOKEN: Final = re.compile(r"Bearer +([A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE)
"""b64token of RFC 6750 section 2.1; the scheme's case does not matter."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Authentication(Protocol):
    """Recognises who sent a request."""

    def principal(self, request: web.BaseRequest) -> Principal | None:
        """Who asks; None for somebody unknown. Looks at the connection and the headers only: it
        is asked before a body is read."""
        ...


class Authenticator:
    """Bearer tokens of 32 random bytes, known by their SHA-256 only.

    The table is searched by that digest. How long a search takes tells something of the digest at
    most, and a digest that is partly known helps nobody to a token of 256 random bits; the last
    comparison takes the same time wherever two digests differ."""

    def __init__(
        self, members: Iterable[MemberSettings], operators: Iterable[OperatorSettings] = ()
    ) -> None:
        """ConfigurationError for a digest that is none, or that two share."""
        self._known: dict[bytes, tuple[bytes, Principal]] = {}
        for member in members:
            self._admit(member, Principal(name=member.bic, role="member"))
        for operator in operators:
            who = Principal(name=operator.name, role=operator.role, ledger=operator.ledger)
            self._admit(operator, who)

    def _admit(self, settings: MemberSettings | OperatorSettings, principal: Principal) -> None:
        self._add(settings.token_sha256, principal)
        if settings.next_token_sha256 is not None:
            self._add(settings.next_token_sha256, principal)

    def _add(self, digest: str, principal: Principal) -> None:
        if _SHA256.fullmatch(digest) is None:
            raise ConfigurationError(
                f"token_sha256 of {principal.name}: expected 64 lower-case hex digits"
            )
        key = bytes.fromhex(digest)
        if key in self._known:
            raise ConfigurationError(
                f"token_sha256 of {principal.name}: {self._known[key][1].name} has the same"
            )
        self._known[key] = (key, principal)

    def principal(self, request: web.BaseRequest) -> Principal | None:
        """Who holds the token that was shown."""
        found = _TOKEN.fullmatch(request.headers.get("Authorization", ""))
        if found is None:
            return None
        digest = hashlib.sha256(found[1].encode("ascii")).digest()
        known, principal = self._known.get(digest, (b"", None))
        return principal if hmac.compare_digest(known, digest) else None
