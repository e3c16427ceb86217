"""What holds for the whole interface: who may ask, problems, methods, its own description."""

import asyncio
import json
import time
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request

from gateway.config import ConfigurationError, MemberSettings
from gateway.http import openapi
from gateway.http.auth import Authenticator
from gateway.http.problems import URN, Kind
from gateway.http.route import Route
from gateway.http.routes import ROUTES
from tests.described import described, require_whole
from tests.gateway.http import conftest
from tests.gateway.http.client import DOCUMENT, Client
from tests.gateway.http.conftest import BODY_BYTES_MAX, ID, Served, proposal, serve, sha256
from tests.gateway.http.fake import BUYER, SELLER, FakeGateway

PATHS = [(route.method, route.path.replace("{id}", ID)) for route in ROUTES]
EVERY = pytest.mark.parametrize(("method", "path"), PATHS)


# ---------------------------------------------------------------------- who asks


@EVERY
async def test_nobody_unknown_is_served(served: Served, method: str, path: str) -> None:
    answer = await served.nobody.ask(method, path)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="lockstep"'
    assert answer.json["type"] == "urn:lockstep:problem:not-authenticated"


@pytest.mark.parametrize(
    "shown",
    [
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {SELLER}",
        f"Basic {SELLER.lower()}",
        SELLER.lower(),
        f"Bearer {SELLER.lower()} {BUYER.lower()}",
        f"Bearer {sha256(SELLER.lower())}",
        "Bearer \u00e9",
        "Bearer " + "x" * 5000,
    ],
)
async def test_a_wrong_token_is_called_invalid(served: Served, shown: str) -> None:
    answer = await served.nobody.ask("GET", "/v1/ledgers", Authorization=shown)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].endswith('error="invalid_token"')


async def test_the_scheme_is_read_in_any_case(served: Served) -> None:
    for shown in (f"bearer {SELLER.lower()}", f"BEARER   {SELLER.lower()} "):
        answer = await served.nobody.ask("GET", "/v1/ledgers", Authorization=shown)
        assert answer.status == 200


async def test_an_unknown_caller_is_refused_before_its_body_is_read(served: Served) -> None:
    body = b" " * (BODY_BYTES_MAX * 2)
    answer = await served.nobody.ask("POST", "/v1/settlements", body, media="application/json")
    assert answer.status == 401


def test_tokens_are_kept_as_digests_only() -> None:
    known = Authenticator([MemberSettings(bic=SELLER, name="S", token_sha256=sha256("secret"))])
    assert "secret" not in repr(vars(known))


@pytest.mark.parametrize(("token", "who"), [("old", SELLER), ("new", SELLER), ("other", None)])
def test_while_a_token_is_changed_both_are_good(token: str, who: str | None) -> None:
    member = MemberSettings(
        bic=SELLER, name="S", token_sha256=sha256("old"), next_token_sha256=sha256("new")
    )
    request = make_mocked_request("GET", "/", headers={"Authorization": f"Bearer {token}"})
    principal = Authenticator([member]).principal(request)
    assert (principal and principal.name) == who


@pytest.mark.parametrize(
    ("digests", "why"),
    [(["secret"], "64 lower-case hex"), ([sha256("a"), sha256("a")], "has the same")],
)
def test_a_digest_that_is_none_or_not_unique_stops_the_start(digests: list[str], why: str) -> None:
    members = [
        MemberSettings(bic=f"MEMB{n}", name="", token_sha256=digest)
        for n, digest in enumerate(digests)
    ]
    with pytest.raises(ConfigurationError, match=why):
        Authenticator(members)


@EVERY
async def test_each_route_is_for_its_roles(served: Served, method: str, path: str) -> None:
    (route,) = [r for r in ROUTES if (r.method, r.path.replace("{id}", ID)) == (method, path)]
    if path.endswith("/stream"):
        assert route.roles == {"member"}
        return
    answer = await served.operator.ask(method, path)
    assert (answer.status == 403) == ("gateway" not in route.roles)


# ---------------------------------------------------------------------- methods and paths


@EVERY
async def test_a_method_that_is_not_served_is_a_problem(
    served: Served, method: str, path: str
) -> None:
    served_here = {route.method for route in ROUTES if route.path.replace("{id}", ID) == path}
    for other in sorted({"PUT", "DELETE", "PATCH"} - served_here):
        answer = await served.seller.ask(other, path)
        assert answer.status == 405
        assert method in answer.headers["Allow"].split(", ")
        assert answer.json["type"] == "urn:lockstep:problem:method-not-allowed"


