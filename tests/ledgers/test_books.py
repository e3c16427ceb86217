"""What a ledger tells of its accounts: the same from memory, PostgreSQL and over HTTP."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp.test_utils import TestServer

from htlc.units import SECOND, AccountId, AssetId, Instant, Quantity
from ledgers.block import place
from ledgers.books import Books, Holding, Position
from ledgers.hosted import PAGE_MAX
from ledgers.parties import Principal
from ledgers.port import Cancel, Execute, Issue, Lock, Transfer
from ledgers.remote import RemoteLedger
from ledgers.service import build_app
from tests.ledgers.test_conformance import TOKENS
from tests.ledgers.test_service import Client, serving
from tests.ledgers.worlds import (
    ALICE,
    ALICE_ACCOUNT,
    ALICE_SECOND,
    BOB,
    BOB_ACCOUNT,
    CANCELLATION_KEY,
    CENTRAL_BANK,
    EUR,
    EXECUTION_KEY,
    FUNDS,
    GATEWAY,
    LEDGER_OPERATOR,
    RESERVES,
    START,
    SUPERVISOR,
    World,
    memory_world,
    new_id,
    postgres_world,
)

Opened = Callable[[], AbstractAsyncContextManager[World]]


class _Local:
    """A hosted ledger as `Books`: pages of a small size, so that there are several."""

    def __init__(self, hosted: Any) -> None:
        self._hosted = hosted

    async def holdings(self, account: AccountId | None, after: str = "") -> Any:
        return await self._hosted.holdings(account, after, 2)

    async def movements(self, account: AccountId, after: str, until: str) -> Any:
        return await self._hosted.movements(account, after, until, 2)

    async def conservation(self) -> Any:
        return await self._hosted.conservation()

    async def last_before(self, at: Instant) -> Any:
        return await self._hosted.last_before(at)


@pytest.fixture(params=["memory", "postgres", "remote"])
async def told(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[tuple[World, Books]]:
    async with _world(request.param, dsn) as world:
        if request.param != "remote":
            yield world, _Local(world.hosted)
            return
        async with (
            TestServer(build_app(world.hosted, TOKENS)) as server,
            aiohttp.ClientSession() as session,
        ):
            yield world, RemoteLedger(session, str(server.make_url("/")), GATEWAY.name)


@asynccontextmanager
async def _world(kind: str, dsn: str) -> AsyncIterator[World]:
    if kind == "memory":
        yield await memory_world()
    else:
        async with postgres_world(dsn) as world:
            yield world


async def live(world: World) -> None:
    """Three locks (one executed, one cancelled), a transfer; a second between them."""
    terms = [world.terms(lock_by=Instant(START + 10**6 * SECOND)) for _ in range(3)]
    acts = [
        (GATEWAY, [Lock(terms=each) for each in terms]),
        (GATEWAY, [Execute(id=terms[0].id, key=EXECUTION_KEY)]),
        (GATEWAY, [Cancel(id=terms[1].id, key=CANCELLATION_KEY)]),
        (
            ALICE,
            [
                Transfer(
                    id="own",
                    debit=ALICE_ACCOUNT,
                    credit=ALICE_SECOND,
                    asset=EUR,
                    quantity=Quantity(7),
                )
            ],
        ),
    ]
    for by, operations in acts:
        world.clock.advance(SECOND)
        answers = await world.hosted.submit(by, operations)
        assert not any(answer.refusal for answer in answers)


async def everything(books: Books, account: AccountId | None = None) -> list[Holding]:
    found, after = [], ""
    while True:
        page = await books.holdings(account, after)
        found += page.holdings
        if page.next is None:
            return found
        after = page.next


async def test_holdings_are_paged_and_say_as_of_which_posting(told: tuple[World, Books]) -> None:
    world, books = told
    await live(world)
    free = int(FUNDS) - 100 - 100 - 7
    assert await everything(books) == [
        Holding(account=ALICE_ACCOUNT, asset=EUR, available=free, locked=100),
        Holding(account=ALICE_SECOND, asset=EUR, available=7, locked=0),
        Holding(account=BOB_ACCOUNT, asset=EUR, available=int(FUNDS) + 100, locked=0),
        Holding(account=RESERVES, asset=EUR, available=-2 * int(FUNDS), locked=0),
    ]
    assert await everything(books, ALICE_SECOND) == [
        Holding(account=ALICE_SECOND, asset=EUR, available=7, locked=0)
    ]
    assert (await books.holdings(AccountId(ALICE_ACCOUNT))).as_of == "5.0"
    assert await everything(books, AccountId(RESERVES)) != []
    (position,) = await books.conservation()
    assert position == Position(
        asset=EUR,
        issued=2 * int(FUNDS),
        available=2 * int(FUNDS) - 100,
        locked=100,
        as_of="5.0",
    )


async def test_the_movements_of_an_account_lie_between_two_places(
    told: tuple[World, Books],
) -> None:
    world, books = told
    await live(world)

    async def kinds(account: AccountId, after: str, until: str) -> list[str]:
        found = []
        while page := await books.movements(account, after, until):
            found += [fact.kind for fact in page]
            after = page[-1].cursor
        return found

    whole = ["issue", "lock", "lock", "lock", "execute", "cancel", "transfer"]
    assert await kinds(ALICE_ACCOUNT, "", "9.0") == whole
    assert await kinds(ALICE_ACCOUNT, "2.0", "4.0") == ["lock", "lock", "execute", "cancel"]
    assert await kinds(BOB_ACCOUNT, "", "9.0") == ["issue", "execute"]
    assert await kinds(ALICE_SECOND, "", "9.0") == ["transfer"]
    assert await kinds(ALICE_SECOND, "5.0", "9.0") == []


async def test_the_last_posting_before_an_instant_is_found(told: tuple[World, Books]) -> None:
    world, books = told
    await live(world)
    assert await books.last_before(START) == ""
    assert await books.last_before(Instant(START + 1)) == "1.1"
    for n, last in enumerate(["2.2", "3.0", "4.0", "5.0"], 1):
        assert await books.last_before(Instant(START + n * SECOND + 1)) == last
    assert place(await books.last_before(Instant(START + 10**9 * SECOND))) == (5, 0)


async def test_a_ledger_without_any_posting_has_holdings_as_of_nothing(dsn: str) -> None:
    async with _world("postgres", dsn) as world:
        fresh = await world.hosted.holdings(AccountId("nobody"), "", PAGE_MAX)
        assert fresh.as_of == "1.1" and fresh.holdings == () and fresh.next is None


async def _refused(client: Client, path: str, by: Principal, **query: str) -> tuple[int, str]:
    status, problem = await client.ask("GET", path, by, params=query)
    return status, problem.get("field", "")


async def test_readers_see_what_is_theirs() -> None:
    async with serving(await memory_world()) as client:
        own = f"/v1/accounts/{ALICE_ACCOUNT}/facts"
        for by in (ALICE, GATEWAY, LEDGER_OPERATOR, SUPERVISOR):
            assert len((await client.get(own, by))["facts"]) == 1
            page = await client.get("/v1/holdings", by, account=ALICE_ACCOUNT)
            assert page["holdings"][0]["available"] == str(FUNDS)
        for by in (BOB, CENTRAL_BANK):
            assert await _refused(client, own, by) == (404, "")
            assert await _refused(client, "/v1/holdings", by, account=ALICE_ACCOUNT) == (404, "")
            assert await _refused(client, "/v1/holdings", by) == (403, "")
        assert len((await client.get("/v1/holdings", SUPERVISOR))["holdings"]) == 3


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/v1/holdings", {"after": "no-asset"}, "after"),
        ("/v1/holdings", {"account": "\u00e9"}, "account"),
        ("/v1/holdings", {"limit": "0"}, "limit"),
        ("/v1/holdings", {"more": "1"}, "more"),
        (f"/v1/accounts/{ALICE_ACCOUNT}/facts", {"after": "x"}, "after"),
        (f"/v1/accounts/{ALICE_ACCOUNT}/facts", {"until": "1.x"}, "until"),
        ("/v1/cursor", {}, "before"),
        ("/v1/cursor", {"before": "yesterday"}, "before"),
    ],
)
async def test_what_is_asked_wrongly_is_told_with_its_field(
    path: str, query: dict[str, str], field: str
) -> None:
    async with serving(await memory_world()) as client:
        assert await _refused(client, path, GATEWAY, **query) == (422, field)


async def test_a_page_holds_at_most_what_it_may(dsn: str) -> None:
    """Two assets on one account are one page after another, none twice."""
    async with _world("memory", dsn) as world:
        more = Issue(id=new_id(), account=ALICE_SECOND, asset=AssetId("EUR"), quantity=Quantity(1))
        await world.hosted.submit(CENTRAL_BANK, [more])
        books = _Local(world.hosted)
        found = await everything(books)
        assert len({msgspec.json.encode(each) for each in found}) == len(found) == 4
