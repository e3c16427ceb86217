"""The remote ledger: what is no answer is Unknown, what is our own error is raised."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from htlc.contract import Answer, Refusal, Unknown
from htlc.units import HtlcId, Instant, LedgerId
from ledgers import remote, views
from ledgers.access import token_digest
from ledgers.hosted import Traits, description
from ledgers.port import Execute, LedgerUnreachable, Lock
from ledgers.remote import RemoteLedger, RemoteLedgerError
from ledgers.service import build_app
from tests.ledgers.vectors import VECTOR_IDS
from tests.ledgers.worlds import EXECUTION_KEY, GATEWAY, memory_world

EXECUTE = Execute(id=HtlcId(VECTOR_IDS[0]), key=EXECUTION_KEY)
TOKENS = {token_digest("good"): GATEWAY}


@asynccontextmanager
async def client(app: web.Application, token: str = "good") -> AsyncIterator[RemoteLedger]:
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        yield RemoteLedger(session, str(server.make_url("/")), token)


def answering(answer: Callable[[], Awaitable[web.StreamResponse]]) -> web.Application:
    """An application that answers everything the same."""

    async def serve(_: web.Request) -> web.StreamResponse:
        return await answer()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", serve)
    return app


def saying(status: int, text: str) -> web.Application:
    async def answer() -> web.StreamResponse:
        return web.Response(status=status, text=text)

    return answering(answer)


async def no_answer(ledger: RemoteLedger) -> list[str]:
    """Every question is told as unanswered; gives the reasons."""
    answers = await ledger.apply([EXECUTE, EXECUTE]), await ledger.look([EXECUTE.id])
    assert [len(each) for each in answers] == [2, 1]
    assert all(isinstance(one, Unknown) for each in answers for one in each)
    with pytest.raises(LedgerUnreachable):
        await ledger.describe()
    with pytest.raises(LedgerUnreachable):
        await anext(aiter(ledger.facts()))
    return [one.why for each in answers for one in each if isinstance(one, Unknown)]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_server_that_cannot_is_unknown(status: int) -> None:
    async with client(saying(status, "<html>gateway error</html>")) as ledger:
        assert f"status {status}" in (await no_answer(ledger))[0]


async def test_a_page_of_a_proxy_is_unknown() -> None:
    async with client(saying(200, "<html>welcome</html>")) as ledger:
        assert "malformed" in (await no_answer(ledger))[0]


async def test_a_ledger_of_a_later_release_may_say_more_of_itself() -> None:
    described = description(LedgerId("bank"), Traits(), [], Instant(1), bytes(32))
    told = msgspec.to_builtins(views.description_json(described)) | {"more": {"of": "it"}}
    async with client(saying(200, msgspec.json.encode(told).decode())) as ledger:
        assert await ledger.describe() == described


async def test_a_refused_connection_is_unknown() -> None:
    async with aiohttp.ClientSession() as session:
        await no_answer(RemoteLedger(session, "http://127.0.0.1:1", "good"))


async def test_a_connection_cut_in_the_answer_is_unknown() -> None:
    async def half() -> web.StreamResponse:
        response = web.Response(headers={"Content-Length": "1000"}, body=b"[")
        response.force_close()
        return response

    async with client(answering(half)) as ledger:
        await no_answer(ledger)


async def test_a_server_that_hangs_is_unknown_after_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote, "DEADLINE_SECONDS", 0.1)

    async def hang() -> web.StreamResponse:
        await asyncio.sleep(1)
        return web.Response()

    async with client(answering(hang)) as ledger:
        assert "TimeoutError" in (await no_answer(ledger))[0]


async def test_too_few_answers_are_no_answer() -> None:
    async with client(saying(200, "[]")) as ledger:
        told = await ledger.apply([EXECUTE])
        assert told == [Unknown(why="0 answers to 1 questions")]


@pytest.mark.parametrize(
    "text", ['[{"at":"x"}]', '[{"at":1}]', "[{}]", '[{"at":"1","more":1}]', '[{"refusal":"NEW"}]']
)
async def test_json_that_is_not_of_the_contract_is_raised(text: str) -> None:
    async with client(saying(200, text)) as ledger:
        with pytest.raises(RemoteLedgerError, match="not an answer of the contract"):
            await ledger.apply([EXECUTE])


async def test_an_answer_that_does_not_say_final_is_not_final() -> None:
    async with client(saying(200, '[{"at":"1"}]')) as ledger:
        assert await ledger.apply([EXECUTE]) == [Answer(at=1, final=False)]  # type: ignore[arg-type]


async def test_a_wrong_token_is_raised_with_the_text_of_the_problem() -> None:
    world = await memory_world()
    async with client(build_app(world.hosted, TOKENS), "wrong") as ledger:
        for question in (ledger.apply([EXECUTE]), ledger.look([EXECUTE.id]), ledger.describe()):
            with pytest.raises(RemoteLedgerError, match="401: a valid bearer token is needed"):
                await question


async def test_content_that_the_ledger_cannot_read_is_raised_with_its_field() -> None:
    world = await memory_world()
    async with client(build_app(world.hosted, TOKENS)) as ledger:
        with pytest.raises(RemoteLedgerError, match=r"422: \[0\].id"):
            await ledger.apply([Execute(id=HtlcId("not a uuid"), key=EXECUTION_KEY)])


async def test_more_than_one_request_holds_is_sent_in_several() -> None:
    world = await memory_world()
    async with client(build_app(world.hosted, TOKENS)) as ledger:
        locks: list[Any] = [Lock(terms=world.terms(quantity=400)) for _ in range(4_100)]
        told = await ledger.apply(locks)
        refusals = [answer.refusal for answer in told if isinstance(answer, Answer)]
        assert refusals == [None] * 2_500 + [Refusal.INSUFFICIENT_BALANCE] * 1_600
        looked = await ledger.look([lock.terms.id for lock in locks])
        found = [answer.htlc is not None for answer in looked if isinstance(answer, Answer)]
        assert found == [True] * 2_500 + [False] * 1_600


async def test_terms_that_are_left_out_are_those_of_the_lock() -> None:
    """Also where they have to be asked for: by whoever has not made the lock itself."""
    world = await memory_world()
    app = build_app(world.hosted, TOKENS)
    async with (
        TestServer(app) as server,
        aiohttp.ClientSession() as session,
    ):
        url = str(server.make_url("/"))
        ledger, stranger = (RemoteLedger(session, url, "good") for _ in range(2))
        terms = world.terms()
        execute = Execute(id=terms.id, key=EXECUTION_KEY)
        for teller, operation in ((ledger, Lock(terms=terms)), (stranger, execute)):
            for asked in (operation, execute):
                [told] = await teller.apply([asked])
                assert isinstance(told, Answer) and told.htlc is not None
                assert told.htlc.terms == terms


async def test_terms_that_nobody_knows_cannot_be_left_out() -> None:
    text = '[{"at":"1","final":true,"htlc":{"status":"LOCKED","locked_at":"1"}}]'
    async with client(saying(200, text)) as ledger:
        with pytest.raises(RemoteLedgerError, match=r"htlc\.terms"):
            await ledger.apply([EXECUTE])
