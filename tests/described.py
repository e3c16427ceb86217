"""Answers of a service, held against the description that it publishes."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from aiohttp import web
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from ledgers import openapi


class Published:
    """A published description, and which answers it allows."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._validators: dict[str, Draft202012Validator] = {}

    def operation(self, method: str, path: str) -> Any:
        """What is described of a request; None if nothing is. Words outrank parameters."""
        for template, methods in sorted(self.document["paths"].items(), key=_by_words):
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
                return methods.get(method.lower())
        return None

    def check(
        self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Fails for an answer that the description does not have."""
        operation = self.operation(method, path)
        if operation is None:
            return
        assert str(status) in operation["responses"], (
            f"{method} {path}: {status} is not described: {body[:300]!r}"
        )
        response = operation["responses"][str(status)]
        media = headers["Content-Type"].partition(";")[0]
        assert media in response["content"], f"{method} {path}: {media} is not described"
        told = json.loads(body) if media.endswith("json") else None
        if media.endswith("json"):
            self._check_content(response["content"][media]["schema"], told)
        if media == "application/problem+json":
            assert told["type"] in response["description"], f"{method} {path}: {told['type']}"
        for name in response.get("headers", {}):
            if name != "Location" or not isinstance(told, list):
                assert name in headers or media == "application/xml", name

    def _check_content(self, schema: dict[str, Any], told: Any) -> None:
        name = json.dumps(schema)
        if name not in self._validators:
            whole = {**schema, "components": self.document["components"]}
            self._validators[name] = Draft202012Validator(whole)
        errors = list(self._validators[name].iter_errors(told))
        assert not errors, errors[0]


def _by_words(item: tuple[str, Any]) -> tuple[int, str]:
    return item[0].count("{"), item[0]


def watch(app: web.Application, document: dict[str, Any]) -> list[str]:
    """Hold every answer of an application against a description; what is wrong gathers in the
    list, for whoever ends the application to look at."""
    published, wrong = published_of(json.dumps(document)), list[str]()

    @web.middleware
    async def middleware(request: web.Request, handler: Any) -> web.StreamResponse:
        answer: web.StreamResponse = await handler(request)
        if isinstance(answer, web.Response) and isinstance(answer.body, bytes):
            method = "GET" if request.method == "HEAD" else request.method
            try:
                published.check(method, request.path, answer.status, answer.headers, answer.body)
            except AssertionError as error:
                wrong.append(str(error))
        return answer

    app.middlewares.insert(0, middleware)
    return wrong


@cache
def published_of(document: str) -> Published:
    return Published(json.loads(document))


def served(app: web.Application) -> set[tuple[str, str]]:
    """Methods and paths of an application, without its own description."""
    return {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.method != "HEAD" and route.resource is not None
    } - {("GET", openapi.PATH)}


def described(document: dict[str, Any]) -> set[tuple[str, str]]:
    """Methods and paths of a description."""
    return {(m.upper(), path) for path, methods in document["paths"].items() for m in methods}


def require_whole(document: dict[str, Any]) -> None:
    """Fails for a description that is not valid, leaves something unsaid, or shows what it does
    not describe."""
    validate(document)
    assert r"\Z" not in str(document), "other languages do not read that in a pattern"
    for name, schema in document["components"]["schemas"].items():
        assert "." not in name, f"{name}: two have this name, told apart by where our code is"
        assert schema.get("type") != "object" or schema.get("description"), name
    operations = [
        (path, operation)
        for path, methods in document["paths"].items()
        for operation in methods.values()
    ]
    names = [operation["operationId"] for _, operation in operations]
    assert len(set(names)) == len(names)
    for path, operation in operations:
        declared = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert declared == set(re.findall(r"\{(\w+)\}", path))
        for content in _contents(operation):
            if "example" in content:
                whole = {**content["schema"], "components": document["components"]}
                Draft202012Validator(whole).validate(content["example"])


def _contents(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Of the request and of every answer."""
    for body in (operation.get("requestBody", {}), *operation["responses"].values()):
        yield from body.get("content", {}).values()
