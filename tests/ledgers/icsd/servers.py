"""Real servers of the log for tests: one alone, or three with certificates, on loopback."""

import asyncio
import contextlib
import datetime
import ipaddress
import itertools
import os
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.embedded import temporary_directory
from gateway.embedded.nats import LogServer
from gateway.embedded.nats_settings import (
    ClusterSettings,
    LogServerSettings,
    Tls,
    new_seed,
    public_key,
)
from ledgers.icsd.link import Access, Link, LinkLostError, context
from ledgers.icsd.log import LogUnreachable
from ledgers.icsd.stream import JetStreamLog
from ledgers.icsd.stream_setup import configuration, create, stream_name

STREAM = stream_name(1)
REGISTRIES = ("A", "B")
MEMBERS = (*REGISTRIES, "C", "D")
"""Of a network whose nodes run: more than the tests of the log alone need."""

LOOPBACK = "127.0.0.1"

SEEDS = {name: new_seed(os.urandom(32)) for name in ("admin", "sup", *MEMBERS)}


def free_ports(count: int) -> list[int]:
    opened = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(s.getsockname()[1]) for s in opened]
    for each in opened:
        each.close()
    return ports


class Servers:
    """One log, kept by one server or by three."""

    def __init__(self, directory: Path, count: int, *known_as: str) -> None:
        self.directory = directory
        ports = free_ports(3 * count)
        self.tls = certificates(directory, LOOPBACK, *known_as) if count > 1 else None
        self.servers = [
            LogServer(
                _settings(directory, number, ports, count, self.tls), directory / f"n{number}"
            )
            for number in range(count)
        ]
        self.opened: list[JetStreamLog] = []

    def access(self, name: str) -> Access:
        return Access(name=name, seed=SEEDS[name], tls=_client(self.tls))

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers]

    async def start(self) -> None:
        await asyncio.gather(*(server.start() for server in self.servers if server.pid is None))

    async def make(self) -> None:
        """The stream, as soon as there is a leader."""
        wanted = configuration(STREAM, replicas=len(self.servers), bytes_max=160 << 20)
        async with asyncio.timeout(60):
            while True:
                try:
                    return await create(self.urls, self.access("admin"), wanted)
                except LogUnreachable:
                    await asyncio.sleep(0.05)

    async def unmake(self) -> None:
        """Close what is open and delete the stream: the next test begins with an empty log."""
        await self.close()
        async with asyncio.timeout(60):
            for url in itertools.cycle(self.urls):  # a server may still look for its leader
                with contextlib.suppress(LinkLostError, TimeoutError):
                    await self.administer(f"STREAM.DELETE.{STREAM}", url=url)
                    return

    async def administer(self, request: str, data: bytes = b"", url: str = "") -> bytes:
        """What the first server, or this one, answers. Raises LinkLostError, TimeoutError."""
        link = await Link.open(url or self.urls[0], self.access("admin"), {})
        replies = await link.ask(f"$JS.API.{request}", data, seconds=5)
        await link.close()
        if not replies:
            raise TimeoutError(f"no answer to {request}")
        return replies[0].data

    async def open(self, name: str = "A", urls: list[str] | None = None) -> JetStreamLog:
        log = await JetStreamLog.open(urls or self.urls, self.access(name), STREAM)
        self.opened.append(log)
        return log

    async def close(self) -> None:
        while self.opened:
            await self.opened.pop().close()

    async def stop(self) -> None:
        await self.close()
        await asyncio.gather(*(server.stop() for server in self.servers))


@contextlib.asynccontextmanager
async def running(count: int) -> AsyncIterator[Servers]:
    directory = temporary_directory()
    servers = Servers(directory, count)
    try:
        await servers.start()
        yield servers
    finally:
        await servers.stop()
        shutil.rmtree(directory)


def _settings(
    directory: Path, number: int, ports: list[int], count: int, tls: Tls | None
) -> LogServerSettings:
    client, monitor, route = (f"127.0.0.1:{port}" for port in ports[3 * number : 3 * number + 3])
    routes = tuple(f"127.0.0.1:{ports[3 * n + 2]}" for n in range(count) if n != number)
    return LogServerSettings(
        name=f"n{number}",
        store=directory / f"n{number}" / "store",
        listen=client,
        monitor=monitor,
        administrator=public_key(SEEDS["admin"]),
        registries={name: public_key(SEEDS[name]) for name in MEMBERS},
        readers={"sup": public_key(SEEDS["sup"])},
        store_bytes_max=256 << 20 if count == 1 else 1 << 30,  # room for one stream, or for many
        tls=tls,
        cluster=ClusterSettings(name="log", listen=route, routes=routes) if count > 1 else None,
    )


def certificates(directory: Path, *addresses: str) -> Tls:
    """An authority, and one certificate of it for these addresses, good for servers and clients."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _certificate("authority", authority_key, "authority", authority_key)
    certificate = _certificate("server", key, "authority", authority_key, *addresses)
    tls = Tls(
        certificate=directory / "server.pem",
        key=directory / "server.key",
        authority=directory / "authority.pem",
    )
    pem = serialization.Encoding.PEM
    tls.authority.write_bytes(authority.public_bytes(pem))
    tls.certificate.write_bytes(certificate.public_bytes(pem))
    tls.key.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return tls


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *addresses: str,
) -> x509.Certificate:
    """Without an address it is an authority's."""
    now = datetime.datetime.now(datetime.UTC)
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses or (LOOPBACK,)]
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=not addresses, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage(both), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def _client(tls: Tls | None) -> ssl.SSLContext | None:
    return None if tls is None else context(tls.certificate, tls.key, tls.authority)


class BlackHole:
    """Stands before a server; from `swallow()` on nothing passes, and nobody is told."""

    def __init__(self, url: str) -> None:
        self._host, self._port = url.removeprefix("nats://").split(":")
        self._swallowing = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> str:
        """Its own address."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return f"nats://127.0.0.1:{port}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def swallow(self) -> None:
        self._swallowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._host, int(self._port))
        for source, sink in ((reader, back), (there, writer)):
            self._tasks.add(asyncio.create_task(self._pump(source, sink)))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                if self._swallowing.is_set():
                    await asyncio.Event().wait()
                sink.write(data)
        finally:
            sink.close()
