"""Webhooks over a real gateway and real receivers: order, retries, restarts, whom it speaks to."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from gateway import addresses, webhook_signature, webhooks
from gateway.client import GatewayClient, ProblemError
from gateway.config import WebhookSettings
from gateway.http import wire
from protocols.iso20022.instruction import Movement
from tests.gateway.served import served
from tests.gateway.systems import BUYER, SELLER, System, system, until
from tests.gateway.test_instructions import both, instruction, send

SECRET = "a secret of 32 characters, shared"
HERE = WebhookSettings(allow_networks=("127.0.0.0/8",), allow_http=True)


class Receiver:
    """A custodian's endpoint: keeps what came, and answers as `answers` say, then 204."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.taken: list[wire.Delivery] = []
        self.attempts: list[tuple[float, str]] = []
        self.faults: list[str | None] = []
        self.hang = False
        self.url = ""

    async def post(self, request: web.Request) -> web.Response:
        body = await request.read()
        delivery = msgspec.json.decode(body, type=wire.Delivery)
        self.attempts.append((time.monotonic(), delivery.cursor))
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.faults.append(webhook_signature.fault(SECRET, headers, body, int(time.time())))
        if self.hang:
            await asyncio.sleep(60)
        status = self.answers.pop(0) if self.answers else 204
        if status < 300:
            self.taken.append(delivery)
        location = {"Location": self.url + "elsewhere"} if status == 307 else {}
        return web.Response(status=status, headers=location)


@contextlib.asynccontextmanager
async def receiving(receiver: Receiver) -> AsyncIterator[Receiver]:
    app = web.Application()
    app.router.add_post("/{where:.*}", receiver.post)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def _one(
    dsns: dict[str, str], home: Path, *answers: int
) -> AsyncIterator[tuple[System, Callable[[str], GatewayClient], Receiver]]:
    """A gateway that may speak to loopback, its clients, and a receiver with these answers."""
    async with contextlib.AsyncExitStack() as stack:
        made = await stack.enter_async_context(system(dsns, home))
        receiver = await stack.enter_async_context(receiving(Receiver(*answers)))
        running = await stack.enter_async_context(made.gateway(webhooks=HERE))
        yield running, await stack.enter_async_context(served(running)), receiver


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(webhooks, "PAUSE_FIRST_SECONDS", 0.05)
    monkeypatch.setattr(webhooks, "PAUSE_MAX_SECONDS", 0.2)


