"""A real server on loopback over the fake gateway."""

import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.config import MemberSettings, OperatorSettings
from gateway.http import build_app
from gateway.http.auth import Authenticator
from tests.gateway.http.client import Client
from tests.gateway.http.fake import (
    BUYER,
    GATEWAY,
    ISIN,
    NOW,
    SELLER,
    STRANGER,
    FakeGateway,
    FakeReconciliation,
    FakeStatements,
)

BODY_BYTES_MAX = 200_000
BATCH_MAX = 5
ID = "0192f3c4-5d6e-7f80-9a1b-2c3d4e5f6071"


def sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def authenticator() -> Authenticator:
    return Authenticator(
        [
            MemberSettings(bic=bic, name=bic, token_sha256=sha256(bic.lower()))
            for bic in (SELLER, BUYER, STRANGER)
        ],
        [
            OperatorSettings(name="ops", role="gateway", token_sha256=sha256("ops")),
            OperatorSettings(
                name="registrar", role="ledger", token_sha256=sha256("registrar"), ledger="registry"
            ),
        ],
    )


class Served:
    """The fake, its server, and clients of it."""

    def __init__(self, fake: FakeGateway, session: aiohttp.ClientSession, base: str) -> None:
        self.fake = fake
        self.base = base
        self.session = session
        self.said: list[str] = []
        self.seller = Client(session, base, SELLER.lower())
        self.buyer = Client(session, base, BUYER.lower())
        self.stranger = Client(session, base, STRANGER.lower())
        self.operator = Client(session, base, "ops")
        self.nobody = Client(session, base, None)
        self.runner: web.AppRunner


async def serve(fake: FakeGateway, said: list[str], **options: Any) -> tuple[web.AppRunner, str]:
    app = build_app(
        fake,
        statements=FakeStatements(fake),
        reconciliation=FakeReconciliation(fake),
        bic=GATEWAY,
        auth=authenticator(),
        body_bytes_max=BODY_BYTES_MAX,
        batch_max=BATCH_MAX,
        say=said.append,
        now=lambda: NOW,
        **options,
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=60.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    return runner, f"http://{host}:{port}"


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    fake = FakeGateway()
    said: list[str] = []
    runner, base = await serve(fake, said, heartbeat_seconds=0.05)
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=60), auto_decompress=False
    ) as session:
        found = Served(fake, session, base)
        found.said, found.runner = said, runner
        yield found
    await runner.cleanup()


def proposal(id: str = ID, **changes: Any) -> dict[str, Any]:
    """A DvP as JSON, in normal form."""
    return {
        "id": id,
        "legs": [
            {
                "leg": "SECU",
                "ledger": "registry",
                "asset": ISIN,
                "quantity": "1000000",
                "payer": {"member": SELLER, "account": "REGA-SELADE-0001"},
                "payee": {"member": BUYER, "account": "REGA-BUYRFR-0001"},
            },
            {
                "leg": "CASH",
                "ledger": "eur",
                "asset": "EUR",
                "quantity": "998750.00",
                "payer": {"member": BUYER, "account": "EUR-BUYRFR"},
                "payee": {"member": SELLER, "account": "EUR-SELADE"},
            },
        ],
    } | changes


def changed(path: str, value: Any) -> dict[str, Any]:
    """The proposal with one member changed: `legs.1.payer.member`. None takes it away."""
    found: Any = json.loads(json.dumps(proposal()))
    whole = found
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in way:
        found = found[step]
    if value is None:
        del found[last]
    else:
        found[last] = value
    return whole  # type: ignore[no-any-return]