@EVERY
async def test_options_tells_the_methods(served: Served, method: str, path: str) -> None:
    answer = await served.nobody.ask("OPTIONS", path)
    assert (answer.status, answer.body) == (204, b"")
    assert {method, "OPTIONS"} <= set(answer.headers["Allow"].split(", "))


async def test_head_is_get_without_a_body(served: Served) -> None:
    await served.seller.ask("POST", "/v1/settlements", proposal())
    for path in ("/v1/messages", "/v1/settlements", f"/v1/settlements/{ID}", "/v1/ledgers"):
        whole = await caller(served, path).ask("GET", path)
        head = await caller(served, path).ask("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Length"] == whole.headers["Content-Length"]
    assert (await served.seller.ask("HEAD", "/v1/messages/stream")).status == 405


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v1/", "/v2/messages", "/v1/messages/", "/v1/webhooks", "/v1/messages/x", "/%00"],
)
async def test_what_is_not_there_is_a_problem(served: Served, path: str) -> None:
    answer = await served.seller.ask("GET", path)
    assert (answer.status, answer.media) == (404, "application/problem+json")
    assert answer.json["type"] == "urn:lockstep:problem:not-found"


@EVERY
async def test_every_answer_forbids_caching_and_hides_the_server(
    served: Served, method: str, path: str
) -> None:
    answer = await served.nobody.ask(method, path)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Server"] == "lockstep"


async def test_an_answer_in_one_piece_is_the_librarys_own(served: Served) -> None:
    """One more request may follow, or none: the same head but for what says so."""

    async def answer(version: str, more: str) -> tuple[str, dict[str, str], bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(served.base).port)
        token = f"Authorization: Bearer {SELLER.lower()}"
        asked = f"POST /v1/settlements HTTP/{version}\r\nHost: x\r\n{token}\r\n{more}"
        body = json.dumps(proposal()).encode()
        media = "Prefer: return=minimal\r\nContent-Type: application/json"
        writer.write(f"{asked}{media}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        said = await reader.readexactly(int(headers["Content-Length"]))
        writer.close()
        assert parsedate_to_datetime(headers.pop("Date")).timestamp() == pytest.approx(
            time.time(), abs=60
        )
        return first.removeprefix(f"HTTP/{version} "), headers, said

    status, headers, body = await answer("1.1", "")
    assert (status, "Connection" in headers) == ("202 Accepted", False)
    assert headers["Location"] == f"/v1/settlements/{ID}"
    last = await answer("1.1", "Connection: close\r\n")
    assert last == (status, headers | {"Connection": "close"}, body)
    assert await answer("1.0", "") == (status, headers, body)


# ---------------------------------------------------------------------- bodies


POSTS = [path for method, path in PATHS if method == "POST"]
RESOLVE = f"/v1/settlements/{ID}/resolve"


def caller(served: Served, path: str) -> Client:
    """Who may call it: a member, or an operator where no member may."""
    routes = [r for r in ROUTES if path in (r.path, r.path.replace("{id}", ID))]
    return served.seller if any("member" in r.roles for r in routes) else served.operator


@pytest.mark.parametrize("path", POSTS)
async def test_a_body_too_large_is_413(served: Served, path: str) -> None:
    body = b" " * (BODY_BYTES_MAX + 1)
    declared = await caller(served, path).ask("POST", path, body, media="application/xml")
    assert declared.status in ((413,) if path == "/v1/messages" else (413, 415))
    answer = await caller(served, path).ask("POST", path, body, media="application/json")
    if path != "/v1/messages":
        assert (answer.status, answer.json["code"]) == (413, "XSIZ")


async def test_a_body_of_unknown_length_is_bounded_as_well(served: Served) -> None:
    async def chunks() -> object:
        for _ in range(100):
            yield b" " * 10_000

    async with served.session.post(
        f"{served.base}/v1/settlements",
        data=chunks(),
        headers={
            "Authorization": f"Bearer {SELLER.lower()}",
            "Content-Type": "application/json",
        },
    ) as response:
        assert response.status == 413


@pytest.mark.parametrize(("length", "status"), [(4, b"202"), (5, b"413")])
async def test_a_small_body_of_unknown_length_is_bounded_too(
    monkeypatch: pytest.MonkeyPatch, length: int, status: bytes
) -> None:
    monkeypatch.setattr(conftest, "BODY_BYTES_MAX", 4)
    runner, base = await serve(FakeGateway(), [])
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(base).port)
    writer.write(
        b"POST /v1/settlements HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer %b\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
        % (SELLER.lower().encode(), length, b"[{}] "[:length])
    )
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await runner.cleanup()
    assert head[9:12] == status


