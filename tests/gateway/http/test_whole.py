"""The interface over a real gateway on real ledgers: what custodians do, from end to end."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from gateway.http import build_app
from gateway.http.auth import Authenticator
from gateway.http.exchange import XML
from gateway.ids import new_id
from protocols.iso20022 import render
from protocols.iso20022.sese023_write import encode
from tests.gateway.http.client import Client
from tests.gateway.systems import BUYER, ISIN, SELLER, System, account, token, until
from tests.protocols import samples


@pytest.fixture
async def clients(running: System) -> AsyncIterator[tuple[Client, Client]]:
    """Seller and buyer at a served gateway."""
    limits = running.settings.limits
    app = build_app(
        running.desk,
        statements=running.engine.statements,
        reconciliation=running.engine.reconciliation,
        bic=running.settings.bic,
        auth=Authenticator(running.settings.members),
        body_bytes_max=limits.body_bytes_max,
        batch_max=limits.batch_max,
        say=running.said.append,
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as session:
        yield Client(session, base, token(SELLER)), Client(session, base, token(BUYER))
    await runner.cleanup()


def a_dvp(quantity: str) -> dict[str, Any]:
    def party(ledger: str, member: str) -> dict[str, str]:
        return {"member": member, "account": account(ledger, member)}

    return {
        "id": new_id(),
        "legs": [
            {
                "leg": "SECU",
                "ledger": "registry",
                "asset": ISIN,
                "quantity": "100",
                "payer": party("registry", SELLER),
                "payee": party("registry", BUYER),
            },
            {
                "leg": "CASH",
                "ledger": "bank",
                "asset": "EUR",
                "quantity": quantity,
                "payer": party("bank", BUYER),
                "payee": party("bank", SELLER),
            },
        ],
    }


async def test_agreed_swaps_settle_and_both_are_told(
    running: System, clients: tuple[Client, Client]
) -> None:
    seller, buyer = clients
    wanted = [a_dvp("99.50"), a_dvp("99.505"), a_dvp("0.01")]
    answer = await seller.ask("POST", "/v1/settlements", wanted)
    assert [item["status"] for item in answer.json] == [202, 422, 202]

    async def settled() -> bool:
        found = (await buyer.ask("GET", "/v1/settlements")).json["settlements"]
        return [line["state"] for line in found] == ["SETTLED", "SETTLED"]

    await until(settled)
    shown = (await buyer.ask("GET", f"/v1/settlements/{wanted[0]['id']}")).json
    assert [leg["state"] for leg in shown["legs"]] == ["EXECUTED", "EXECUTED"]
    assert all(leg["final"] and leg["ended_at"] for leg in shown["legs"])
    assert shown["legs"][1]["quantity"] == "99.50"
    assert await running.balance("registry", BUYER, ISIN) == (10_000_200, 0)
    path = f"/v1/settlements/{wanted[0]['id']}/messages"
    (only,) = (await buyer.ask("GET", path)).json["messages"]
    assert (only["direction"], only["message"]["state"]) == ("out", "SETTLED")
    for client in clients:
        notices = (await client.ask("GET", "/v1/messages")).json["messages"]
        assert [n["message"]["state"] for n in notices] == ["SETTLED", "SETTLED"]


async def test_a_key_answers_again_and_stands_for_one_request(
    clients: tuple[Client, Client],
) -> None:
    seller, _ = clients
    wanted = a_dvp("10.00")
    first = await seller.ask("POST", "/v1/settlements", wanted, Idempotency_Key="k")
    again = await seller.ask("POST", "/v1/settlements", wanted, Idempotency_Key="k")
    other = await seller.ask("POST", "/v1/settlements", a_dvp("10.00"), Idempotency_Key="k")
    assert (first.status, again.status, other.status) == (202, 202, 409)
    assert len((await seller.ask("GET", "/v1/settlements")).json["settlements"]) == 1


async def test_two_instructions_match_and_settle(
    running: System, clients: tuple[Client, Client]
) -> None:
    seller, buyer = clients
    sides = (samples.delivery(), samples.receipt())
    for client, side, bic in zip(clients, sides, (SELLER, BUYER), strict=True):
        written = encode(msgspec.structs.replace(side, safekeeping_account=None, cash_account=None))
        head = samples.header(sender=bic, receiver=running.settings.bic)
        body = render.business_message(head, written).encode()
        answer = await client.ask("POST", "/v1/messages", body, media=XML)
        assert answer.status == 202, answer.text
        again = await client.ask("POST", "/v1/messages", body, media=XML)
        assert (again.status, again.text) == (202, samples.marked_repeated(answer.text))

    async def told() -> bool:
        boxes = [(await c.ask("GET", "/v1/messages")).json["messages"] for c in (seller, buyer)]
        return all(box and box[-1]["definition"] == "sese.025.001.11" for box in boxes)

    await until(told)
    assert running.said == []
    (line,) = (await seller.ask("GET", "/v1/settlements")).json["settlements"]
    path = f"/v1/settlements/{line['id']}/messages"
    status = "sese.024.001.12"  # of the first side: alone, then matched; of the other: both in one
    told_by = {
        SELLER: [status, status, "camt.054.001.08"],
        BUYER: [status, "pacs.002.001.10", "camt.054.001.08"],
    }
    for client, side in ((seller, sides[0]), (buyer, sides[1])):
        said = (await client.ask("GET", path)).json["messages"]
        assert [(m["direction"], m["definition"]) for m in said] == [
            ("in", "sese.023.001.11"),
            *(("out", definition) for definition in told_by[side.sender]),
            ("out", "sese.025.001.11"),
        ]
        assert all(side.transaction_id in message["xml"] for message in said)
        assert {message["related"] for message in said[1:]} == {said[0]["id"]}
