"""A client that holds every answer against the published description of the interface."""

import json
from typing import Any

import aiohttp
import msgspec

from gateway.http import openapi
from tests.described import Published

DOCUMENT = openapi.document()
PUBLISHED = Published(DOCUMENT)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A response, read whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def media(self) -> str:
        return self.headers["Content-Type"].partition(";")[0]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """Sends requests as one member, and knows which answers the description allows."""

    def __init__(self, session: aiohttp.ClientSession, base: str, token: str | None) -> None:
        self._session = session
        self.base = base
        self._token = token

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        media: str | None = None,
        **headers: str,
    ) -> Answer:
        """One request; `body` other than bytes is sent as JSON."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self._token is not None:
            named.setdefault("Authorization", f"Bearer {self._token}")
        if media is not None:
            named["Content-Type"] = media
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            named.setdefault("Content-Type", "application/json")
        async with self._session.request(
            method, self.base + path, data=body, headers=named
        ) as response:
            answer = Answer(
                status=response.status, headers=dict(response.headers), body=await response.read()
            )
        PUBLISHED.check(method, path.partition("?")[0], answer.status, answer.headers, answer.body)
        return answer