@pytest.mark.parametrize("path", [path for path in POSTS if path != "/v1/messages"])
@pytest.mark.parametrize(
    "media", ["", "text/plain", "application/xml", "application/json; charset=utf-16"]
)
async def test_only_json_is_taken_where_json_is_described(
    served: Served, path: str, media: str
) -> None:
    answer = await caller(served, path).ask("POST", path, b"{}", media=media)
    assert (answer.status, answer.json["type"]) == (415, URN + "unsupported-media-type")


@pytest.mark.parametrize("path", POSTS)
async def test_what_has_a_body_has_no_parameters(served: Served, path: str) -> None:
    media = "application/xml" if path == "/v1/messages" else "application/json"
    answer = await caller(served, path).ask("POST", f"{path}?to=x", b"{}", media=media)
    assert (answer.status, answer.json["field"]) == (422, "to")


# ---------------------------------------------------------------------- errors of ours


@EVERY
async def test_an_error_of_ours_is_logged_once_and_hides_our_inside(
    served: Served, method: str, path: str
) -> None:
    served.fake.broken = RuntimeError("password=hunter2")
    body = (
        {
            "/v1/webhooks": {"url": "https://x.example/", "secret": "s" * 24},
            "/v1/settlements": proposal(),
            "/v1/messages/ack": {"through": "m0000000000000001"},
            f"/v1/settlements/{ID}/cancel": {"reason": "x"},
            f"/v1/settlements/{ID}/release": {"leg": "CASH", "preimage": "11" * 32},
            RESOLVE: {"decision": "COMMIT", "evidence": "x"},
            "/v1/statements": {},
        }.get(path)
        if method in ("POST", "PUT")
        else None
    )
    if path in ("/v1/ledgers", "/v1/messages/stream") or (method, path) == PATHS[0]:
        return  # asks nothing that is broken; ends its stream; is asked in the next test
    answer = await caller(served, path).ask(method, path, body)
    assert answer.status == 500
    assert "hunter2" not in answer.text
    assert len(served.said) == 1
    assert "hunter2" in served.said[0]
    assert answer.json["instance"] in served.said[0]


async def test_after_an_error_of_ours_the_connection_serves_on(served: Served) -> None:
    served.fake.broken = RuntimeError("once")
    assert (await served.seller.ask("GET", "/v1/messages")).status == 500
    served.fake.broken = None
    assert (await served.seller.ask("GET", "/v1/messages")).status == 200


async def test_a_client_that_leaves_in_the_middle_is_no_error_of_ours(served: Served) -> None:
    port = int(served.base.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /v1/settlements HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer " + SELLER.lower().encode() + b"\r\nContent-Length: 100\r\n\r\n{"
    )
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.05)
    assert (await served.seller.ask("GET", "/v1/ledgers")).status == 200
    assert served.said == []


