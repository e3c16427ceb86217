"""The published description of a ledger's interface: whole, valid, and true."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from ledgers import openapi
from ledgers.routes import ROUTES
from ledgers.service import build_app, document
from tests.described import Published, described, require_whole, served, watch
from tests.ledgers.test_service import TOKENS
from tests.ledgers.worlds import GATEWAY, memory_world


def test_it_is_valid_and_whole() -> None:
    require_whole(document())


async def test_it_is_served_to_everybody_and_has_every_route() -> None:
    app = build_app((await memory_world()).hosted, TOKENS)
    assert served(app) == described(document())
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
