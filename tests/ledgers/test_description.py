"""The published description of a ledger's interface: whole, valid, and true."""

import re
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from ledgers import openapi
from ledgers.routes import ROUTES
from ledgers.service import build_app, document
from tests.described import Published, watch
from tests.ledgers.test_service import TOKENS
from tests.ledgers.worlds import GATEWAY, memory_world


def test_it_is_valid_and_every_schema_says_what_it_is() -> None:
    validate(document())
    for name, schema in document()["components"]["schemas"].items():
        if schema.get("type") == "object":
            assert schema.get("description"), name


def test_it_has_what_is_written_for_people() -> None:
    """Patterns as other languages read them, an id for each operation, parameters of each path."""
    text = str(document())
    assert r"\Z" not in text
    assert len({route.name for route in ROUTES}) == len(ROUTES)
    for route in ROUTES:
        in_path = {p.name for p in route.parameters if p.place == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", route.path))


def examples(whole: dict[str, Any]) -> list[tuple[dict[str, Any], Any]]:
    """Every example of a body that is JSON, with its schema."""
    operations = [op for methods in whole["paths"].values() for op in methods.values()]
    bodies = [op.get("requestBody", {}) for op in operations]
    bodies += [answer for op in operations for answer in op["responses"].values()]
    contents = [c for body in bodies for c in body.get("content", {}).values()]
    return [(c["schema"], c["example"]) for c in contents if "example" in c]


def test_its_examples_are_what_it_describes() -> None:
    whole = document()
    found = examples(whole)
    assert len(found) > 15
    for schema, example in found:
        Draft202012Validator({**schema, "components": whole["components"]}).validate(example)


async def test_it_is_served_to_everybody_and_has_every_route() -> None:
    app = build_app((await memory_world()).hosted, TOKENS)
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.method != "HEAD" and route.resource is not None
    }
    described = {(route.method, route.path) for route in ROUTES}
    assert served == described | {("GET", openapi.PATH)}
    async with TestClient(TestServer(app)) as client:
        answer = await client.get(openapi.PATH)
        assert (answer.status, await answer.json()) == (200, document())


async def test_the_examples_of_requests_are_taken() -> None:
    """They can be sent as they stand: what they name is not there, and that is an answer."""
    app = build_app((await memory_world()).hosted, TOKENS)
    wrong = watch(app, document())
    async with TestClient(TestServer(app)) as client:
        for route in ROUTES:
            for content in (
                document()["paths"][route.path][route.method.lower()]
                .get("requestBody", {"content": {}})["content"]
                .values()
            ):
                headers = {"Authorization": f"Bearer token-{GATEWAY.name}"}
                answer = await client.post(route.path, json=content["example"], headers=headers)
                assert answer.status == 200, await answer.text()
    assert wrong == []


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (418, b"{}", "not described"),
        (200, b'{"ledger":"x"}', "required"),
        (401, b'{"type":"x","title":"x","status":401}', ": x"),
    ],
)
async def test_an_answer_that_is_not_described_is_found(status: int, body: bytes, why: str) -> None:
    kind = "application/json" if status == 200 else "application/problem+json"
    headers = {"Content-Type": kind, "WWW-Authenticate": "Bearer"}
    with pytest.raises(AssertionError, match=why):
        Published(document()).check("GET", "/v1/description", status, headers, body)
    app = web.Application()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers=headers)

    app.router.add_get("/v1/description", answer)
    wrong = watch(app, document())
    async with TestClient(TestServer(app)) as client:
        await client.get("/v1/description")
    assert len(wrong) == 1
