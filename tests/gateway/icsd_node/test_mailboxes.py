"""What a registry's members are told by: statements, streams, webhooks."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway import webhooks
from gateway.client import GatewayClient, ProblemError, opened_delivery
from gateway.engine import MIGRATIONS
from gateway.http.wire import Delivery
from gateway.sql import open_pool
from htlc.units import SECOND
from ledgers.icsd.light import check_issue, prove_issue
from ledgers.migrate import migrate
from protocols.iso20022 import render
from protocols.iso20022.envelope import Enveloped
from tests import postgres
from tests.gateway.icsd_node.desk import (
    ABROAD,
    FIRST,
    ISIN,
    KZ,
    SECOND_ACCOUNT,
    SECRET,
    Desk,
    delivery,
    lock,
    movement,
    text,
)
from tests.ledgers.icsd.registries import Registry
from tests.ledgers.worlds import ManualClock


def texts(item: Enveloped, path: str) -> list[str]:
    found = item.document.iterfind(".//" + "/".join(f"{{*}}{part}" for part in path.split("/")))
    return [each.text or "" for each in found]


async def test_statements_tell_what_is_proved_and_whose_message_it_was(nodes: Desk) -> None:
    await nodes.send(render.batch([movement("M1"), delivery("M2"), lock("L1")]))
    await nodes.told(3)
    made = (await nodes.client().state({})).statements
    assert [(each.account, each.kind) for each in made] == [
        (account, kind) for account in (FIRST, SECOND_ACCOUNT) for kind in ("holdings", "movements")
    ]
    first, moved, second, received = (await nodes.told(7))[3:]
    assert (first.definition, moved.definition) == ("semt.002.001.11", "semt.017.001.12")
    quantities = [texts(each, "AggtBal/Qty/Qty/Qty/FaceAmt") for each in (first, second)]
    assert quantities == [["800"], ["100"]]
    assert texts(first, "NotAvlblBal/Qty/FaceAmt") == ["100"], "what is locked"
    assert texts(moved, "AcctOwnrTxId")[-2:] == ["tx-M1", "tx-M2"]
    assert texts(received, "AcctOwnrTxId") == ["tx-M1"]
    confirmed = (await nodes.told(7))[:3]
    named = [text(confirmed[0], "MktInfrstrctrTxId"), text(confirmed[1], "AcctSvcrTxId")]
    assert texts(moved, "AcctSvcrTxId")[-2:] == named, "a confirmation names the posting"
    view = nodes.ledger.node.replica.view
    proof = prove_issue(view, ISIN)
    assert proof is not None
    issuance = check_issue(proof, ISIN, view.state.root)
    (held,) = [part.held for part in issuance.parts if part.registry == "KZ"]
    assert held == sum(int(text) for found in quantities for text in found) * 100
    with pytest.raises(ProblemError, match="account"):
        await nodes.client().state({"account": ABROAD})
    with pytest.raises(ProblemError, match="kind"):
        await nodes.client().state({"kind": "cash"})


async def test_daily_statements_come_when_the_day_is_over_by_ledger_time(
    nodes: Desk, clock: ManualClock
) -> None:
    daily = nodes.front.statements
    await daily.close_days()  # days begin to count
    await nodes.send(movement("M1"))
    for _ in range(3):
        clock.advance(15 * SECOND)
        await nodes.ledger.describe()  # makes a block, by which its time goes on
    await daily.close_days()
    await daily.close_days()
    # The answer to M1 comes when its block is final: before the statements, or among them.
    assert sorted(text(each, "Frqcy/Cd") or "" for each in await nodes.told(5)) == [
        "",
        *4 * ["DAIL"],
    ]
    again = (await nodes.client().state({"date": "2023-11-14", "kind": "holdings"})).statements
    assert [each.account for each in again] == [FIRST, SECOND_ACCOUNT]


async def test_a_stream_goes_on_where_it_was_left(nodes: Desk) -> None:
    client = nodes.client()
    await nodes.send(render.batch([movement("M1"), delivery("M2")]))
    first = await _followed(client, None, 2)
    assert [each.related for each in first] == ["M1", "M2"]
    listening = asyncio.create_task(_followed(client, first[0].cursor, 2))
    await asyncio.sleep(0.05)
    await nodes.send(movement("M3"))
    assert [each.related for each in await listening] == ["M2", "M3"]


async def _followed(client: GatewayClient, after: str | None, count: int) -> list[Delivery]:
    found: list[Delivery] = []
    async with asyncio.timeout(60):
        async for each in client.follow(after):
            found.append(each)
            if len(found) == count:
                break
    return found


async def test_a_webhook_is_given_the_answers(nodes: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "LOOK_SECONDS", 0.02)
    taken: asyncio.Queue[Delivery] = asyncio.Queue()

    async def post(request: web.Request) -> web.Response:
        taken.put_nowait(opened_delivery(SECRET, dict(request.headers), await request.read()))
        return web.Response(status=204)

    receiver = web.Application()
    receiver.router.add_post("/", post)
    async with TestServer(receiver) as server:
        await nodes.client().set_webhook(str(server.make_url("/")), SECRET)
        await nodes.send(movement("M1"))
        async with asyncio.timeout(60):
            delivered = await taken.get()
        (told,) = (await nodes.page())["messages"]
        assert (delivered.id, delivered.xml) == (told["id"], told["xml"])
        assert (await nodes.client().remove_webhook()).state == "active"


async def test_mailboxes_have_the_tables_of_a_gateway(
    four: list[Registry], postgres_server: str
) -> None:
    dsn = await postgres.empty_database(postgres_server)
    async with open_pool(dsn, "g") as pool:
        async with pool.acquire() as connection:
            await migrate(connection, MIGRATIONS)  # type: ignore[arg-type]
        of_gateway = await pool.fetch(COLUMNS)
    async with open_pool(four[KZ].dsn, "n") as pool:
        assert await pool.fetch(COLUMNS) == of_gateway


COLUMNS = """
    SELECT table_name::text, column_name::text, data_type::text, is_nullable::text,
           column_default::text
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name IN
        ('mailbox', 'mailbox_head', 'webhook', 'statement', 'statement_page', 'statement_day')
    ORDER BY 1, 2
"""
