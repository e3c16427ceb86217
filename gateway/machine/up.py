"""Everything on one machine: databases, ledgers, the gateway, seeded and kept alive.

Theory of operation
- Nothing here settles anything. `Machine` puts together what production runs apart: one PostgreSQL
  cluster per ledger and one for the gateway, one process per ledger, one or more of the gateway.
- Order is by dependence: databases, ledgers, opening balances, gateway; and back when stopping, so
  that a gateway that finishes what is in flight still finds its ledgers.
- Sockets are opened here and inherited: a process that dies is started again behind its address.
- Everything is in one data directory, held by a lock on the directory itself. Whatever is killed
  at whatever moment, the next start goes on from what the databases have; secrets are made once,
  and opening balances have ids, so that to issue them again is to issue them once.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from gateway.config import ConfigurationError, LimitSettings, MatchingSettings
from gateway.embedded import Cluster
from gateway.machine import arrangement, credentials, network, seed, world
from gateway.machine.child import Child, all_of
from gateway.machine.data_directory import DataDirectory, DataDirectoryError, Ready
from gateway.machine.ledger_client import LedgerError
from gateway.machine.supervisor import (
    PAUSE_SECONDS_MAX,
    Service,
    Supervisor,
    SupervisorError,
)
from gateway.machine.world import World
from gateway.vault import load_master
from ledgers.port import LedgerUnreachable
from ledgers.remote import RemoteLedgerError

DATABASE: Final = "lockstep"
"""Of each embedded cluster, which serves nobody else."""

GATEWAY: Final = "gateway"

LOOPBACK: Final = "127.0.0.1"
"""`up` is for one machine; what is to be reached from elsewhere is deployed as services."""

HEARD_SECONDS: Final = 5.0
"""For the gateway to hear of every ledger. One answers at once; a network of registries in the time
of two blocks, 0.1 s, which a busy machine stretches."""

POLL_SECONDS: Final = 0.05

FAULTS: Final = (
    ConfigurationError,
    DataDirectoryError,
    SupervisorError,
    LedgerError,
    LedgerUnreachable,
    RemoteLedgerError,
)
"""What can be wrong with a start, each with one line that says what."""

Say = Callable[[str], None]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller of `up` decides."""

    data: Path
    world: str | None = None  # a name or a file; None is what the directory has, else the default
    registries: int | None = None  # of a network take part; None is what the directory has, or all
    business_date: str | None = None
    dsns: Mapping[str, str] = {}  # by ledger, or `gateway`: databases of one's own
    port: int = 0  # of the gateway; 0 is any free one
    limits: LimitSettings | None = None  # in place of the world's
    matching: MatchingSettings | None = None
    # The longest pause before a service that has died is started again; a test that kills on
    # purpose does not want to be taken for a lasting fault.
    pause_seconds_max: float = PAUSE_SECONDS_MAX
    # What the gateway is told instead of the ledgers' own addresses: a test stands in between.
    between: Callable[[Mapping[str, str]], Mapping[str, str]] | None = None


