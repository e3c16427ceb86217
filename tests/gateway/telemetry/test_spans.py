"""Spans, as a collector gets them over HTTP: requests, settlements, batches, and how they hang
together. And that nothing is there when nobody asks."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from gateway.config import ConfigurationError
from gateway.port import View
from gateway.telemetry import spans
from gateway.telemetry.traffic import Traffic
from ledgers import trace
from tests.gateway.systems import SELLER, System, until
from tests.gateway.test_agreed_swaps import a_dvp, settle


class Collector:
    """Takes what is exported."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:  # noqa: N805 - the library's name; self is ours
                body = handler.rfile.read(int(handler.headers["Content-Length"]))
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        self.spans.extend(scope.spans)
                handler.send_response(200)
                handler.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    made = Collector()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    try:
        yield made
    finally:
        made.server.shutdown()
        thread.join()
        made.server.server_close()


@pytest.fixture
def exported(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[spans.Spans]:
    """This process makes spans, as a service with that environment does."""
    monkeypatch.setattr(spans, "active", None)
    spans.configure("test")
    assert spans.active is not None
    yield spans.active
    spans.active.close()


CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
"""The example of W3C Trace Context, section 3.2.4."""


async def test_a_request_its_settlement_and_the_batches_for_it_are_one_trace(
    running: System, collector: Collector, exported: spans.Spans
) -> None:
    traffic = Traffic()

    async def post(_: web.Request) -> web.Response:
        view = await settle(running, a_dvp())
        return web.Response(text=str(view.state.phase), status=503)

    app = web.Application(middlewares=[traffic.middleware()])
    app.router.add_post("/v1/settlements/{id}/x", post)
    async with TestClient(TestServer(app)) as client:
        await client.post("/v1/settlements/123/x", headers={trace.HEADER: CALLER})
    await until(lambda: not running.engine.runner.lives)
    exported.close()
    named = {span.name: span for span in collector.spans}
    request, settlement = named["POST /v1/settlements/{id}/x"], named["settlement"]
    assert request.parent_span_id.hex() == "b7ad6b7169203331"
    assert settlement.parent_span_id == request.span_id
    assert {span.trace_id.hex() for span in collector.spans} == {CALLER.split("-")[1]}
    assert [event.name for event in settlement.events] == ["EXECUTING", "SETTLED"]
    about = {each.key: each.value for each in settlement.attributes}
    assert about["lockstep.outcome"].string_value == "SETTLED"
    batches = [span for span in collector.spans if span.name == "ledger apply"]
    assert len(batches) >= 4 and {span.parent_span_id for span in batches} == {settlement.span_id}
    assert request.status.code == Status.STATUS_CODE_ERROR
    for span in collector.spans:
        assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano


async def test_a_settlement_that_another_replica_took_over_ends_its_span(
    running: System, collector: Collector, exported: spans.Spans
) -> None:
    (taken,) = await running.desk.take_settlements(SELLER, [(a_dvp(), b"digest")])
    assert isinstance(taken, View)
    running.engine.runner.relinquish(taken.state.swap.id)
    exported.close()
    (settlement,) = [span for span in collector.spans if span.name == "settlement"]
    about = {each.key: each.value.string_value for each in settlement.attributes}
    assert about["lockstep.outcome"] == "RELINQUISHED"


def test_without_the_library_the_start_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigurationError, match=r"lockstep\[tracing\]"):
        spans.configure("test")


def test_nobody_asks_and_nothing_of_it_is_imported() -> None:
    program = (
        "import sys, gateway.app, gateway.process.ledger; from gateway.telemetry import spans;"
        "spans.configure('x'); assert spans.active is None;"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    clean = {"PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", program], check=True, env=clean)
