"""The HTTP service: what each reader gets, and that bad input of any kind is told as a problem."""

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledgers.access import authenticate, token_digest
from ledgers.endpoints import OPERATIONS_MAX
from ledgers.parties import Principal, Role
from ledgers.port import LedgerUnreachable, Lock
from ledgers.service import BODY_BYTES_MAX, build_app, document
from ledgers.wire import operation_json
from tests.described import Published
from tests.ledgers.vectors import VECTOR_IDS
from tests.ledgers.worlds import (
    ALICE,
    ALICE_ACCOUNT,
    BOB,
    CENTRAL_BANK,
    GATEWAY,
    LEDGER_OPERATOR,
    PRINCIPALS,
    SUPERVISOR,
    World,
    memory_world,
)

TOKENS = {token_digest(f"token-{one.name}"): one for one in PRINCIPALS}
PUBLISHED = Published(document())
EXECUTE = {"op": "execute", "id": VECTOR_IDS[0], "key": "00" * 32}
ISSUE = {"op": "issue", "id": "x", "account": "a", "asset": "EUR", "quantity": "1"}


class Client:
    """One principal's requests; each answer is a status and JSON."""

    def __init__(self, client: "TestClient[Any, Any]") -> None:
        self._client = client

    async def ask(
        self, method: str, path: str, by: Principal | None = GATEWAY, **options: Any
    ) -> tuple[int, Any]:
        headers = {} if by is None else {"Authorization": f"Bearer token-{by.name}"}
        headers |= options.pop("headers", {})
        async with self._client.request(method, path, headers=headers, **options) as response:
            body = await response.read()
            kind = "application/json" if response.status == 200 else "application/problem+json"
            assert response.content_type == kind, body
            PUBLISHED.check(method, response.url.path, response.status, response.headers, body)
            return response.status, json.loads(body)

    async def get(self, path: str, by: Principal = GATEWAY, **query: Any) -> Any:
        status, content = await self.ask("GET", path, by, params=query)
        assert status == 200, content
        return content

    async def post(self, path: str, content: Any, by: Principal = GATEWAY) -> Any:
        status, answer = await self.ask("POST", path, by, json=content)
        assert status == 200, answer
        return answer

    async def raw(self, data: bytes, path: str = "/v1/operations") -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"}
        return await self.ask("POST", path, data=io.BytesIO(data), headers=headers)


@asynccontextmanager
async def serving(world: World) -> AsyncIterator[Client]:
    async with TestClient(TestServer(build_app(world.hosted, TOKENS))) as client:
        yield Client(client)


async def lock(client: Client, world: World, **changes: Any) -> str:
    terms = world.terms(**changes)
    wanted = json.loads(operation_text(Lock(terms=terms)))
    [answer] = await client.post("/v1/operations", [wanted])
    assert "refusal" not in answer
    return terms.id


def operation_text(operation: Any) -> bytes:
    return msgspec.json.encode(operation_json(operation))


# --- what readers get ----------------------------------------------------------------------------


async def test_an_account_is_seen_by_those_concerned_and_by_nobody_else() -> None:
    async with serving(await memory_world()) as client:
        path = f"/v1/accounts/{ALICE_ACCOUNT}"
        for by in (ALICE, GATEWAY, LEDGER_OPERATOR, SUPERVISOR):
            view = await client.get(path, by)
            assert view["holdings"] == [{"asset": "EUR", "available": "1000000", "locked": "0"}]
            assert view["mandates"][0]["operator"] == GATEWAY.name
        hidden = [await client.ask("GET", path, by) for by in (BOB, CENTRAL_BANK)]
        unknown = await client.ask("GET", "/v1/accounts/nobody", BOB)
        assert hidden == [unknown, unknown] and unknown[0] == 404


