"""One ledger as a process: its configuration, and the service put together from its parts."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.config import ConfigurationError, database
from gateway.process import health
from gateway.process.ending import ending
from gateway.process.life import Ready, addresses, live
from gateway.process.pulse import Pulse
from gateway.process.serving import serve_app
from gateway.process.sockets import Descriptors, Listening, sockets
from gateway.telemetry.lag import LoopLag
from gateway.telemetry.ledger import LedgerSource
from gateway.telemetry.logs import Say
from gateway.telemetry.process import ProcessSource, exposition
from gateway.telemetry.traffic import Traffic
from htlc.hashlock import HashFunction
from htlc.units import Instant, LedgerId, seconds
from ledgers.block import Seal
from ledgers.hosted import Traits
from ledgers.parties import Principal, Role
from ledgers.port import LedgerUnreachable, LockKind
from ledgers.postgres import PostgresLedger, open_pool, prepare
from ledgers.profile import Profile
from ledgers.ranges import LEDGER, Ranges
from ledgers.service import build_app

SEED_BYTES: Final = 32
"""The secret of an Ed25519 key (RFC 8032)."""


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file. A key that we do not know is a typing error: refused."""


class TokenSettings(_Table, frozen=True, kw_only=True):
    """Who a bearer token stands for. Only its SHA-256 (lower-case hex) is kept."""

    name: str
    role: Role
    sha256: str


class LedgerProcess(_Table, frozen=True, kw_only=True):
    """Everything a ledger process needs."""

    ledger: str
    dsn: str  # or file:PATH, see `gateway.config.database`
    key_file: Path  # 32 bytes, the secret of the Ed25519 key that signs blocks
    tokens: tuple[TokenSettings, ...]
    listen: str = "127.0.0.1:8081"  # HOST:PORT, or fd:N for an inherited socket
    metrics_listen: str = "127.0.0.1:9091"
    lock_kinds: tuple[LockKind, ...] = (LockKind.TWO_KEY, LockKind.HTLC)
    hash_functions: tuple[HashFunction, ...] = (HashFunction(),)
    #: A batch is committed with fsync before it is answered: final at once.
    finality_seconds: float = 0.0
    #: What the ledger says of its own clock; NTP keeps far below, and a gateway adds its own bound.
    skew_seconds: float = 1.0

    def traits(self) -> Traits:
        return Traits(
            profile=Profile(lock_kinds=self.lock_kinds, hash_functions=self.hash_functions),
            finality=seconds(self.finality_seconds),
            skew=seconds(self.skew_seconds),
        )

    def key(self) -> Ed25519PrivateKey:
        """What the ledger signs with. Raises ConfigurationError."""
        try:
            secret = self.key_file.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{self.key_file}: {error.strerror}") from None
        if len(secret) != SEED_BYTES:
            raise ConfigurationError(f"{self.key_file}: expected {SEED_BYTES} bytes, a key's seed")
        return Ed25519PrivateKey.from_private_bytes(secret)

    def seal(self) -> Seal:
        """The name and key of the ledger. Raises ConfigurationError."""
        return Seal(LedgerId(self.ledger), self.key())

    def principals(self) -> dict[str, Principal]:
        """Who the tokens stand for, by the SHA-256 of the token."""
        return {token.sha256: Principal(name=token.name, role=token.role) for token in self.tokens}


def run(settings: LedgerProcess, fds: Descriptors, *, lifeline: bool) -> None:
    """The whole life of a ledger process. Raises ConfigurationError."""
    seal = settings.seal()
    listening = sockets((settings.listen, settings.metrics_listen), fds)
    live(
        settings.ledger,
        addresses(listening),
        lambda ready, say: serve(settings, seal, listening, ready, say),
        lifeline=lifeline,
    )


async def serve(
    settings: LedgerProcess, seal: Seal, listening: Listening, ready: Ready, say: Say
) -> None:
    """Run one ledger until cancelled."""
    state, lag, traffic = health.Health(), LoopLag(), Traffic()
    async with _ledger(settings, seal) as (ledger, pool), asyncio.TaskGroup() as group:
        pulse = Pulse(ledger.touch, (LedgerUnreachable,))
        state.checks["database"] = pulse.check
        ranges = Ranges(pool, LEDGER, say)
        exposed = exposition(
            ProcessSource(
                "ledger", health=state, pool=pool, ranges=ranges, lag=lag, traffic=traffic
            ),
            LedgerSource(ledger),
        )
        service = build_app(ledger, settings.principals())
        service.middlewares.insert(0, traffic.middleware())
        runners = [
            await serve_app(health.build_app(state, exposed, lambda: lag.last), listening[1]),
            await serve_app(service, listening[0]),
        ]
        work = (pulse.run(), lag.run(), ranges.run())
        beside = [group.create_task(ending(each)) for each in work]
        state.started = True
        ready()
        try:
            await asyncio.Event().wait()
        finally:
            state.draining = True
            for runner in reversed(runners):
                await runner.cleanup()
            for task in beside:
                task.cancel()


@asynccontextmanager
async def _ledger(
    settings: LedgerProcess, seal: Seal
) -> "AsyncIterator[tuple[PostgresLedger, asyncpg.Pool[asyncpg.Record]]]":
    pool = await open_pool(database(settings.dsn))
    try:
        await prepare(pool, seal)
        ledger = PostgresLedger(pool, seal, _wall_clock, settings.traits())
        try:
            yield ledger, pool
        finally:
            await ledger.close()
    finally:
        await pool.close()


def _wall_clock() -> Instant:
    return Instant(time.time_ns())
