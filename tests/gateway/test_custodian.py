"""The example of a custodian's system, against a whole gateway: started, stopped, started again."""

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from click.testing import CliRunner

from gateway.client import ForgedDeliveryError, Received, opened_delivery
from gateway.config import WebhookSettings
from gateway.demo import custodian
from gateway.demo.custodian import Book
from gateway.statuses import Told
from protocols.iso20022.instruction import Movement
from tests.gateway.served import served
from tests.gateway.systems import BUYER, SELLER, system, until
from tests.gateway.test_connections import written
from tests.gateway.test_instructions import instruction
from tests.gateway.test_webhooks import SECRET

HERE = WebhookSettings(allow_networks=("127.0.0.0/8",), allow_http=True)


@contextlib.asynccontextmanager
async def receiving(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def test_two_custodians_settle_one_by_stream_and_one_by_webhook(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    deliver, receive = instruction(Movement.DELI), instruction(Movement.RECE)
    heard: list[Told] = []
    async with contextlib.AsyncExitStack() as stack:
        made = await stack.enter_async_context(system(dsns, tmp_path))
        running = await stack.enter_async_context(made.gateway(webhooks=HERE))
        client = await stack.enter_async_context(served(running))
        book = Book(tmp_path / "buyer.json")
        app = custodian.receiver(book, SECRET, lambda told: None)
        url = await stack.enter_async_context(receiving(app))
        await client(BUYER).set_webhook(url, SECRET)

        seller = client(SELLER)
        (outcome,) = await custodian.instruct(seller, written(deliver, "S1").encode())
        assert isinstance(outcome, Received)
        assert await custodian.instruct(seller, written(deliver, "S1").encode()) == (outcome,)
        first = asyncio.create_task(
            custodian.attend(seller, Book(tmp_path / "seller.json"), heard.append)
        )
        await until(lambda: heard)
        first.cancel()  # it dies, and is started again later
        await asyncio.wait({first})
        await custodian.instruct(client(BUYER), written(receive, "B1").encode())
        await until(lambda: _over(Book(tmp_path / "buyer.json"), receive.transaction_id))
        own = Book(tmp_path / "seller.json")
        second = asyncio.create_task(custodian.attend(seller, own, heard.append))
        await until(lambda: _over(own, deliver.transaction_id))
        second.cancel()
        await asyncio.wait({second})
        assert [str(told) for told in heard] == [
            "AckdAccptd Umtchd CMIS",
            "Mtchd",
            "settled 998.75 EUR",
        ]
        await until(lambda: _all_acknowledged(running.engine.pool))


def _over(book: Book, reference: str) -> bool:
    known = book.kept.instructions.get(reference)
    return known is not None and known.over


async def _all_acknowledged(pool: object) -> bool:
    query = "SELECT count(*) FROM mailbox_head WHERE acknowledged < last"
    return bool(await pool.fetchval(query) == 0)  # type: ignore[attr-defined]


async def test_the_command_sends_and_tells_until_all_is_over(
    dsns: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the book is, one for each member
    item = instruction(Movement.DELI, amount="998.755")
    (tmp_path / "one.xml").write_text(written(item, "S1"))
    (tmp_path / "bad.xml").write_text("<no/>")
    async with contextlib.AsyncExitStack() as stack:
        made = await stack.enter_async_context(system(dsns, tmp_path))
        running = await stack.enter_async_context(made.gateway())
        client = await stack.enter_async_context(served(running))
        members = {"members": {SELLER: {"token": f"token-of-{SELLER}", "accounts": {}}}}
        (tmp_path / "members.json").write_text(json.dumps(members | {"operators": {}}))
        words = ["--as", SELLER, "--gateway", client(SELLER)._url]
        words += ["--members", str(tmp_path / "members.json")]
        words += [str(tmp_path / "one.xml"), str(tmp_path / "bad.xml")]
        call = functools.partial(
            CliRunner().invoke, custodian.command, words, standalone_mode=False
        )
        result = await asyncio.wait_for(asyncio.to_thread(call), 100)
    assert result.return_value == 1, result.output
    assert f"{item.transaction_id}: Rjctd DMON" in result.stdout
    assert "XBAH" in result.stderr
    assert Book(tmp_path / f"{SELLER}.book.json").kept.instructions[item.transaction_id].over


def test_what_somebody_else_has_sent_is_no_delivery() -> None:
    with pytest.raises(ForgedDeliveryError, match="webhook-id"):
        opened_delivery(SECRET, {}, b"{}")
