"""What a process says of itself on its own port: metrics, and the probes of an orchestrator.

- `/startupz`: it has started (migrations applied, configuration valid).
- `/livez`: its event loop turns. It never looks at anything else: a dead database is no reason to
  restart a process that would find the same dead database.
- `/readyz`: it can do its work now; with each condition by name, and why it does not hold.

Each answers JSON, with 200 or 503. Nothing is asked from anybody when a probe comes: conditions are
known from what the process does anyway.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import web

Check = Callable[[], str | None]
"""Tells at once, from what is known, why something that the work needs is not there; None if it
is."""

Metrics = Callable[[web.Request], Awaitable[web.StreamResponse]]

_JSON: Final = "application/json"


class Condition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether a condition holds, and if not, why."""

    ok: bool
    why: str | None = None


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `/livez`: whoever can give it lives."""

    alive: bool
    event_loop_lag_seconds: float


class Started(msgspec.Struct, frozen=True, kw_only=True):
    started: bool


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `/readyz`. `remarks` do not decide: what is amiss and can be worked around."""

    ready: bool
    conditions: dict[str, Condition]
    remarks: dict[str, Condition]


class Health:
    """What a process knows of its own state; whoever owns it changes it."""

    def __init__(self) -> None:
        self.started = False
        self.draining = False  # set at SIGTERM: no new work, please
        self.checks: dict[str, Check] = {}
        self.remarks: dict[str, Check] = {}

    def conditions(self) -> dict[str, Condition]:
        """Every condition of being ready, by name."""
        own = {
            "started": None if self.started else "it is starting",
            "not draining": "it has been told to stop" if self.draining else None,
        }
        return _judged(own | {name: check() for name, check in self.checks.items()})

    def readiness(self) -> Readiness:
        conditions = self.conditions()
        return Readiness(
            ready=all(condition.ok for condition in conditions.values()),
            conditions=conditions,
            remarks=_judged({name: check() for name, check in self.remarks.items()}),
        )


def _judged(reasons: dict[str, str | None]) -> dict[str, Condition]:
    return {name: Condition(ok=why is None, why=why) for name, why in reasons.items()}


def build_app(health: Health, metrics: Metrics, lag: Callable[[], float]) -> web.Application:
    """The application of the metrics port; `lag` is the event loop's, in seconds."""
    app = web.Application()

    async def livez(_: web.Request) -> web.Response:
        return _answer(Alive(alive=True, event_loop_lag_seconds=lag()), True)

    async def startupz(_: web.Request) -> web.Response:
        return _answer(Started(started=health.started), health.started)

    async def readyz(_: web.Request) -> web.Response:
        readiness = health.readiness()
        return _answer(readiness, readiness.ready)

    app.router.add_get("/livez", livez)
    app.router.add_get("/startupz", startupz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app


def _answer(content: object, ok: bool) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content), status=200 if ok else 503, content_type=_JSON
    )
