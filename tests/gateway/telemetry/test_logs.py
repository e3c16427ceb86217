"""What the log says, and what it never says."""

import asyncio
import io
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from gateway.app import serve
from gateway.http import notation
from gateway.process.serving import serve_app
from gateway.telemetry import logs
from ledgers import trace
from tests.gateway.systems import OPERATOR, SELLER, System, sha256, system, token, until
from tests.gateway.test_agreed_swaps import a_dvp

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Everything that is logged, down to the last detail, as JSON."""
    monkeypatch.setenv("LOCKSTEP_LOG", "json")
    monkeypatch.setenv("LOCKSTEP_LOG_LEVEL", "debug")
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    stream = io.StringIO()
    logs.configure("gateway-7", stream)
    yield stream
    root.handlers, root.level = before, level


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_a_line_is_one_object_with_what_is_known(log: io.StringIO) -> None:
    say = logs.say_as("process")
    with logs.bound(settlement="S-1", ledger=None):
        say("PAGE: something\nover two lines")
    logging.getLogger("http").info("%s", "plain", extra={"status": 503})
    say("ERROR: urn:uuid:1 at GET /")
    first, second, third = lines(log)
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "critical",
        "event": "process",
        "service": "gateway-7",
        "message": "something\nover two lines",
        "settlement": "S-1",
    }
    assert (second["level"], second["message"], second["status"]) == ("info", "plain", 503)
    assert (third["level"], third["message"]) == ("error", "urn:uuid:1 at GET /")


def test_an_exception_stays_on_its_line(log: io.StringIO) -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        logging.getLogger("http").exception("it failed")
    (line,) = lines(log)
    assert line["exception"].endswith("ValueError: first\nsecond")


def test_text_is_for_people(monkeypatch: pytest.MonkeyPatch, log: io.StringIO) -> None:
    monkeypatch.setenv("LOCKSTEP_LOG", "text")
    stream = io.StringIO()
    logs.configure("euro", stream)
    logging.getLogger("process").warning("slow", extra={"ledger": "euro"})
    assert stream.getvalue().endswith("Z euro: warning: slow ledger=euro\n")
    assert not log.getvalue()


@pytest.mark.parametrize("name", ["LOCKSTEP_LOG", "LOCKSTEP_LOG_LEVEL"])
def test_an_unknown_form_or_level_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "loud")
    with pytest.raises(logs.UnknownFormError, match=f"{name}: .*loud"):
        logs.configure("gateway", io.StringIO())


@pytest.mark.parametrize(
    ("header", "id"),
    [
        (TRACEPARENT, TRACE),
        (f"01-{TRACE}-00f067aa0ba902b7-01-more", TRACE),  # a later version may say more
        (f"00-{TRACE}-00f067aa0ba902b7-01-more", None),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (TRACEPARENT.upper(), None),
        ("", None),
        (None, None),
    ],
)
def test_traceparent(header: str | None, id: str | None) -> None:
    found = trace.read(header)
    assert (found.id if found else None) == id


def test_without_a_span_of_ours_the_caller_s_is_handed_on_as_the_parent() -> None:
    """A parent that nobody exports would tear the trace apart."""
    taken = trace.read(TRACEPARENT)
    assert taken is not None
    assert taken.header() == TRACEPARENT


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (
            b"GET /v1/ledgers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s\x01cret\r\n\r\n",
            "BadHttpMessage",
        ),
        (b"GET /" + b"s" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", "LineTooLong"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\n"
            b"s\x01cret",
            "RequestPayloadError",
        ),
        (b"\x16\x03\x01\x00\xf4\x01", "BadHttp"),
    ],
)
async def test_what_is_no_http_is_no_error_of_ours_and_is_not_repeated(
    log: io.StringIO, sent: bytes, error: str
) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    runner = await serve_app(web.Application(), listening)
    try:
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write(sent)
        assert (await reader.readline()).startswith(b"HTTP/1.")
        await reader.read()  # the connection is closed, so the line is written
        writer.close()
    finally:
        await runner.cleanup()
    told = [line for line in lines(log) if line["event"] == "http.server"]
    assert [line["level"] for line in told] == ["info"]
    assert error in told[0]["message"]
    assert "cret" not in log.getvalue()


async def test_a_settlement_is_followed_by_its_trace_and_no_secret_is_told(
    dsns: dict[str, str], tmp_path: Path, log: io.StringIO
) -> None:
    swap = a_dvp()
    async with system(dsns, tmp_path) as made:
        listen, metrics = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
        ready = asyncio.Event()
        work = asyncio.create_task(
            serve(
                made.settings,
                listen=listen,
                metrics=metrics,
                ready=ready.set,
                say=logs.say_as("process"),
            )
        )
        await ready.wait()
        await _settle(f"http://127.0.0.1:{listen.getsockname()[1]}", swap)
        keys = await _keys(made)
        work.cancel()
        await asyncio.wait({work})
    told = lines(log)
    own = [line for line in told if line.get("settlement") == swap.id]
    assert {line["trace"] for line in own} == {TRACE}
    assert [line["message"] for line in own if " to " in line["message"]] == [
        "LOCKING to EXECUTING",
        "EXECUTING to SETTLED",
    ]
    assert {line["ledger"] for line in own if "leg" in line["message"]} == {"registry", "bank"}
    asked = [line for line in told if line["message"] == "POST /v1/operations"]
    assert {line["trace"] for line in asked} == {TRACE}, "the ledgers were handed the trace"
    posted = [line for line in told if line["message"] == "POST /v1/settlements"][-1]
    assert (posted["member"], posted["status"], posted["trace"]) == (SELLER, 202, TRACE)
    _no_secret(log.getvalue(), keys, tmp_path)


async def _settle(url: str, swap: Any) -> None:
    headers = {"Authorization": f"Bearer {token(SELLER)}", "traceparent": TRACEPARENT}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def posted() -> bool:
            async with session.post(f"{url}/v1/settlements", json=_proposal(swap)) as response:
                return response.status == 202

        async def settled() -> bool:
            async with session.get(f"{url}/v1/settlements/{swap.id}") as response:
                return bool((await response.json())["state"] == "SETTLED")

        await until(posted)  # busy until every ledger has told what it is
        await until(settled)


def _proposal(swap: Any) -> dict[str, Any]:
    scales = {"EUR": 2}
    return {
        "id": swap.id,
        "legs": [
            {
                "leg": leg.leg,
                "ledger": leg.ledger,
                "asset": leg.asset,
                "quantity": notation.decimal(leg.quantity, scales.get(leg.asset, 0)),
                "payer": msgspec.to_builtins(leg.payer),
                "payee": msgspec.to_builtins(leg.payee),
            }
            for leg in swap.legs
        ],
    }


async def _keys(made: System) -> set[bytes]:
    """The preimages that opened the locks, as the ledgers show them."""
    found = set()
    for ledger in made.ledgers.values():
        async for fact in ledger.as_principal(OPERATOR).facts():
            if fact.htlc is not None and fact.htlc.key is not None:
                found.add(fact.htlc.key)
    assert found, "something was executed"
    return found


def _no_secret(text: str, keys: set[bytes], home: Path) -> None:
    for name in (SELLER, "gateway"):
        assert token(name) not in text
        assert sha256(token(name)) not in text
    for secret in (*keys, (home / "master").read_bytes()):
        assert secret.hex() not in text.lower()
        assert repr(secret)[2:-1] not in text
