"""The composition root: one gateway process, put together and run."""

import asyncio
import socket
from collections.abc import Callable

from gateway import config
from gateway.config import Settings
from gateway.engine import desk_of, open_engine
from gateway.http import build_app
from gateway.http.auth import Authenticator
from gateway.process import health
from gateway.process.serving import serve_app


async def serve(
    settings: Settings,
    *,
    listen: socket.socket,
    metrics: socket.socket,
    ready: Callable[[], None],
    say: Callable[[str], None],
) -> None:
    """Run one gateway process until cancelled; `ready` is called when it serves.

    At the end requests in flight are answered first, then the engine stops: what it leaves open is
    in the journal."""
    config.check(settings)
    state = health.Health()
    async with open_engine(settings, say) as engine:
        web_app = build_app(
            desk_of(engine),
            bic=settings.bic,
            auth=Authenticator(settings.members, settings.operators),
            body_bytes_max=settings.limits.body_bytes_max,
            batch_max=settings.limits.batch_max,
            say=say,
        )
        work = asyncio.create_task(engine.run(), name="engine")
        runners = [
            await serve_app(health.build_app(state), metrics),
            await serve_app(web_app, listen),
        ]
        state.started = True
        ready()
        try:
            await asyncio.wait({work})
            work.result()  # it never ends by itself: this raises what ended it
        finally:
            state.draining = True
            for runner in reversed(runners):
                await runner.cleanup()
            work.cancel()
            await asyncio.wait({work})
