"""What the registry network does on this machine: `python -m gateway.bench.registries`.

Four registries, each a process with a PostgreSQL server of its own (fsync on), and the log's
servers, all made for the run on loopback. Every registry is given the same load at even intervals;
a call's latency is from its submission at its own registry until it is certified, and final. CPU
time is that of all processes of a kind over the operations done, the load's own included in the
nodes'. At the end one registry's database is thrown away, and it reads everything again.

    python -m gateway.bench.registries                              the usual cases
    python -m gateway.bench.registries --rate 2000 --seconds 10 --servers 3 --round-trip 0.06
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.bench.registry_child import Configuration, Order, Report
from gateway.bench.statistics import percentile
from gateway.embedded import Cluster, temporary_directory
from gateway.embedded.nats import LogServer
from gateway.embedded.nats_settings import (
    ClusterSettings,
    LogServerSettings,
    new_seed,
    public_key,
)
from gateway.machine.processes import TICKS_PER_SECOND, family, processes
from ledgers.icsd.epoch import Member, RegistryId
from ledgers.icsd.link import Access
from ledgers.icsd.log import LogUnreachable
from ledgers.icsd.stream_setup import configuration, create, stream_name

NAMES: Final = tuple(RegistryId(name) for name in ("DE", "FR", "KZ", "UZ"))

MAKE_SECONDS: Final = 30.0
"""For the log's servers to find a leader and make the stream."""

REPORT_BYTES_MAX: Final = 64 << 20
"""One line: the latencies of a load."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    rate: float = 2_000.0  # operations per second, of all registries together
    seconds: float = 8.0
    servers: int = 1  # of the log
    round_trip: float = 0.0  # seconds between a registry and the log


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a case; latencies in milliseconds, CPU in microseconds per operation."""

    case: Case
    done_per_second: float
    failed: int
    certified: tuple[float, float]  # median, 99th percentile
    final: tuple[float, float]
    cpu: dict[str, float]
    blocks: int
    catch_up_seconds: float
    catch_up_entries: int


class Site:
    """The log's servers, the databases and the registries of one run."""

    def __init__(self, case: Case, directory: Path) -> None:
        self.case = case
        self._directory = directory
        self._stack = contextlib.AsyncExitStack()
        self._seeds = {name: new_seed(os.urandom(32)) for name in ("admin", *NAMES)}
        self._keys = {name: os.urandom(32) for name in NAMES}
        self.log = _log_servers(directory, case.servers, self._seeds)
        self.clusters = {name: Cluster(directory / f"pg-{name}") for name in NAMES}
        self.children: dict[str, asyncio.subprocess.Process] = {}

    async def __aenter__(self) -> "Site":
        await asyncio.gather(*(server.start() for server in self.log))
        for server in self.log:
            self._stack.push_async_callback(server.stop)
        for cluster in self.clusters.values():
            await self._stack.enter_async_context(cluster)
        await self._make_stream()
        for name in NAMES:
            await self.begin(name, self.clusters[name])
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in list(self.children):
            await self.end(name)
        await self._stack.aclose()

    async def _make_stream(self) -> None:
        wanted = configuration(stream_name(1), replicas=self.case.servers, bytes_max=1 << 30)
        access = Access(name="admin", seed=self._seeds["admin"])
        async with asyncio.timeout(MAKE_SECONDS):
            while True:
                with contextlib.suppress(LogUnreachable):
                    return await create([server.url for server in self.log], access, wanted)
                await asyncio.sleep(0.1)

    async def begin(self, name: RegistryId, cluster: Cluster) -> Report:
        """Start a registry; what it says when it has caught up."""
        file = self._directory / f"{name}.json"
        file.write_bytes(msgspec.json.encode(self._configuration(name, cluster)))
        self.children[name] = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.bench.registry_child", str(file)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=REPORT_BYTES_MAX,
        )
        return await self._report(name)

    async def end(self, name: str) -> None:
        child = self.children.pop(name)
        assert child.stdin is not None
        child.stdin.close()
        await child.wait()

    def _configuration(self, name: RegistryId, cluster: Cluster) -> Configuration:
        members = tuple(
            Member(
                registry=each,
                public_key=Ed25519PrivateKey.from_private_bytes(key)
                .public_key()
                .public_bytes_raw(),
            )
            for each, key in self._keys.items()
        )
        return Configuration(
            registry=name,
            key=self._keys[name],
            seed=self._seeds[name],
            members=members,
            dsn=cluster.dsn(),
            servers=tuple(server.url for server in self.log),
            stream=stream_name(1),
            round_trip=self.case.round_trip,
        )

    async def order(self, order: Order) -> list[Report]:
        """Give all registries the same order, and wait for all."""
        for child in self.children.values():
            assert child.stdin is not None
            child.stdin.write(msgspec.json.encode(order) + b"\n")
        return list(await asyncio.gather(*(self._report(name) for name in self.children)))

    async def _report(self, name: str) -> Report:
        out = self.children[name].stdout
        assert out is not None
        line = await out.readline()
        if not line:
            raise RuntimeError(f"registry {name} has ended; its reason is on standard error")
        return msgspec.json.decode(line, type=Report)

    async def forget(self, name: RegistryId) -> Report:
        """Throw a registry's database away, and let it read everything again."""
        await self.end(name)
        await self.clusters[name].stop()
        shutil.rmtree(self._directory / f"pg-{name}")
        self.clusters[name] = Cluster(self._directory / f"pg-{name}")
        await self._stack.enter_async_context(self.clusters[name])
        return await self.begin(name, self.clusters[name])

    def ticks(self) -> dict[str, int]:
        """CPU time so far of each kind of process."""
        known = processes()
        log = {server.pid for server in self.log}
        nodes = {child.pid for child in self.children.values()}
        databases = {c.pid for c in known.values() if c.name == "postgres" and c.pid not in nodes}
        ours = family([os.getpid()], known)
        return {
            "nodes": sum(known[pid].ticks for pid in nodes if pid in known),
            "databases": sum(known[pid].ticks for pid in databases & ours),
            "log": sum(known[pid].ticks for pid in log if pid is not None and pid in known),
        }


