"""The composition root: one gateway process, put together and run."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec
from aiohttp import web

from gateway import config
from gateway.config import Settings
from gateway.desk import Desk
from gateway.engine import Engine, desk_of, open_engine
from gateway.http import build_app, mailbox
from gateway.http.auth import Authenticator
from gateway.journal import LOST
from gateway.lease import TAKEOVER_SECONDS
from gateway.process import health
from gateway.process.drain import drain
from gateway.process.ending import ending
from gateway.process.health import Health
from gateway.process.serving import serve_app
from gateway.telemetry.gateway import GatewaySource
from gateway.telemetry.lag import LoopLag
from gateway.telemetry.process import ProcessSource, exposition
from gateway.telemetry.traffic import Traffic
from htlc.units import LedgerId
from ledgers.ranges import GATEWAY, Ranges

CANCEL_SECONDS: Final = 1.0
"""For the engine to end once it is cancelled: some milliseconds, unless its database hangs."""


async def serve(
    settings: Settings,
    *,
    listen: socket.socket,
    metrics: socket.socket,
    ready: Callable[[], None],
    say: Callable[[str], None],
) -> None:
    """Run one gateway process until cancelled; `ready` is called when it serves.

    At the end it is not ready, then takes nothing new, finishes what is open as far as there is
    time, ends its streams, and gives its lease back: what it leaves open is in the journal."""
    config.check(settings)
    async with open_engine(settings, say) as engine:
        state = gateway_health(engine)
        async with _serving(engine, state, listen, metrics, say) as work:
            state.started = True
            ready()
            try:
                await asyncio.wait({work})
                work.result()  # it never ends by itself: this raises what ended it
            except asyncio.CancelledError:  # told to stop
                await drain(
                    state,
                    settings.shutdown,
                    refuse=engine.refuse,
                    idle=lambda: engine.idle or work.done(),
                )
                raise
        await engine.lease.release()


@contextlib.asynccontextmanager
async def _serving(
    engine: Engine,
    state: Health,
    listen: socket.socket,
    metrics: socket.socket,
    say: Callable[[str], None],
) -> "AsyncIterator[asyncio.Task[None]]":
    """Engine, interface and metrics; the engine's task. The metrics end last but one, so that
    probes see to the end what goes on."""
    desk, traffic, lag = desk_of(engine), Traffic(), LoopLag()
    ranges = Ranges(engine.pool, GATEWAY, say)
    exposed = exposition(
        ProcessSource(
            "gateway", health=state, pool=engine.pool, ranges=ranges, lag=lag, traffic=traffic
        ),
        GatewaySource(engine, desk, traffic),
    )
    async with _engine(engine, ranges) as work, _measured(lag):
        runners = [
            await serve_app(health.build_app(state, exposed, lambda: lag.last), metrics),
            await serve_app(_interface(engine, desk, traffic, say), listen),
        ]
        try:
            yield work
        finally:
            state.draining = True
            for runner in reversed(runners):
                await runner.cleanup()


def _interface(
    engine: Engine, desk: Desk, traffic: Traffic, say: Callable[[str], None]
) -> web.Application:
    settings = engine.settings
    app = build_app(
        desk,
        sign=engine.connections.sign,
        statements=engine.statements,
        reconciliation=engine.reconciliation,
        bic=settings.bic,
        auth=Authenticator(settings.members, settings.operators),
        body_bytes_max=settings.limits.body_bytes_max,
        batch_max=settings.limits.batch_max,
        say=say,
        away=LOST,
    )
    app.middlewares.insert(0, traffic.middleware())
    return app


@contextlib.asynccontextmanager
async def _engine(engine: Engine, ranges: Ranges) -> "AsyncIterator[asyncio.Task[None]]":
    """The engine's task, over when the block is left. A statement that is cancelled waits for its
    server; where that one hangs, the connections are cut."""
    work = asyncio.create_task(run_engine(engine, ranges), name="engine")
    try:
        yield work
    finally:
        work.cancel()
        await asyncio.wait({work}, timeout=CANCEL_SECONDS)
        if not work.done():
            engine.pool.terminate()
            await asyncio.wait({work})


async def run_engine(engine: Engine, ranges: Ranges) -> None:
    """The engine, the delivery of its mailboxes, and room for its history, until cancelled."""
    letterhead = Letterhead(bic=engine.settings.bic, sign=engine.connections.sign)
    async with asyncio.TaskGroup() as group:
        group.create_task(engine.run())
        group.create_task(ending(engine.webhooks.run(mailbox.writer(letterhead))))
        group.create_task(ending(ranges.run()))


class Letterhead(msgspec.Struct, frozen=True, kw_only=True):
    """What webhooks are written on (`http.heads.Letterhead`)."""

    bic: str
    sign: Callable[[str, str], str]


@contextlib.asynccontextmanager
async def _measured(lag: LoopLag) -> AsyncIterator[None]:
    """The event loop's lag is measured within the block."""
    task = asyncio.create_task(lag.run(), name="event loop lag")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def gateway_health(engine: Engine) -> Health:
    """What a gateway needs to be ready, and what it can do without for a while."""
    state = Health()
    state.checks["database"] = lambda: _database_fault(engine)
    state.checks["ledgers"] = lambda: _unheard(engine)
    state.checks["restore"] = lambda: engine.taking_up.why
    for name in engine.settings.ledgers:
        state.remarks[f"ledger {name}"] = lambda name=name: _ledger_fault(engine, name)  # type: ignore[misc]
    return state


def _database_fault(engine: Engine) -> str | None:
    """The heartbeat is a write each second: it tells whether the database takes any. On a full disk
    it still does, for it needs no new room; then a batch of new records does not end."""
    age = engine.lease.age
    if age > TAKEOVER_SECONDS:
        return f"no heartbeat written for {age:.0f} s"
    lag = max(engine.runner.writer.lag, engine.intake.writer.lag)
    return f"a batch is not written for {lag:.0f} s" if lag > TAKEOVER_SECONDS else None


def _unheard(engine: Engine) -> str | None:
    """Until every ledger has told what it keeps, nothing can be judged. Whether one answers at this
    moment is a remark: intake goes on, and settlements wait for it."""
    known = engine.directory.descriptions
    missing = [name for name in engine.settings.ledgers if LedgerId(name) not in known]
    return f"never heard yet: {', '.join(missing)}" if missing else None


def _ledger_fault(engine: Engine, name: str) -> str | None:
    if (fault := engine.directory.distrusted.get(name)) is not None:
        return f"nothing settles on it: {fault}"
    link = engine.links[LedgerId(name)]
    if link.failures:
        return f"{link.failures} requests in a row without an answer"
    return None if link.clock is not None else "not heard since the start"