async def test_lists_of_accounts_are_paged_and_ones_own() -> None:
    async with serving(await memory_world()) as client:
        everything = await client.get("/v1/accounts", LEDGER_OPERATOR)
        names = [view["account"] for view in everything]
        assert names == ["alice-1", "alice-2", "bob-1", "reserves"]
        second = await client.get("/v1/accounts", SUPERVISOR, after="alice-1", limit=1)
        assert [view["account"] for view in second] == ["alice-2"]
        own = await client.get("/v1/accounts", BOB, owner=ALICE.name)
        assert [view["account"] for view in own] == ["bob-1"]


async def test_blocks_and_totals_are_for_those_who_follow_the_ledger() -> None:
    world = await memory_world()
    async with serving(world) as client:
        await lock(client, world)
        for by in (GATEWAY, LEDGER_OPERATOR, SUPERVISOR):
            blocks = await client.get("/v1/blocks", by)
            assert [block["header"]["height"] for block in blocks] == ["1", "2"]
            [position] = await client.get("/v1/conservation", by)
            assert (position["locked"], position["difference"]) == ("100", "0")
        assert (await client.get("/v1/blocks", after=1, limit=1))[0]["header"]["height"] == "2"
        for path in ("/v1/blocks", "/v1/conservation"):
            assert (await client.ask("GET", path, ALICE))[0] == 403


async def test_an_owner_gets_proofs_of_its_own_postings() -> None:
    world = await memory_world()
    async with serving(world) as client:
        await lock(client, world)
        for by in (ALICE, GATEWAY):
            proof = await client.get("/v1/proofs/2.0", by)
            assert proof["leaf"]["op"] == "lock" and proof["header"]["height"] == "2"
        for posting in ("2.0", "2.1", "9.0", "0.0", "x", "1", "1.-1"):
            assert (await client.ask("GET", f"/v1/proofs/{posting}", BOB))[0] == 404


async def test_facts_are_paged_by_cursor() -> None:
    world = await memory_world()
    async with serving(world) as client:
        for _ in range(3):
            await lock(client, world)
        cursor, seen = "", []
        while (page := await client.get("/v1/facts", after=cursor, limit=2))["facts"]:
            seen += [fact["cursor"] for fact in page["facts"]]
            cursor = page["next"]
        assert seen == ["1.0", "1.1", "2.0", "3.0", "4.0"] and page["next"] == cursor


async def test_administration_over_http() -> None:
    world = await memory_world()
    async with serving(world) as client:
        new = [{"account": "new-1", "owner": BOB.name}]
        assert await client.post("/v1/accounts", new, LEDGER_OPERATOR) == [{"done": True}]
        refused = await client.post("/v1/accounts", new, ALICE)
        assert refused == [{"refusal": "NOT_AUTHORISED"}]
        for verb, blocked in (("block", True), ("unblock", False)):
            path = f"/v1/accounts/new-1/{verb}"
            status, told = await client.ask("POST", path, LEDGER_OPERATOR)
            assert (status, told) == (200, [{"done": True}])
            assert (await client.get("/v1/accounts/new-1", BOB))["blocked"] is blocked
        given = {"account": "new-1", "operator": "gateway", "limit": "5", "until": "9"}
        revoked = {"op": "revoke", "account": "new-1", "operator": "gateway"}
        granted = [{"op": "grant", **given}]
        assert await client.post("/v1/mandates", granted, BOB) == [{"done": True}]
        view = await client.get("/v1/accounts/new-1", BOB)
        assert [{k: m[k] for k in given} for m in view["mandates"]] == [given]
        assert await client.post("/v1/mandates", [revoked], BOB) == [{"done": True}]
        assert (await client.get("/v1/accounts/new-1", BOB))["mandates"] == []
        share = {
            "kind": "security",
            "isin": "US0378331005",
            "name": "Apple Inc.",
            "scale": 0,
            "quantity_type": "Unit",
            "issuer": BOB.name,
            "issuer_account": "new-1",
        }
        franc = {
            "kind": "currency",
            "code": "CHF",
            "scale": 2,
            "central_bank": BOB.name,
            "reserves_account": "new-1",
        }
        done = await client.post("/v1/instruments", [share, franc], LEDGER_OPERATOR)
        assert done == [{"done": True}] * 2
        described = await client.get("/v1/description")
        assert [asset["asset"] for asset in described["assets"]] == ["CHF", "EUR", "US0378331005"]


