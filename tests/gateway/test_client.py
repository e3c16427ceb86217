"""The gateway's client against a server that answers as the contract says, and worse."""

from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec import to_builtins

from gateway import client
from gateway.client import (
    GatewayClient,
    GatewayUnreachableError,
    ProblemError,
    Proposed,
    Received,
    Rejected,
)
from gateway.http import wire
from gateway.http.samples import SETTLEMENT
from protocols.iso20022 import admi, render
from protocols.iso20022.advice import Outbound, Receipt, Rejection
from protocols.iso20022.errors import RejectCode
from protocols.iso20022.header import Header

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[dict[str, Handler]], Awaitable[GatewayClient]]

AT = 1_790_000_000_000_000_000


def written(message: Outbound, definition: str) -> str:
    head = Header(
        sender="LKSPBEB0XXX",
        receiver="ALSTDEF0XXX",
        business_message_id="answer",
        definition=definition,
        created_at=AT,
    )
    return render.render(message, head)


RECEIPT = written(
    Receipt(
        message_id="ours-1",
        received_at=AT,
        reference="theirs-1",
        definition="sese.023.001.11",
        sender="ALSTDEF0XXX",
    ),
    admi.RECEIPT,
)
REJECTION = written(
    Rejection(
        reference="theirs-2",
        code=RejectCode.XSDV,
        rejected_at=AT,
        location="/Document/X",
        description="no such element",
    ),
    admi.REJECTION,
)
REFUSED = Rejected(
    reference="theirs-2", code="XSDV", description="no such element", location="/Document/X"
)
PROBLEM = wire.Problem(
    type="urn:lockstep:problem:denied", title="Denied", status=409, detail="settled", code="DSET"
)


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts a server of some routes and gives a client for it."""
    servers: list[TestServer] = []
    async with aiohttp.ClientSession() as session:

        async def start(routes: dict[str, Handler]) -> GatewayClient:
            app = web.Application()
            for route, handler in routes.items():
                method, path = route.split()
                app.router.add_route(method, path, handler)
            server = TestServer(app)
            servers.append(server)
            await server.start_server()
            return GatewayClient(session, str(server.make_url("/")), "secret")

        yield start
    for server in servers:
        await server.close()


def answering(body: str | bytes, status: int = 200, media: str = "application/json") -> Handler:
    async def handler(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer secret"
        data = body.encode() if isinstance(body, str) else body
        return web.Response(body=data, status=status, content_type=media)

    return handler


class TestSend:
    """What is told of messages that were sent."""

    async def test_a_receipt_carries_both_identifiers(self, serve: Serve) -> None:
        gateway = await serve({"POST /v1/messages": answering(RECEIPT, 202, client.XML)})
        assert await gateway.send(b"<x/>") == (Received(reference="theirs-1", id="ours-1"),)

    async def test_a_batch_is_answered_one_by_one(self, serve: Serve) -> None:
        batch = render.batch([RECEIPT, REJECTION])
        gateway = await serve({"POST /v1/messages": answering(batch, 202, client.XML)})
        assert await gateway.send(b"<x/>") == (
            Received(reference="theirs-1", id="ours-1"),
            REFUSED,
        )

    async def test_a_rejection_is_an_answer_and_no_exception(self, serve: Serve) -> None:
        gateway = await serve({"POST /v1/messages": answering(REJECTION, 422, client.XML)})
        assert await gateway.send(b"<x/>") == (REFUSED,)

    async def test_the_json_form_is_sent_as_such(self, serve: Serve) -> None:
        media = []

        async def taken(request: web.Request) -> web.Response:
            media.append(request.headers["Content-Type"])
            return web.json_response({"id": "ours-1"}, status=202)

        gateway = await serve({"POST /v1/messages": taken})
        assert await gateway.send(b"{}", client.ISO_JSON) == (
            Received(reference=None, id="ours-1"),
        )
        assert media == ["application/vnd.iso20022+json; form=1"]

    async def test_a_json_batch_is_answered_one_by_one(self, serve: Serve) -> None:
        results = (
            wire.MessageResult(status=202, id="ours-1"),
            wire.MessageResult(status=409, problem=PROBLEM),
        )
        body = msgspec.json.encode(results)
        gateway = await serve({"POST /v1/messages": answering(body, 202)})
        assert await gateway.send(b"[]", client.ISO_JSON) == (
            Received(reference=None, id="ours-1"),
            Rejected(reference=None, code="DSET", description="settled"),
        )

    async def test_a_problem_is_a_rejection_of_the_whole(self, serve: Serve) -> None:
        body = msgspec.json.encode(PROBLEM)
        gateway = await serve(
            {"POST /v1/messages": answering(body, 409, "application/problem+json")}
        )
        (rejected,) = await gateway.send(b"{}", client.ISO_JSON)
        assert isinstance(rejected, Rejected)
        assert rejected.code == "DSET"

    async def test_what_is_no_answer_of_a_gateway_is_none(self, serve: Serve) -> None:
        gateway = await serve({"POST /v1/messages": answering("<html/>", 200, client.XML)})
        with pytest.raises(GatewayUnreachableError, match="none of the gateway's"):
            await gateway.send(b"<x/>")

    async def test_nobody_there_is_said_with_the_address(self) -> None:
        async with aiohttp.ClientSession() as session:
            gateway = GatewayClient(session, "http://127.0.0.1:1", "secret")
            with pytest.raises(GatewayUnreachableError, match=r"http://127\.0\.0\.1:1 gives no"):
                await gateway.send(b"<x/>")


def delivery(number: int) -> wire.Delivery:
    return wire.Delivery(
        cursor=f"c{number}",
        id=f"m{number}",
        definition="sese.024.001.12",
        related="theirs-1",
        created_at="2026-10-08T05:30:00Z",
        settlement=None,
        xml="<BizMsg>\n</BizMsg>",
    )


async def test_the_inbox_is_read_from_a_cursor_on(serve: Serve) -> None:
    asked = []

    async def page(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        found = wire.DeliveryPage(messages=(delivery(2),), next="c2")
        return web.Response(body=msgspec.json.encode(found), content_type="application/json")

    gateway = await serve({"GET /v1/messages": page})
    found = await gateway.inbox("c1", limit=7)
    assert found.messages == (delivery(2),)
    assert asked == [{"after": "c1", "limit": "7"}]


async def test_a_broken_stream_is_gone_on_with_where_it_broke(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAUSE_SECONDS", 0.0)
    resumed: list[str | None] = []

    async def stream(request: web.Request) -> web.StreamResponse:
        resumed.append(request.headers.get("Last-Event-ID"))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        number = len(resumed)
        event = msgspec.json.encode(delivery(number))
        await response.write(b"retry: 1000\n\n: alive\n\n")
        await response.write(b"id: c%d\ndata: %b\n\n" % (number, event))
        assert request.transport is not None
        request.transport.abort()  # in the middle, as a crash does
        return response

    gateway = await serve({"GET /v1/messages/stream": stream})
    seen = []
    async for message in gateway.follow("c0"):
        seen.append(message)
        if len(seen) == 3:
            break
    assert [message.cursor for message in seen] == ["c1", "c2", "c3"]
    assert resumed == ["c0", "c1", "c2"]


async def test_a_stream_that_is_refused_is_not_tried_for_ever(serve: Serve) -> None:
    body = msgspec.json.encode(PROBLEM)
    gateway = await serve({"GET /v1/messages/stream": answering(body, 409)})
    with pytest.raises(ProblemError, match="settled"):
        async for _ in gateway.follow():
            raise AssertionError("nothing comes")


async def test_what_the_gateway_denies_is_raised_with_its_problem(serve: Serve) -> None:
    body = msgspec.json.encode(PROBLEM)
    gateway = await serve({"POST /v1/settlements/s-1/cancel": answering(body, 409)})
    with pytest.raises(ProblemError) as raised:
        await gateway.cancel("s-1", "mistake")
    assert raised.value.problem == PROBLEM


async def test_a_brief_answer_is_asked_for_and_a_full_one_is_read_as_well(serve: Serve) -> None:
    preferred: list[str | None] = []
    brief, full = {"status": 202, "id": "s-1", "state": "LOCKING"}, to_builtins(SETTLEMENT)
    answers: list[object] = [brief, full, [brief], [{"status": 202, "settlement": full}]]

    async def taken(request: web.Request) -> web.Response:
        preferred.append(request.headers.get("Prefer"))
        return web.json_response(answers[len(preferred) - 1], status=202)

    gateway = await serve({"POST /v1/settlements": taken})
    assert await gateway.propose_briefly({}) == Proposed(id="s-1", state="LOCKING")
    assert await gateway.propose_briefly({}) == Proposed(id=SETTLEMENT.id, state="LOCKING")
    (short,) = await gateway.propose_all([{}], briefly=True)
    (whole,) = await gateway.propose_all([{}])
    assert (short.id, short.state, short.settlement) == ("s-1", "LOCKING", None)
    assert whole.settlement == SETTLEMENT
    assert preferred == ["return=minimal"] * 3 + [None]


async def test_a_proxy_in_between_is_no_gateway(serve: Serve) -> None:
    gateway = await serve({"GET /v1/ledgers": answering("<h1>Bad gateway</h1>", 502, "text/html")})
    with pytest.raises(GatewayUnreachableError, match="Bad gateway"):
        await gateway.ledgers()


async def test_reading_is_acknowledged_by_cursor(serve: Serve) -> None:
    told = []

    async def acknowledge(request: web.Request) -> web.Response:
        told.append(await request.json())
        return web.json_response({"through": "c3"})

    gateway = await serve({"POST /v1/messages/ack": acknowledge})
    await gateway.acknowledge("c3")
    assert told == [{"through": "c3"}]