class Machine:
    """One running world. Use it by `running`, which also ends it."""

    def __init__(self, options: Options, directory: DataDirectory, say: Say) -> None:
        """`directory` is held by the caller."""
        found = _adjusted(settled_world(options, directory), options)
        self.names = network.ensure_names(directory, found)
        self.world = network.disguised(found, self.names)
        self.directory = directory
        self._options = options
        self._say = say
        self._dsns = _own_databases(self.world, options)
        # Two, because the gateway stops before what it settles on.
        pause = options.pause_seconds_max
        self._base = Supervisor(say=say, pause_seconds_max=pause)
        self._front = Supervisor(say=say, pause_seconds_max=pause)
        self._metrics: dict[str, str] = {}
        self.credentials = credentials.ensure(directory, self.world)
        load_master(directory.master, create=True)

    async def start(self) -> Ready:
        """Start everything that is not there yet; where it is. Raises one of FAULTS."""
        await self._start_databases()
        ledgers, registries = await self._start_ledgers()
        if not self.directory.seeded.exists():
            self._say("issuing the opening balances")
            await seed.seed(self.world, self.credentials, self._places(ledgers, registries))
            self.directory.write(self.directory.seeded.name, b"")
        between = self._options.between
        urls = between(ledgers) if between else ledgers
        gateway = await self._start_gateways(urls, registries)
        await self._heard_of_all()
        ready = Ready(
            gateway=gateway,
            bic=self.world.gateway.bic,
            metrics=self._metrics,
            ledgers=ledgers,
            members=str(self.directory.members),
            registries=registries,
        )
        self.directory.announce(ready)
        return ready

    async def run(self) -> None:
        """Return when it is stopped; SupervisorError when something cannot be kept up."""
        runs = [asyncio.create_task(part.run()) for part in (self._front, self._base)]
        try:
            done, _ = await asyncio.wait(runs, return_when=asyncio.FIRST_COMPLETED)
            for run in done:
                run.result()
        finally:
            for run in runs:
                run.cancel()
            await asyncio.gather(*runs, return_exceptions=True)

    async def stop(self) -> None:
        """Stop the gateway, then the ledgers, then the databases; nothing is left running."""
        try:
            await self._front.stop()
        finally:
            await self._base.stop()

    async def _start_databases(self) -> None:
        wanted = (*credentials.processes(self.world), GATEWAY)
        names = [name for name in wanted if name not in self._dsns]
        if names:
            self._say(f"starting {len(names)} databases in {self.directory.path}/postgres")
        await all_of(self._start_database(name) for name in names)

    async def _start_database(self, name: str) -> None:
        cluster = Cluster(self.directory.cluster(name))
        await self._base.start_cluster(f"database of {name}", cluster)
        await cluster.create_database(DATABASE)
        self._dsns[name] = cluster.dsn(DATABASE)

    async def _start_ledgers(self) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        """Where each ledger is (of a network its first node), and the nodes of each network."""
        self._say(f"starting the ledgers {', '.join(self.world.ledgers)}")
        started: dict[str, str] = {}
        registries: dict[str, dict[str, str]] = {}

        async def start(name: str) -> None:
            if self.world.ledgers[name].registries:
                registries[name] = await self._start_network(name)
                started[name] = next(iter(registries[name].values()))
                return
            settings = arrangement.ledger_process(
                self.world, self.directory, self.credentials, name, self._dsns[name]
            )
            arrangement.write(self.directory, name, settings)
            started[name] = await self._start_service(self._base, "ledger", name)

        await all_of(start(name) for name in self.world.ledgers)
        return {name: started[name] for name in self.world.ledgers}, registries

    async def _start_network(self, ledger: str) -> dict[str, str]:
        """The log of a network, then the nodes of its registries, by registry."""
        ports = arrangement.free_ports(LOOPBACK)
        log = arrangement.log_process(self.world, self.directory, self.credentials, ledger, ports)
        config = arrangement.write(self.directory, log.server.name, log)
        program = (*_program("icsd-log", config), "--lifeline")
        await self._base.start(Service(name=log.server.name, argv=program))
        nodes = credentials.nodes(self.world, ledger)
        # Each node is told where the others are before any of them runs.
        bound = {
            registry: self._bind(self._base, "icsd-node", name) for registry, name in nodes.items()
        }
        urls = {registry: _urls(child)[0] for registry, child in bound.items()}

        async def start(registry: str, name: str) -> None:
            settings = arrangement.node_process(
                self.world,
                self.directory,
                self.credentials,
                ledger,
                registry,
                self.names[ledger, registry],
                ports,
                self._dsns[name],
                [url for other, url in urls.items() if other != registry],
            )
            arrangement.write(self.directory, name, settings)
            await self._base.start_bound(bound[registry])
            self._metrics[name] = _urls(bound[registry])[1]

        await all_of(start(registry, name) for registry, name in nodes.items())
        return urls

    def _places(
        self, ledgers: Mapping[str, str], registries: Mapping[str, Mapping[str, str]]
    ) -> dict[str, list[seed.Place]]:
        """Where the opening of each ledger is done, and by whom."""
        tokens = self.credentials
        places = seed.places(ledgers, tokens.ledger_operators)
        for ledger, nodes in registries.items():
            places[ledger] = [
                seed.Place(
                    url=url,
                    operator=tokens.registries[network.service_name(ledger, registry)],
                    registry=registry,
                    owners={
                        bic: shown for shown, bic in self.names[ledger, registry].owners.items()
                    },
                )
                for registry, url in nodes.items()
            ]
        return places

    async def _start_gateways(
        self, ledgers: Mapping[str, str], registries: Mapping[str, Mapping[str, str]]
    ) -> str:
        """Start every replica; the address of the first."""
        names = arrangement.replicas(self.world)
        self._say(f"starting {', '.join(names)}")
        urls = {}
        for number, replica in enumerate(names):
            settings = arrangement.gateway_process(
                self.world,
                self.directory,
                self.credentials,
                ledgers,
                registries=registries,
                replica=replica,
                dsn=self._dsns[GATEWAY],
                business_date=self._options.business_date,
            )
            settings = arrangement.on_one_machine(settings)
            arrangement.write(self.directory, replica, settings)
            port = self._options.port if number == 0 else 0
            urls[replica] = await self._start_service(self._front, GATEWAY, replica, port)
        return urls[names[0]]

    async def _heard_of_all(self) -> None:
        """Wait until the gateway has heard of every ledger, so that the first message sent is not
        told to come again later; not for ever, because a ledger may stay away."""
        url = f"{self._metrics[GATEWAY]}/readyz"
        with suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(HEARD_SECONDS), aiohttp.ClientSession() as session:
                while True:
                    async with session.get(url) as response:
                        if response.status == 200:
                            return
                    await asyncio.sleep(POLL_SECONDS)
        self._say("the gateway has not heard of every ledger yet")

    async def _start_service(
        self, supervisor: Supervisor, command: str, name: str, port: int = 0
    ) -> str:
        """Start a service whose configuration is written; its address."""
        bound = self._bind(supervisor, command, name, port)
        await supervisor.start_bound(bound)
        url, self._metrics[name] = _urls(bound)
        return url

    def _bind(self, supervisor: Supervisor, command: str, name: str, port: int = 0) -> Child:
        """The sockets of a service, which reads its configuration when it is started."""
        config = arrangement.configuration(self.directory, name)
        descriptors = ("--fd", "{fd0}", "--metrics-fd", "{fd1}", "--lifeline")
        service = Service(
            name=name,
            argv=(*_program(command, config), *descriptors),
            listen=((LOOPBACK, port), (LOOPBACK, 0)),
        )
        return supervisor.bind(service)


