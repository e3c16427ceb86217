"""A client that holds every answer against the published description of the interface."""

import json
import re
from typing import Any

import aiohttp
import msgspec
from jsonschema import Draft202012Validator

from gateway.http import openapi

DOCUMENT = openapi.document()


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
        check(method, path.partition("?")[0], answer)
        return answer


def check(method: str, path: str, answer: Answer) -> None:
    """Fails for an answer that the description does not have."""
    operation = _operation(method, path)
    if operation is None:
        return
    assert str(answer.status) in operation["responses"], (
        f"{method} {path}: {answer.status} is not described: {answer.body[:300]!r}"
    )
    response = operation["responses"][str(answer.status)]
    assert answer.media in response["content"], f"{answer.media} is not described"
    if answer.media.endswith("json"):
        errors = list(
            _validator(response["content"][answer.media]["schema"]).iter_errors(answer.json)
        )
        assert not errors, errors[0]
    for name in response.get("headers", {}):
        if name != "Location" or not isinstance(_maybe(answer), list):
            assert name in answer.headers or answer.media == "application/xml", name


def _maybe(answer: Answer) -> Any:
    return answer.json if answer.media.endswith("json") else None


def _operation(method: str, path: str) -> Any:
    for template, methods in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            return methods.get(method.lower())
    return None


def _validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})
