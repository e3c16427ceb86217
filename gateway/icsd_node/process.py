"""One registry's node as a process, put together from its parts and run."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import asyncpg
import msgspec

from gateway.config import ConfigurationError, database, secret
from gateway.icsd_node import archive, moments, routes, snapshot
from gateway.icsd_node.front import Front, front_of
from gateway.icsd_node.locating import located
from gateway.icsd_node.remote import Remote
from gateway.icsd_node.settings import NodeProcess
from gateway.process import health
from gateway.process.ending import ending
from gateway.process.life import Ready, addresses, live
from gateway.process.pulse import EVERY_SECONDS, Pulse
from gateway.process.serving import serve_app
from gateway.process.sockets import Descriptors, Listening, sockets
from gateway.telemetry.front import FrontSource
from gateway.telemetry.lag import LoopLag
from gateway.telemetry.logs import Say
from gateway.telemetry.process import ProcessSource, Source, exposition
from gateway.telemetry.registry import RegistrySource
from gateway.telemetry.traffic import Traffic
from htlc.units import Instant, seconds
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.hosted import RegistryLedger
from ledgers.icsd.node import Node
from ledgers.icsd.start import Identity, registry
from ledgers.icsd.store import Store
from ledgers.icsd.stream import JetStreamLog
from ledgers.icsd.stream_setup import self_test
from ledgers.postgres import open_pool
from ledgers.ranges import MAILBOX, REGISTRY, Ranges
from ledgers.reading import LOST
from ledgers.service import build_app


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a running node consists of."""

    ledger: RegistryLedger
    store: Store
    log: JetStreamLog
    pool: "asyncpg.Pool[asyncpg.Record]"
    pulse: Pulse
    front: Front | None = None  # where messages are configured

    @property
    def node(self) -> Node:
        return self.ledger.node


def run(settings: NodeProcess, fds: Descriptors, *, lifeline: bool) -> None:
    """The whole life of a node process. Raises ConfigurationError; LogRefused, LogUnreachable,
    MigrationError, Altered at its start."""
    settings.network()
    settings.seal()
    for peer in settings.peers:
        secret(peer.token_file)
    if settings.messages is not None:
        settings.correspondents(settings.messages)
    listening = sockets((settings.listen, settings.metrics_listen), fds)
    live(
        f"{settings.ledger}-{settings.registry}",
        addresses(listening),
        lambda ready, say: serve(settings, listening, ready, say),
        lifeline=lifeline,
    )


async def serve(settings: NodeProcess, listening: Listening, ready: Ready, say: Say) -> None:
    """Run one node until cancelled. A node that has stopped for good goes on saying why: only
    people can decide what is next, and they want to look."""
    state, lag, traffic = health.Health(), LoopLag(), Traffic()
    async with _parts(settings) as parts, asyncio.TaskGroup() as group:
        ranges = Ranges(parts.pool, (*REGISTRY, MAILBOX), say)
        sources: list[Source] = [
            ProcessSource(
                "registry",
                health=state,
                pool=parts.pool,
                ranges=ranges,
                lag=lag,
                traffic=traffic,
            ),
            RegistrySource(parts.node, parts.log),
        ]
        _watch(state, parts)
        app = build_app(parts.ledger, settings.principals())
        routes.add(app, parts.node, parts.store)
        archive.add(app, parts.store)
        moments.add(app, parts.node, parts.store)
        snapshot.add(app, parts.node.me, parts.pool)
        beside = [lag.run(), parts.pulse.run(), ranges.run()]
        if (front := parts.front) is not None:
            sources.append(FrontSource(parts.node.me, front, parts.pool, traffic))
            front.add(app)
            beside += front.work()
        exposed = exposition(*sources)
        app.middlewares.insert(0, traffic.middleware())
        runners = [
            await serve_app(health.build_app(state, exposed, lambda: lag.last), listening[1]),
            await serve_app(app, listening[0]),
        ]
        work = group.create_task(_run(settings, parts.node, say), name="node")
        tasks = [group.create_task(ending(each)) for each in beside]
        state.started = True
        ready()
        try:
            await asyncio.Event().wait()
        finally:
            state.draining = True
            for runner in reversed(runners):  # requests in flight are finished by the node
                await runner.cleanup()
            for task in (work, *tasks):
                task.cancel()


async def _run(settings: NodeProcess, node: Node, say: Say) -> None:
    await node.run()
    say(f"PAGE: registry {node.me} is out of service: {node.stopped}")
    if node.replica.stopped is None:
        return
    async with aiohttp.ClientSession() as session:
        peers = [Remote(session, each.url, secret(each.token_file)) for each in settings.peers]
        node.differences = await located(node, settings.network(), peers)
    for line in node.differences:
        say(line)


def _watch(state: health.Health, parts: Parts) -> None:
    """What the node needs to be ready, and what it can do without for a while."""
    node, log = parts.node, parts.log
    state.checks["node"] = lambda: node.stopped
    state.checks["caught up"] = lambda: (
        None if node.caught_up else f"reading the log, at height {node.head.height}"
    )
    state.checks["database"] = parts.pulse.check
    state.remarks["log"] = lambda: None if log.connected else "no connection to the log"
    state.remarks["votes"] = lambda: (
        "returning: follows the others' votes until they have signed its marker"
        if node.replica.votes_above is None
        else None
    )
    state.remarks["clock"] = lambda: node.replica.withheld


def identity_of(settings: NodeProcess) -> Identity:
    """Raises ConfigurationError."""
    return Identity(registry=RegistryId(settings.registry), key=settings.key(), clock=_wall_clock)


@asynccontextmanager
async def _parts(settings: NodeProcess) -> AsyncIterator[Parts]:
    identity = identity_of(settings)
    access, stream = settings.log.access(settings.registry), settings.log.stream
    log = await JetStreamLog.open(settings.log.servers, access, stream)
    try:
        await self_test(log, stream, settings.log.monitors)
        opened = registry(
            settings.network(),
            identity,
            database(settings.dsn),
            log,
            settings.traits(),
            seconds(settings.fresh_seconds),
        )
        async with opened as ledger:
            require_same_log(settings, ledger.node)
            pool = ledger.pool
            pulse = Pulse(lambda: _touch(pool), LOST)
            async with _front(settings, ledger) as front:
                yield Parts(
                    ledger=ledger,
                    store=Store(pool),
                    log=log,
                    pool=pool,
                    pulse=pulse,
                    front=front,
                )
    finally:
        await log.close()


@asynccontextmanager
async def _front(settings: NodeProcess, ledger: RegistryLedger) -> AsyncIterator[Front | None]:
    """What the members' systems see, if messages are configured."""
    if settings.messages is None:
        yield None
        return
    known = settings.correspondents(settings.messages)
    async with await open_pool(database(settings.dsn)) as pool:
        front = front_of(ledger, pool, settings.key(), settings.messages, known, _wall_clock)
        await front.begin()
        yield front


async def _touch(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    """A transaction that counts as one that writes; it changes nothing."""
    await pool.execute("SELECT pg_current_xact_id()", timeout=EVERY_SECONDS)


def _wall_clock() -> Instant:
    return Instant(time.time_ns())


def require_same_log(settings: NodeProcess, node: Node) -> None:
    """Positions in the database count in one log; in another they would mean other messages."""
    if node.head.log != settings.log.epoch:
        raise ConfigurationError(
            f"log.epoch: the book stands in the log of epoch {node.head.log}, "
            f"not in that of {settings.log.epoch}"
        )