async def test_a_supervisor_changes_nothing() -> None:
    async with serving(await memory_world()) as client:
        assert (await client.ask("POST", "/v1/operations", SUPERVISOR, json=[]))[0] == 403


# --- who speaks ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer wrong", "Basic token-gateway", "token-gateway"]
)
async def test_without_a_valid_token_nothing_is_served(header: str) -> None:
    async with serving(await memory_world()) as client:
        for path in ("/v1/description", "/v1/nothing"):
            options = {"headers": {"Authorization": header}}
            status, problem = await client.ask("GET", path, None, **options)
            assert status == 401 and problem["status"] == 401


def test_only_the_digest_of_a_token_is_known() -> None:
    who = Principal(name="x", role=Role.OWNER)
    tokens = {token_digest("secret"): who}
    assert "secret" not in str(tokens)
    assert authenticate(tokens, "Bearer secret") == who
    assert authenticate(tokens, f"bearer {'s' * 513}") is None
    assert authenticate(tokens, f"Bearer {token_digest('secret')}") is None


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "field"),
    [
        ({"op": "nothing"}, "[0].op"),
        ({}, "[0].op"),
        ([], "[0]"),
        (EXECUTE | {"id": EXECUTE["id"].upper().replace("0000-4000", "0000-4A00")}, "[0].id"),
        (EXECUTE | {"id": 5}, "[0].id"),
        (EXECUTE | {"key": "AB" * 32}, "[0].key"),
        (EXECUTE | {"key": "0"}, "[0].key"),
        (EXECUTE | {"key": "zz"}, "[0].key"),
        (EXECUTE | {"key": "00 00"}, "[0].key"),
        (EXECUTE | {"key": None}, "[0].key"),
        (EXECUTE | {"more": 1}, "[0].more"),
        (ISSUE | {"quantity": 1}, "[0].quantity"),
        (ISSUE | {"quantity": "-1"}, "[0].quantity"),
        (ISSUE | {"quantity": "+1"}, "[0].quantity"),
        (ISSUE | {"quantity": "01"}, "[0].quantity"),
        (ISSUE | {"quantity": "1_0"}, "[0].quantity"),
        (ISSUE | {"quantity": "1.0"}, "[0].quantity"),
        (ISSUE | {"quantity": "\u0661"}, "[0].quantity"),
        (ISSUE | {"quantity": ""}, "[0].quantity"),
        (ISSUE | {"quantity": str(2**63)}, "[0].quantity"),
        (ISSUE | {"quantity": "9" * 5000}, "[0].quantity"),
        (ISSUE | {"account": "a b"}, "[0].account"),
        (ISSUE | {"account": "a\0"}, "[0].account"),
        (ISSUE | {"account": "a\n"}, "[0].account"),
        (ISSUE | {"account": "é"}, "[0].account"),
        (ISSUE | {"account": ""}, "[0].account"),
        (ISSUE | {"account": "x" * 65}, "[0].account"),
    ],
)
async def test_content_that_breaks_a_rule_is_told_by_its_field(operation: Any, field: str) -> None:
    async with serving(await memory_world()) as client:
        status, problem = await client.raw(json.dumps([operation]).encode())
        assert status == 422 and problem["field"] == field and problem["rule"], problem
        assert problem["type"] == "urn:lockstep:ledger:problem:invalid-content"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[",
        b"nonsense",
        b"\xff\xfe",
        b'["\xff"]',
        b'[{"op":"refund","id":"\\ud800"}]',
        b"[" * 100_000,
    ],
)
async def test_what_is_no_json_is_told(data: bytes) -> None:
    async with serving(await memory_world()) as client:
        status, problem = await client.raw(data)
        assert status in (400, 422) and problem["status"] == status


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("id", "x"),
        ("settlement", f"{VECTOR_IDS[0]}\n"),
        ("leg", "cash"),
        ("leg", ""),
        ("payer", "a b"),
        ("payee", "x" * 65),
        ("asset", "é"),
        ("quantity", "01"),
        ("lock_by", ""),
    ],
)
async def test_terms_that_break_a_rule_are_told_by_their_field(field: str, name: str) -> None:
    world = await memory_world()
    async with serving(world) as client:
        wanted = json.loads(operation_text(Lock(terms=world.terms())))
        wanted["terms"][field] = name
        status, problem = await client.raw(json.dumps([wanted]).encode())
        assert status == 422 and problem["field"] == f"[0].terms.{field}" and problem["rule"]


