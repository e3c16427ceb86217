"""What a process says of itself on its own port: metrics, and the probes of an orchestrator.

- `/startupz`: it has started (migrations applied, configuration valid).
- `/livez`: its event loop turns. It never looks at anything else: a dead database is no reason to
  restart a process that would find the same dead database.
- `/readyz`: it can do its work now; with each check by name, so that a person sees which one fails.
"""

from collections.abc import Callable
from typing import Final

import msgspec
from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

Check = Callable[[], bool]
"""Tells at once, from what is known, whether something the work needs is there."""

_JSON: Final = "application/json"


class Health:
    """What a process knows of its own state; whoever owns it changes it."""

    def __init__(self) -> None:
        self.started = False
        self.draining = False  # set at SIGTERM: no new work, please
        self.checks: dict[str, Check] = {}

    def readiness(self) -> dict[str, bool]:
        """Every condition of being ready, by name."""
        named = {name: check() for name, check in self.checks.items()}
        return {"started": self.started, "not draining": not self.draining} | named


def build_app(health: Health) -> web.Application:
    """The application of the metrics port."""
    app = web.Application()

    async def livez(_: web.Request) -> web.Response:
        return _answer({"alive": True})

    async def startupz(_: web.Request) -> web.Response:
        return _answer({"started": health.started})

    async def readyz(_: web.Request) -> web.Response:
        return _answer(health.readiness())

    app.router.add_get("/livez", livez)
    app.router.add_get("/startupz", startupz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", make_aiohttp_handler())
    return app


def _answer(conditions: dict[str, bool]) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(conditions),
        status=200 if all(conditions.values()) else 503,
        content_type=_JSON,
    )