def _urls(bound: Child) -> tuple[str, str]:
    """Where a service is, and where its metrics."""
    url, metrics = (f"http://{host}:{port}" for host, port in bound.addresses)
    return url, metrics


def _program(command: str, config: Path) -> tuple[str, ...]:
    return (sys.executable, "-m", "gateway.cli", command, "--config", str(config))


@asynccontextmanager
async def running(options: Options, say: Say) -> AsyncIterator[tuple[Machine, Ready]]:
    """A machine that is ready, for as long as the block runs. Raises one of FAULTS."""
    directory = DataDirectory(options.data)
    directory.hold()
    try:
        machine = Machine(options, directory, say)
        try:
            yield machine, await machine.start()
        finally:
            await machine.stop()
    finally:
        directory.release()


def settled_world(options: Options, directory: DataDirectory) -> World:
    """The world of a data directory: fixed by its first start."""
    found = _the_world(options, directory)
    kept = int(directory.registries.read_text()) if directory.registries.exists() else None
    count = options.registries or kept
    if options.registries is not None and directory.seeded.exists() and kept != count:
        raise DataDirectoryError(
            f"{directory.path} was made with {kept or 'all'} registries; leave out --registries, "
            "or give another directory with --data"
        )
    if count is None:
        return found
    narrower = network.narrowed(found, count)
    directory.write(directory.registries.name, str(count).encode())
    return narrower


def _the_world(options: Options, directory: DataDirectory) -> World:
    if options.world is None and directory.world.exists():
        return world.load(directory.world)
    default = world.DEFAULT if options.registries is None else world.NETWORK
    path = world.find(options.world or default)
    found = world.load(path)
    if not directory.world.exists():
        directory.write(directory.world.name, path.read_bytes())
    elif world.load(directory.world) != found:
        raise DataDirectoryError(
            f"{directory.path} was made with another world than {path}; "
            "leave out --world, or give another directory with --data"
        )
    return found


def _adjusted(found: World, options: Options) -> World:
    """The world with what its runner departs from it in."""
    gateway = msgspec.structs.replace(
        found.gateway,
        limits=options.limits or found.gateway.limits,
        matching=options.matching or found.gateway.matching,
    )
    return msgspec.structs.replace(found, gateway=gateway)


def _own_databases(found: World, options: Options) -> dict[str, str]:
    """The databases that are not embedded: from the caller, else from the world."""
    known = (*credentials.processes(found), GATEWAY)
    for name in options.dsns:
        if name not in known:
            raise ConfigurationError(f"--dsn {name}: expected one of {', '.join(known)}")
    named = {name: ledger.dsn for name, ledger in found.ledgers.items()}
    named |= {
        network.service_name(ledger, name): registry.dsn
        for ledger, spec in found.ledgers.items()
        for name, registry in spec.registries.items()
    }
    named[GATEWAY] = found.gateway.dsn
    return {name: dsn for name, dsn in named.items() if dsn is not None} | dict(options.dsns)
