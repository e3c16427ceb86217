"""Answering on a socket that somebody else may have opened."""

import logging
import socket
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

BACKLOG: Final = 1024
"""Connections that wait to be accepted; what the kernel allows at most by default is 4096."""

DRAIN_SECONDS: Final = 5.0
"""Requests in flight may end within this after SIGTERM: half of what a supervisor waits."""


class _CallersFaults(logging.Filter):
    """Bytes that are no HTTP, or a body that is not encoded as its header says, are the caller's
    error: one line at `info`. The library logs them as errors of ours, with a traceback whose text
    repeats what was sent, an `Authorization` among it."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            record.levelno, record.levelname = logging.INFO, "INFO"
            record.msg, record.args = "a caller's bytes are no HTTP: %s", (type(error).__name__,)
            record.exc_info = None
        return True


_log: Final = logging.getLogger("http.server")
_log.addFilter(_CallersFaults())


async def serve_app(app: web.Application, listening: socket.socket) -> web.AppRunner:
    """Answer on a socket; the runner's `cleanup` ends it after the requests in flight."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=DRAIN_SECONDS, logger=_log)
    await runner.setup()
    await web.SockSite(runner, listening, backlog=BACKLOG).start()
    return runner
