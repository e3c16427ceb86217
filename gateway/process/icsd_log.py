"""One server of the registries' log as a process of ours: `lockstep icsd-log`.

It writes the server's configuration, has it checked, starts the server as a child, makes the stream
if it is given the administrator's seed, and says that it is ready. A server that dies ends the
process: whoever supervises it starts both again.
"""

import asyncio
import ssl
import time
from pathlib import Path
from typing import Final

import msgspec

from gateway.config import ConfigurationError, secret
from gateway.embedded.nats import LogServer
from gateway.embedded.nats_settings import LogServerSettings, Tls, public_key
from gateway.process.life import Ready, live
from gateway.telemetry.logs import Say
from ledgers.icsd.link import Access, context
from ledgers.icsd.log import LogUnreachable
from ledgers.icsd.stream_setup import LOG_BYTES_MAX, configuration, create, stream_name

LEADER_SECONDS: Final = 60.0
"""How long the stream's making is tried. A first start of three servers on three machines takes
whatever the slowest of them takes, and an election."""

PAUSE_SECONDS: Final = 0.2


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The stream to make, by whoever holds the administrator's seed."""

    seed_file: Path  # of the administrator's nkey ("SU…")
    #: This server under a name that its certificate has. None is where it listens.
    server: str | None = None
    replicas: int = 1
    epoch: int = 1
    bytes_max: int = LOG_BYTES_MAX


class LogProcess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything the process needs."""

    directory: Path  # of the server's configuration and log file
    server: LogServerSettings
    stream: StreamSettings | None = None


def run(settings: LogProcess, *, lifeline: bool) -> None:
    """The whole life of the process. Raises ConfigurationError, EmbeddedError, LogRefused,
    LogUnreachable."""
    server = LogServer(settings.server, settings.directory)
    where = {"url": server.url, "metrics": server.monitor}
    live(
        settings.server.name,
        where,
        lambda ready, say: _serve(settings, server, ready, say),
        lifeline=lifeline,
    )


async def _serve(settings: LogProcess, server: LogServer, ready: Ready, say: Say) -> None:
    await server.start()
    try:
        if settings.stream is not None:
            await _make(settings.stream, settings.server, settings.stream.server or server.url)
        ready()
        status = await server.wait()
        say(f"the log's server ended with exit status {status}")
        raise ConfigurationError(f"the log's server ended; see {settings.directory}/log")
    finally:
        await server.stop()


async def _make(stream: StreamSettings, server: LogServerSettings, url: str) -> None:
    """The stream, as soon as a majority of servers is there."""
    seed = secret(stream.seed_file)
    if public_key(seed) != server.administrator:
        raise ConfigurationError(
            f"{stream.seed_file}: is not the seed of the administrator that the server knows"
        )
    access = Access(name="administrator", seed=seed, tls=_tls(server.tls))
    wanted = configuration(
        stream_name(stream.epoch), replicas=stream.replicas, bytes_max=stream.bytes_max
    )
    deadline = time.monotonic() + LEADER_SECONDS
    while True:
        try:
            return await create([url], access, wanted)
        except LogUnreachable:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(PAUSE_SECONDS)


def _tls(tls: Tls | None) -> ssl.SSLContext | None:
    return None if tls is None else context(tls.certificate, tls.key, tls.authority)