async def test_a_mailbox_is_delivered_in_order_signed_and_acknowledged(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    async with _one(dsns, tmp_path, 500, 503, 204, 400) as (running, client, receiver):
        seller = client(SELLER)
        for side in both():
            await send(running, side)
        view = await seller.set_webhook(receiver.url, SECRET)
        assert (view.state, view.url) == ("active", receiver.url)
        await until(lambda: _confirmed(receiver))
        await until(lambda: _backlog(running, 0))
        page = (await seller.inbox()).messages
        assert tuple(receiver.taken) == page
        assert receiver.faults == [None] * len(receiver.attempts)
        assert len(receiver.attempts) == len(page) + 3
        tried = [cursor for _, cursor in receiver.attempts]
        assert tried == sorted(tried), "no later message before an earlier one is taken"
        first, second, third = (at for at, _ in receiver.attempts[:3])
        assert (second - first >= 0.05) and (third - second >= 0.1), "the pauses grow"
        assert (await seller.webhook()).failures == 0
        stored = await running.engine.pool.fetchval("SELECT secret FROM webhook")
        assert SECRET.encode() not in stored
        hooks = running.engine.webhooks
        assert (hooks.delivered, hooks.failed) == (len(page), 3)
        await seller.remove_webhook()
        await send(running, instruction(Movement.DELI))
        await asyncio.sleep(0.2)
        assert len(receiver.taken) == len(page)
        with pytest.raises(ProblemError) as none:
            await seller.webhook()
        assert none.value.problem.status == 404


def _confirmed(receiver: Receiver) -> bool:
    return any(item.definition.startswith("sese.025") for item in receiver.taken)


async def _backlog(running: System, wanted: int) -> bool:
    query = "SELECT last - acknowledged FROM mailbox_head WHERE member = $1"
    return bool(await running.engine.pool.fetchval(query, SELLER) == wanted)


async def test_a_restart_goes_on_where_it_was_and_a_dead_receiver_holds_nobody_up(
    dsns: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "CLAIM_SECONDS", 0.5)
    dead, alive = Receiver(), Receiver()
    dead.hang = True
    async with system(dsns, tmp_path) as made, receiving(dead), receiving(alive):
        async with made.gateway(webhooks=HERE) as running, served(running) as client:
            await client(BUYER).set_webhook(dead.url, SECRET)
            await client(SELLER).set_webhook(alive.url, SECRET)
            for side in both():
                await send(running, side)
            await until(lambda: _confirmed(alive) and dead.attempts)
            assert not dead.taken
        dead.hang = False
        changes = {"webhooks": HERE, "replica": "another"}
        async with made.gateway(**changes) as running, served(running) as client:
            await send(running, instruction(Movement.DELI))
            for receiver, member in ((dead, BUYER), (alive, SELLER)):
                page = (await client(member).inbox()).messages
                await until(lambda: len(receiver.taken) == len(page))  # noqa: B023
                assert tuple(receiver.taken) == page, "nothing twice"


async def test_two_replicas_deliver_each_message_by_one_of_them(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    async with system(dsns, tmp_path) as made, receiving(Receiver()) as receiver:
        async with made.gateway(webhooks=HERE) as running, served(running) as client:
            await client(SELLER).set_webhook(receiver.url, SECRET)
            first = running.engine
            async with made.gateway(webhooks=HERE, replica="two") as second, served(second):
                assert second.engine is not first
                for n in range(10):
                    await send(second, instruction(Movement.DELI, quantity=str(n + 1)))
                await until(lambda: len(receiver.taken) == 10)
                await asyncio.sleep(0.2)
        assert len(receiver.attempts) == 10
        assert [x.cursor for x in receiver.taken] == sorted(x.cursor for x in receiver.taken)


async def test_a_redirection_is_no_answer_and_410_ends_it(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    async with _one(dsns, tmp_path, 307, 410) as (running, client, receiver):
        seller = client(SELLER)
        await seller.set_webhook(receiver.url, SECRET)
        await send(running, instruction(Movement.DELI))
        await until(lambda: _is_gone(seller.webhook))
        view = await seller.webhook()
        assert (view.failures, view.fault, view.next_at) == (2, "answered 410", None)
        await asyncio.sleep(0.2)
        assert len(receiver.attempts) == 2
        await seller.set_webhook(receiver.url, SECRET)
        await until(lambda: len(receiver.taken) == 1)


async def _is_gone(show: Callable[[], Awaitable[wire.WebhookView]]) -> bool:
    return (await show()).state == "gone"


async def test_a_member_cannot_make_the_gateway_speak_to_its_own_network(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    async with system(dsns, tmp_path) as made, receiving(Receiver()) as receiver:
        port = receiver.url.rpartition(":")[2]
        named = WebhookSettings(allow_http=True)
        async with made.gateway(webhooks=named) as running, served(running) as client:
            seller = client(SELLER)
            for url in (
                receiver.url,
                f"http://[::ffff:127.0.0.1]:{port}",
                "http://169.254.169.254/latest/meta-data",
                "http://10.1.2.3/",
                "http://user:pass@example.com/",
                "ftp://example.com/",
                "/relative",
                "http://example.com:99999/",
                f"http://127.1:{port}",
                f"http://2130706433:{port}",
                "http://example.com\0/",  # PostgreSQL has no such text
                "http://example.com/a b",
            ):
                with pytest.raises(ProblemError) as refused:
                    await seller.set_webhook(url, SECRET)
                assert refused.value.problem.field == "url", url
            with pytest.raises(ProblemError, match="length >= 24"):
                await seller.set_webhook("https://example.com/", "short")
            for secret in ("whsec_" + "*" * 24, "ü" * 24):
                with pytest.raises(ProblemError) as refused:
                    await seller.set_webhook("https://example.com/", secret)
                assert refused.value.problem.field == "secret"
            await seller.set_webhook(f"http://localhost:{port}", SECRET)  # judged when it is asked
            await send(running, instruction(Movement.DELI))
            await until(lambda: _failed(seller.webhook))
            fault = (await seller.webhook()).fault or ""
            assert "127.0.0.1 is not public" in fault or "::1 is not public" in fault
        assert receiver.attempts == []


async def _failed(show: Callable[[], Awaitable[wire.WebhookView]]) -> bool:
    return (await show()).failures > 0


@pytest.mark.parametrize(
    ("address", "spoken_to"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("10.20.0.1", True),
        ("10.21.0.1", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("0.0.0.0", False),
        ("169.254.169.254", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:a9fe:a9fe::1", False),
        ("fe80::1%eth0", False),
        ("fd00:ec2::254", False),
        ("100.100.100.200", False),
        ("192.168.1.1", False),
        ("255.255.255.255", False),
        ("224.0.0.1", False),
    ],
)
def test_public_addresses_and_named_networks_are_spoken_to(address: str, spoken_to: bool) -> None:
    allowed = (addresses.network("10.20.0.0/16"),)
    assert (addresses.fault(address, allowed) is None) is spoken_to


def test_link_local_addresses_are_never_spoken_to_whatever_is_allowed() -> None:
    everything = (addresses.network("0.0.0.0/0"), addresses.network("::/0"))
    assert addresses.fault("169.254.169.254", everything) is not None
    assert addresses.fault("127.0.0.1", everything) is None


def test_a_delivery_is_known_by_its_signature_and_of_now() -> None:
    body = b'{"id":"1"}'
    headers = webhook_signature.headers(SECRET, "msg_1", 1_000, body)

    def fault(now: int = 1_000, **changes: str) -> str | None:
        given = headers | {name.replace("_", "-"): value for name, value in changes.items()}
        return webhook_signature.fault(SECRET, given, body, now)

    assert fault() is None
    assert fault(1_300) is None
    assert "played again" in (fault(1_301) or "")
    assert "played again" in (fault(699) or "")
    both = f"v1,AAAA {headers[webhook_signature.SIGNATURE]}"
    assert fault(webhook_signature=both) is None
    assert "not that of this secret" in (fault(webhook_id="msg_2") or "")
    assert "not that of this secret" in (fault(webhook_timestamp="1001") or "")
    assert "not that of this secret" in (fault(webhook_signature="v1,é") or "")
    assert "missing" in (fault(webhook_timestamp="-5") or "")
    assert webhook_signature.fault("another", headers, body, 1_000) is not None
    assert webhook_signature.fault(SECRET, headers, body + b" ", 1_000) is not None


@pytest.mark.parametrize(
    ("secret", "id", "at", "body", "mac"),
    [
        (
            "whsec_plJ3nmyCDGBKInavdOK15jsl",
            "msg_loFOjxBNrRLzqYUf",
            1731705121,
            b'{"event_type":"ping","data":{"success":true}}',
            "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
        ),
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
    ],
)
def test_signatures_are_those_of_the_standard_webhooks_libraries(
    secret: str, id: str, at: int, body: bytes, mac: str
) -> None:
    """The examples of the specification's documentation and of its reference libraries' tests."""
    assert webhook_signature.headers(secret, id, at, body)[webhook_signature.SIGNATURE] == mac