@pytest.mark.parametrize(
    "target", [b"OPTIONS *", b"CONNECT nowhere:80", b"GET /a%0ab", b"GET http://x/nothing"]
)
async def test_what_is_no_path_of_ours_is_not_found_in_our_words(
    served: Served, target: bytes
) -> None:
    """No route matches some of these: the library would answer by itself, as plain text."""
    port = int(served.base.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert head.startswith(b"HTTP/1.1 404 ")
    assert b"\r\nContent-Type: application/problem+json\r\n" in head
    assert b"\r\nServer: lockstep\r\n" in head


# ---------------------------------------------------------------------- Idempotency-Key


async def test_the_same_key_and_body_get_the_same_answer(served: Served) -> None:
    key = {"Idempotency_Key": "k1"}
    first = await served.seller.ask("POST", "/v1/settlements", proposal(), **key)
    await served.buyer.ask("POST", "/v1/settlements", proposal())
    again = await served.seller.ask("POST", "/v1/settlements", proposal(), **key)
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["Location"] == first.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert served.fake.takes == 2


async def test_another_body_or_path_under_a_key_is_a_conflict_and_does_nothing(
    served: Served,
) -> None:
    await served.seller.ask("POST", "/v1/settlements", proposal(), Idempotency_Key='"k1"')
    other = proposal("0192f3c4-5d6e-7f80-9a1b-2c3d4e5f6099")
    for path, body in (
        ("/v1/settlements", other),
        (f"/v1/settlements/{ID}/accept", proposal()),
    ):
        answer = await served.seller.ask("POST", path, body, Idempotency_Key="k1")
        assert (answer.status, answer.json["code"]) == (409, "XDUP")
    assert list(served.fake.settlements) == [ID]


async def test_a_key_belongs_to_one_member(served: Served) -> None:
    await served.seller.ask("POST", "/v1/settlements", proposal(), Idempotency_Key="k1")
    answer = await served.buyer.ask("POST", "/v1/settlements", [proposal()], Idempotency_Key="k1")
    assert answer.status == 202


async def test_an_answer_to_come_back_is_not_kept(served: Served) -> None:
    served.fake.busy = True
    key = {"Idempotency_Key": "k1"}
    assert (await served.seller.ask("POST", "/v1/settlements", proposal(), **key)).status == 503
    served.fake.busy = False
    assert (await served.seller.ask("POST", "/v1/settlements", proposal(), **key)).status == 202


async def test_a_reservation_left_by_a_crash_lets_the_request_be_carried_out(
    served: Served,
) -> None:
    key = {"Idempotency_Key": "k1"}
    await served.seller.ask("POST", "/v1/settlements", proposal(), **key)
    digest, _, _ = served.fake.kept[SELLER, "k1"]
    served.fake.kept[SELLER, "k1"] = (digest, 0, "")
    assert (await served.seller.ask("POST", "/v1/settlements", proposal(), **key)).status == 202
    assert served.fake.kept[SELLER, "k1"][1] == 202


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, '"'])
async def test_a_key_has_its_form(served: Served, key: str) -> None:
    answer = await served.seller.ask("POST", "/v1/settlements", proposal(), Idempotency_Key=key)
    assert (answer.status, answer.json["field"]) == (422, "Idempotency-Key")
    assert served.fake.settlements == {}


# ---------------------------------------------------------------------- the description


def test_the_description_is_valid_and_whole() -> None:
    require_whole(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1")


async def test_the_description_is_served_to_everybody(served: Served) -> None:
    answer = await served.nobody.ask("GET", openapi.PATH)
    assert (answer.status, answer.json) == (200, DOCUMENT)


def test_every_route_is_described() -> None:
    assert described(DOCUMENT) == {(route.method, route.path) for route in ROUTES}


@pytest.mark.parametrize("route", ROUTES, ids=[route.name for route in ROUTES])
async def test_the_example_of_each_request_is_taken(served: Served, route: Route) -> None:
    """What the description shows can be sent as it stands."""
    await served.buyer.ask("POST", "/v1/settlements", proposal())
    if route.name == "resolveSettlement":
        await served.seller.ask("POST", "/v1/settlements", proposal())
    if route.name == "acknowledgeMessages":
        for _ in range(42):
            served.fake.put(SELLER, {})
    operation = DOCUMENT["paths"][route.path][route.method.lower()]
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        example = content["example"]
        body = example.encode() if isinstance(example, str) else json.dumps(example).encode()
        if route.name == "proposeSettlements":
            body = body.replace(ID.encode(), f"{ID[:-1]}9".encode())
        path = route.path.replace("{id}", ID)
        who = caller(served, route.path)
        answer = await who.ask(route.method, path, body, media=media)
        assert answer.status in (200, 202), answer.text


def test_every_kind_of_problem_has_its_own_urn() -> None:
    assert len({kind.value for kind in Kind}) == len(Kind)


async def test_a_client_of_the_tests_notices_an_answer_that_is_not_described(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check that every other test here leans on can fail."""
    operation = DOCUMENT["paths"]["/v1/ledgers"]["get"]
    monkeypatch.delitem(operation["responses"], "200")
    with pytest.raises(AssertionError, match="not described"):
        await served.seller.ask("GET", "/v1/ledgers")
    assert isinstance(served.session, aiohttp.ClientSession)
    assert isinstance(served.seller, Client)


# ---------------------------------------------------------------------- a store that is away


@pytest.mark.parametrize("error", [ConnectionRefusedError("no server"), TimeoutError("slow")])
async def test_who_asks_while_the_store_is_away_is_told_to_come_back(error: Exception) -> None:
    fake, said = FakeGateway(), list[str]()
    fake.broken = error
    runner, base = await serve(fake, said, away=(OSError,))
    async with aiohttp.ClientSession() as session:
        answer = await Client(session, base, SELLER.lower()).ask("GET", f"/v1/settlements/{ID}")
    await runner.cleanup()
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json["type"] == "urn:lockstep:problem:busy"
    assert str(error) not in answer.text
    assert len(said) == 1
    assert repr(error) in said[0]