async def test_a_minimal_answer_leaves_out_the_terms_that_the_asker_knows() -> None:
    world = await memory_world()
    async with serving(world) as client:
        terms = world.terms()
        locks = [Lock(terms=terms), Lock(terms=replace(terms, quantity=2))]
        wanted = [json.loads(operation_text(lock)) for lock in locks]
        execute = {"op": "execute", "id": terms.id, "key": "01" * 32}
        data = json.dumps([*wanted, execute]).encode()
        headers = {"Content-Type": "application/json", "Prefer": 'wait=10, return="minimal"'}
        _, (made, other, ended) = await client.ask(
            "POST", "/v1/operations", data=io.BytesIO(data), headers=headers
        )
        assert made["htlc"]["status"] == "LOCKED" and "terms" not in made["htlc"]
        assert other["refusal"] == "CONFLICT" and other["htlc"]["terms"] == wanted[0]["terms"]
        assert ended["htlc"]["status"] == "EXECUTED" and "terms" not in ended["htlc"]
        (full,) = await client.post("/v1/operations", [execute])
        assert full["htlc"] == ended["htlc"] | {"terms": wanted[0]["terms"]}


async def test_a_key_of_a_wrong_length_is_an_answer_and_no_problem() -> None:
    world = await memory_world()
    async with serving(world) as client:
        id = await lock(client, world)
        executes = [{"op": "execute", "id": id, "key": key} for key in ("", "00", "01" * 33)]
        answers = await client.post("/v1/operations", executes)
        assert [answer["refusal"] for answer in answers] == ["WRONG_KEY"] * 3
        assert all(answer["htlc"]["status"] == "LOCKED" for answer in answers)


@pytest.mark.parametrize(
    ("path", "body", "field", "rule"),
    [
        ("/v1/contracts/query", {"ids": ["x"]}, "ids[0]", "a UUID in lower case"),
        ("/v1/contracts/query", {}, "ids", "is required"),
        ("/v1/mandates", [{"op": "grant"}], "[0].account", "is required"),
        ("/v1/operations", [EXECUTE | {"m": 1}], "[0].m", "is not known here"),
        ("/v1/accounts", [{"account": "a b", "owner": "x"}], "[0].account", "1 to 64 visible"),
    ],
)
async def test_rules_are_told_in_words(path: str, body: Any, field: str, rule: str) -> None:
    async with serving(await memory_world()) as client:
        status, problem = await client.ask("POST", path, json=body)
        assert (status, problem["field"]) == (422, field)
        assert problem["rule"].startswith(rule)


async def test_too_much_is_told() -> None:
    async with serving(await memory_world()) as client:
        many = json.dumps([EXECUTE] * (OPERATIONS_MAX + 1)).encode()
        assert (await client.raw(many))[0] == 413
        assert (await client.raw(b" " * (BODY_BYTES_MAX + 1)))[0] == 413
        ids = json.dumps({"ids": [VECTOR_IDS[0]] * (OPERATIONS_MAX + 1)}).encode()
        assert (await client.raw(ids, "/v1/contracts/query"))[0] == 413
        assert (
            len(await client.post("/v1/operations", [EXECUTE] * OPERATIONS_MAX)) == OPERATIONS_MAX
        )