def _log_servers(directory: Path, count: int, seeds: dict[str, str]) -> list[LogServer]:
    ports = _free_ports(3 * count)
    made = []
    for number in range(count):
        mine = ports[number * 3 : number * 3 + 3]
        routes = tuple(f"127.0.0.1:{ports[n * 3 + 2]}" for n in range(count) if n != number)
        cluster = ClusterSettings(name="bench", listen=f"127.0.0.1:{mine[2]}", routes=routes)
        settings = LogServerSettings(
            name=f"n{number}",
            store=directory / f"log-{number}" / "store",
            listen=f"127.0.0.1:{mine[0]}",
            monitor=f"127.0.0.1:{mine[1]}",
            administrator=public_key(seeds["admin"]),
            registries={name: public_key(seeds[name]) for name in NAMES},
            cluster=cluster if count > 1 else None,
        )
        made.append(LogServer(settings, directory / f"log-{number}"))
    return made


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in opened]


@contextlib.asynccontextmanager
async def site(case: Case) -> AsyncIterator[Site]:
    directory = temporary_directory()
    try:
        async with Site(case, directory) as made:
            yield made
    finally:
        shutil.rmtree(directory)


async def measure(case: Case) -> Figures:
    """Run one case. Raises AssertionError if the registries' books differ at its end."""
    async with site(case) as made:
        await made.order(Order(do="furnish"))
        before = made.ticks()
        reports = await made.order(
            Order(do="load", rate=case.rate / len(NAMES), seconds=case.seconds)
        )
        after = made.ticks()
        done = sum(report.done for report in reports)
        again = await made.forget(NAMES[-1])
        heads = await _agreed(made)
        return Figures(
            case=case,
            done_per_second=done / max(report.seconds for report in reports),
            failed=sum(report.failed for report in reports),
            certified=_percentiles([v for report in reports for v in report.certified]),
            final=_percentiles([v for report in reports for v in report.final]),
            cpu={
                kind: (after[kind] - before[kind]) / TICKS_PER_SECOND * 1e6 / max(done, 1)
                for kind in before
            },
            blocks=max(report.blocks for report in reports),
            catch_up_seconds=again.seconds,
            catch_up_entries=heads[-1].entries,
        )


async def _agreed(made: Site) -> list[Report]:
    """Where all stand when they stand at the same height. Their roots must be the same."""
    while True:
        heads = await made.order(Order(do="heads"))
        if len({head.height for head in heads}) == 1:
            assert len({head.root for head in heads}) == 1, "equal heights have equal roots"
            return heads
        await asyncio.sleep(0.05)


def _percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    return percentile(seconds, 0.5) * 1e3, percentile(seconds, 0.99) * 1e3


COLUMNS: Final = (
    "op/s asked | op/s done | failed | servers | round trip ms | certified p50/p99 ms | "
    "final p50/p99 ms | CPU us/op nodes + databases + log | blocks | catch-up op/s"
)


def line(figures: Figures) -> str:
    case, cpu = figures.case, figures.cpu
    return (
        f"{case.rate:10.0f} | {figures.done_per_second:9.0f} | {figures.failed:6d} | "
        f"{case.servers:7d} | {case.round_trip * 1e3:13.0f} | "
        f"{figures.certified[0]:9.0f} / {figures.certified[1]:8.0f} | "
        f"{figures.final[0]:6.0f} / {figures.final[1]:7.0f} | "
        f"{cpu['nodes']:8.0f} + {cpu['databases']:5.0f} + {cpu['log']:5.0f}           | "
        f"{figures.blocks:6d} | {figures.catch_up_entries / figures.catch_up_seconds:8.0f}"
    )


USUAL: Final = (
    Case(rate=500),
    Case(rate=2_000),
    Case(rate=2_000, servers=3),
    Case(rate=4_000),
    Case(rate=2_000, round_trip=0.06),
    Case(rate=2_000, round_trip=0.2),
)


def _cases(words: Sequence[str]) -> tuple[Case, ...]:
    if not words:
        return USUAL
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    usual = Case()
    parser.add_argument("--rate", type=float, default=usual.rate)
    parser.add_argument("--seconds", type=float, default=usual.seconds)
    parser.add_argument("--servers", type=int, choices=(1, 3), default=usual.servers)
    parser.add_argument("--round-trip", type=float, default=usual.round_trip)
    return (Case(**vars(parser.parse_args(words))),)


async def main(words: Sequence[str]) -> None:
    sys.stdout.write(COLUMNS + "\n")
    for case in _cases(words):
        sys.stdout.write(line(await measure(case)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
