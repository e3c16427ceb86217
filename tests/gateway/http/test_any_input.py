"""Any bytes to any endpoint: always an answer in time, never an error of ours."""

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.http import exchange, samples
from gateway.http.routes import ROUTES
from tests.gateway.http.client import PUBLISHED, Answer
from tests.gateway.http.conftest import BATCH_MAX, ID, proposal, serve
from tests.gateway.http.fake import SELLER, FakeGateway

WORK_SECONDS = 5.0
"""Of CPU for an answer to what takes milliseconds; what is quadratic takes minutes."""

ANSWER_SECONDS = 60.0
"""For an answer to come, on a machine that does ten other things."""

PATHS = [route.path.replace("{id}", ID) for route in ROUTES if "stream" not in route.path]
POSTS = [route.path.replace("{id}", ID) for route in ROUTES if route.method == "POST"]
MEDIA = [exchange.JSON, exchange.XML, exchange.ISO_JSON_FORM, "", "text/plain; charset=utf-8"]

EXAMPLES = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Server:
    """The interface on a thread of its own, asked over one connection."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._runner, base = self._wait(serve(FakeGateway(), self.said))
        self._address = base.removeprefix("http://")
        self._connection = self._connect()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._address, timeout=ANSWER_SECONDS)

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def close(self) -> None:
        self._connection.close()
        self._wait(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        """One answer, which the description has and which is no error of ours."""
        headers = {"Authorization": f"Bearer {SELLER.lower()}", **headers}
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
        except (http.client.HTTPException, ConnectionError):  # closed after an early refusal
            self._connection.close()
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
        answer = Answer(
            status=response.status, headers=dict(response.getheaders()), body=response.read()
        )
        assert answer.status < 500, answer.text
        assert self.said == []
        PUBLISHED.check(method, path.partition("?")[0], answer.status, answer.headers, answer.body)
        return answer


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


@EXAMPLES
@given(
    path=st.sampled_from(POSTS),
    media=st.sampled_from(MEDIA),
    body=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["id", "legs", "reason", "through", "AppHdr", "Document", "x"]),
                    inner,
                    max_size=3,
                )
            ),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
        st.text(alphabet="<>/=\"' BizMsgAppHdrDocument&;![]-", max_size=80).map(str.encode),
    ),
)
def test_any_body_gets_an_answer(server: Server, path: str, media: str, body: bytes) -> None:
    answer = server.ask("POST", path, body, {"Content-Type": media} if media else {})
    if answer.status != 202 or answer.media != exchange.JSON:
        return
    if path == "/v1/statements":  # an empty object asks for all of one's own
        assert json.loads(body) == {} and answer.json.keys() == {"statements"}
    else:
        assert all(item["status"] >= 400 for item in answer.json)


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in a JSON value."""
    yield way
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield from places(inner, (*way, key))
    for n, inner in enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*way, n))


JSON_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=30),
    st.sampled_from(["\x00", "\ud800", "1e9", "-0", "9" * 400, "\u202e", "2026-13-01T00:00:00Z"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def altered(original: Any, way: tuple[Any, ...], value: Any) -> Any:
    if not way:
        return value
    copy = json.loads(json.dumps(original))
    inner = copy
    for step in way[:-1]:
        inner = inner[step]
    inner[way[-1]] = value
    return copy


PROPOSAL = proposal(
    commit_by="2026-10-06T10:00:00Z",
    secret={"holder": SELLER, "algorithm": "sha256", "encoding": "raw", "hash": "00" * 32},
)


@EXAMPLES
@given(way=st.sampled_from(list(places(PROPOSAL))), value=JSON_VALUES, many=st.booleans())
def test_a_proposal_with_anything_in_any_place_gets_an_answer(
    server: Server, way: tuple[Any, ...], value: Any, many: bool
) -> None:
    body = altered(PROPOSAL, way, value)
    sent = json.dumps([body] if many else body).encode()
    answer = server.ask("POST", "/v1/settlements", sent, {"Content-Type": exchange.JSON})
    assert answer.status in (202, 400, 403, 409, 422)


@EXAMPLES
@given(way=st.sampled_from(list(places(samples.MESSAGE_JSON))), value=JSON_VALUES)
def test_a_message_with_anything_in_any_place_gets_an_answer(
    server: Server, way: tuple[Any, ...], value: Any
) -> None:
    body = json.dumps(altered(samples.MESSAGE_JSON, way, value)).encode()
    server.ask("POST", "/v1/messages", body, {"Content-Type": exchange.ISO_JSON_FORM})


XML = samples.MESSAGE_XML.encode()


@EXAMPLES
@given(at=st.integers(0, len(XML)), length=st.integers(0, 30), put=st.binary(max_size=10))
def test_a_message_with_a_damage_anywhere_gets_an_answer(
    server: Server, at: int, length: int, put: bytes
) -> None:
    body = XML[:at] + put + XML[at + length :]
    answer = server.ask("POST", "/v1/messages", body, {"Content-Type": exchange.XML})
    assert answer.media == "application/xml"


URL = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=40)


@EXAMPLES
@given(path=st.sampled_from(PATHS), query=URL, tail=URL)
def test_any_address_gets_an_answer(server: Server, path: str, query: str, tail: str) -> None:
    server.ask("GET", f"{path}?{query}".replace("#", "%23"), None, {})
    server.ask("GET", f"/v1/settlements/{tail}".replace("#", "%23"), None, {})


# The parser refuses control characters itself, before there is a request.
HEADER = st.text(
    alphabet=st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"),
    max_size=60,
)


@EXAMPLES
@given(
    name=st.sampled_from(
        ["Authorization", "Content-Type", "Accept", "Idempotency-Key", "Content-Encoding", "Expect"]
    ),
    value=HEADER,
    path=st.sampled_from(PATHS),
    method=st.sampled_from(["GET", "POST"]),
)
def test_any_header_gets_an_answer(
    server: Server, name: str, value: str, path: str, method: str
) -> None:
    body = b"{}" if method == "POST" else None
    answer = server.ask(method, path, body, {name: value.strip()})
    assert answer.status >= 400 or method == "GET" or path.endswith("/accept")


def test_the_slowest_bodies_are_answered_within_the_time(server: Server) -> None:
    """What is built to be slow: depth, many members, many items, long digits."""
    hostile = [
        b"[" * 199_000,
        b"[" + b"1," * 99_000 + b"1]",
        b'{"legs":[' + b"{}," * 60_000 + b"{}]}",
        b'{"id":"' + b"9" * 199_000 + b'"}',
        json.dumps([proposal()] * BATCH_MAX * 4).encode(),
        altered_quantity(b"9" * 190_000),
        b"<a>" * 60_000,
        b"<a " + b" ".join(b'b%d=""' % n for n in range(15_000)) + b"/>",
    ]
    for body in hostile:
        for media in (exchange.JSON, exchange.XML, exchange.ISO_JSON_FORM):
            for path in ("/v1/settlements", "/v1/messages"):
                started = time.process_time()
                server.ask("POST", path, body, {"Content-Type": media})
                assert time.process_time() - started < WORK_SECONDS


def altered_quantity(digits: bytes) -> bytes:
    return json.dumps(proposal()).encode().replace(b"1000000", digits)