async def test_other_forms_of_content_are_told() -> None:
    async with serving(await memory_world()) as client:
        for headers in (
            {"Content-Type": "text/plain"},
            {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        ):
            status, _ = await client.ask("POST", "/v1/operations", data=b"[]", headers=headers)
            assert status in (400, 415)


async def test_unknown_paths_methods_and_parameters_are_told() -> None:
    async with serving(await memory_world()) as client:
        assert (await client.ask("GET", "/v1/nothing"))[0] == 404
        assert (await client.ask("DELETE", "/v1/blocks"))[0] == 405
        for path in (
            "/v1/facts?after=x",
            "/v1/facts?after=1.99999999999999999999",
            "/v1/facts?limit=0",
            "/v1/facts?limit=1001",
            "/v1/facts?limt=1",
            "/v1/blocks?after=-1",
            "/v1/blocks?limit=101",
            "/v1/accounts?after=%00",
        ):
            status, problem = await client.ask("GET", path)
            assert status == 422 and problem["field"], path
        status, problem = await client.ask("GET", "/v1/accounts/alice-1/facts?after=1.0&until=x")
        assert status == 422 and problem["field"] == "until"
        for path, rule in (
            ("/v1/cursor", "is required"),
            ("/v1/cursor?before=1&before=2", "given more than once"),
            ("/v1/description?x=1", "no such parameter; there is none here"),
        ):
            status, problem = await client.ask("GET", path)
            assert (status, problem["rule"]) == (422, rule), path


async def test_bad_reference_data_is_told_by_its_field() -> None:
    async with serving(await memory_world()) as client:
        share = {
            "kind": "security",
            "isin": "US0378331006",
            "name": "x",
            "scale": 0,
            "quantity_type": "Unit",
            "issuer": "i",
            "issuer_account": "a",
        }
        status, problem = await client.raw(json.dumps([share]).encode(), "/v1/instruments")
        assert status == 422 and problem["field"] == "[0].isin"


async def test_a_ledger_that_is_away_is_503_and_an_error_of_ours_shows_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await memory_world()
    async with serving(world) as client:

        async def away(*_: Any) -> Any:
            raise LedgerUnreachable("the database is away")

        async def broken(*_: Any) -> Any:
            raise KeyError("a secret detail")

        monkeypatch.setattr(world.hosted, "describe", away)
        assert (await client.ask("GET", "/v1/description"))[0] == 503
        monkeypatch.setattr(world.hosted, "describe", broken)
        status, problem = await client.ask("GET", "/v1/description")
        assert status == 500 and "secret" not in json.dumps(problem)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)
PATHS = (
    "/v1/operations",
    "/v1/contracts/query",
    "/v1/accounts",
    "/v1/mandates",
    "/v1/instruments",
)


async def test_no_content_whatever_is_an_error_of_ours() -> None:
    """Random JSON, valid operations with one member replaced, and random bytes, on every path."""
    world = await memory_world()
    valid = [EXECUTE, ISSUE, json.loads(operation_text(Lock(terms=world.terms())))]
    replaced = st.builds(
        lambda operation, name, value: [operation | {name: value}],
        st.sampled_from(valid),
        st.sampled_from(["op", "id", "key", "terms", "account", "asset", "quantity"]),
        json_values,
    )
    contents = (json_values | replaced).map(lambda value: json.dumps(value).encode())
    samples: list[tuple[str, bytes]] = []

    @settings(max_examples=250, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(PATHS), contents | st.binary(max_size=40))
    def collect(path: str, data: bytes) -> None:
        samples.append((path, data))

    collect()
    async with serving(world) as client:
        for path, data in samples:
            status, _ = await client.raw(data, path)
            assert status in (200, 400, 422), (path, data)
    assert len(samples) >= 250
