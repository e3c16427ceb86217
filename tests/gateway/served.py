"""A running system's interface on a socket, and clients of it as custodians use them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import aiohttp
from aiohttp import web

from gateway.app import Letterhead
from gateway.client import GatewayClient
from gateway.http import build_app, mailbox
from gateway.http.auth import Authenticator
from tests.gateway.systems import System, token


@contextlib.asynccontextmanager
async def served(running: System) -> AsyncIterator[Callable[[str], GatewayClient]]:
    """Gives the client of a member."""
    settings = running.engine.settings
    app = build_app(
        running.desk,
        bic=settings.bic,
        auth=Authenticator(settings.members),
        body_bytes_max=settings.limits.body_bytes_max,
        batch_max=settings.limits.batch_max,
        sign=running.engine.connections.sign,
        statements=running.engine.statements,
        reconciliation=running.engine.reconciliation,
        say=running.said.append,
        heartbeat_seconds=0.2,
    )
    letterhead = Letterhead(bic=settings.bic, sign=running.engine.connections.sign)
    hooks = asyncio.create_task(running.engine.webhooks.run(mailbox.writer(letterhead)))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with aiohttp.ClientSession() as session:
            yield lambda member: GatewayClient(session, base, token(member))
    finally:
        hooks.cancel()
        await asyncio.wait({hooks})
        await runner.cleanup()
