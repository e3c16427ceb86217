"""Answering on a socket that somebody else may have opened."""

import socket
from typing import Final

from aiohttp import web

BACKLOG: Final = 1024
"""Connections that wait to be accepted; what the kernel allows at most by default is 4096."""

DRAIN_SECONDS: Final = 5.0
"""Requests in flight may end within this after SIGTERM: half of what a supervisor waits."""


async def serve_app(app: web.Application, listening: socket.socket) -> web.AppRunner:
    """Answer on a socket; the runner's `cleanup` ends it after the requests in flight."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=DRAIN_SECONDS)
    await runner.setup()
    await web.SockSite(runner, listening, backlog=BACKLOG).start()
    return runner
