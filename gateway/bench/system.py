"""The system under test on this machine: a `lockstep up`, of our own or one that runs already.

Everything is read from its data directory, so both are looked at in the same way: the processes are
found by their configuration files, the databases in these, members and tokens in members.json.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg
import msgspec

from gateway import access, config
from gateway.access import Members
from gateway.bench import lanes
from gateway.bench.lanes import Balances
from gateway.bench.plan import Flow, Member, Shape, Site
from gateway.client import GatewayClient
from gateway.config import Settings
from gateway.http import wire
from gateway.machine import processes as cpu
from gateway.machine.credentials import GATEWAY_OPERATOR
from gateway.machine.data_directory import DataDirectory, Ready
from gateway.machine.ledger_client import LedgerClient
from gateway.process.ledger import LedgerProcess
from htlc.units import LedgerId
from ledgers.block import Seal
from ledgers.views import AccountViewJson

GATEWAY: Final = "gateway"
LEDGERS: Final = "ledgers"
POSTGRESQL: Final = "PostgreSQL"
LOAD: Final = "load generator"
GROUPS: Final = (GATEWAY, LEDGERS, POSTGRESQL)
"""The system under test; the load generator is no part of it."""

FAULTS_MAX: Final = 20
"""Of the books, told one by one: one is enough to fail."""

HEAR_SECONDS: Final = 0.1
HEAR_TIMES_MAX: Final = 300
"""A gateway asks its ledgers what they are when it has started: half a minute is a fault."""


class BenchError(Exception):
    """The bench cannot measure, in one line."""


class Databases(msgspec.Struct, frozen=True, kw_only=True):
    """The DSN of each database: the gateway's, and each ledger's by its name."""

    gateway: str
    ledgers: Mapping[str, str]

    @property
    def all(self) -> tuple[str, ...]:
        return (self.gateway, *self.ledgers.values())

    @property
    def by_name(self) -> dict[str, str]:
        return {GATEWAY: self.gateway, **self.ledgers}


class System:
    """One system that is up, with its members as they were found."""

    def __init__(self, data: Path) -> None:
        """BenchError, or ConfigurationError, if nothing that can be measured runs there."""
        directory = DataDirectory(data)
        running = directory.running()
        if running is None or running.ready is None:
            raise BenchError(f"no `lockstep up` is ready in {data}")
        self.ready: Ready = running.ready
        self.members: Members = access.read(directory.members)
        self.settings = config.read(directory.service("gateway.toml"), Settings)
        self._directory = directory
        self.databases = Databases(
            gateway=self.settings.dsn,
            ledgers={
                name: config.read(directory.service(f"{name}.toml"), LedgerProcess).dsn
                for name in self.ready.ledgers
            },
        )

    # ------------------------------------------------------------------ processes

    async def processes(self) -> dict[str, tuple[int, ...]]:
        """The root processes, by the group and name of what they are: `PostgreSQL/registry`. Where
        one server has several databases, it stands under all their names."""
        replicas = [name for name in self.ready.metrics if name not in self.ready.ledgers]
        found: dict[str, tuple[int, ...]] = {}
        for group, names in ((GATEWAY, replicas), (LEDGERS, self.ready.ledgers)):
            found |= {f"{group}/{name}": (self._process(name),) for name in names}
        servers: defaultdict[int, list[str]] = defaultdict(list)
        for name, dsn in (("gateway", self.databases.gateway), *self.databases.ledgers.items()):
            servers[await postmaster(dsn)].append(name)
        return found | {f"{POSTGRESQL}/{'+'.join(v)}": (pid,) for pid, v in servers.items()}

    def _process(self, name: str) -> int:
        pid = cpu.with_argument(str(self._directory.service(f"{name}.toml")))
        if pid is None:
            raise BenchError(f"the process {name} does not run")
        return pid

    def seals(self) -> dict[str, Seal]:
        """What each ledger signs its blocks with."""
        found = {}
        for name in self.ready.ledgers:
            process = config.read(self._directory.service(f"{name}.toml"), LedgerProcess)
            found[name] = Seal(LedgerId(process.ledger), process.key())
        return found

    # ------------------------------------------------------------------ lanes

    async def site(self, shape: Shape, database: str | None) -> Site:
        """Where the load generator may trade. BenchError if there is nowhere."""
        found = await self._heard()
        members = self.settings.members
        try:
            market = lanes.Market(
                ledgers=lanes.ledgers(shape, found),
                members=self.members,
                held=await self.balances(),
                without_power=frozenset(m.bic for m in members if not m.power_of_attorney),
            )
            groups = market.groups()
        except lanes.Unfit as error:
            raise BenchError(str(error)) from None
        return Site(
            shape=shape,
            gateway=self.ready.gateway,
            bic=self.ready.bic,
            depository=self.settings.ledgers[market.ledgers[0].name].depository,
            business_date=self.settings.business_date or f"{datetime.now(UTC):%Y-%m-%d}",
            members=tuple(
                Member(bic=bic, token=member.token) for bic, member in self.members.members.items()
            ),
            groups=groups,
            hot=lanes.hot(groups),
            absent=market.absent(),
            database=database,
        )

    async def _heard(self) -> wire.LedgerList:
        """The gateway's ledgers, when it has heard what each of them keeps."""
        async with aiohttp.ClientSession() as session:
            token = self.members.operators[GATEWAY_OPERATOR].token
            gateway = GatewayClient(session, self.ready.gateway, token)
            for _ in range(HEAR_TIMES_MAX):
                found = await gateway.ledgers()
                if all(ledger.clock_at is not None for ledger in found.ledgers):
                    return found
                await asyncio.sleep(HEAR_SECONDS)
        raise BenchError("the gateway does not hear all of its ledgers")

    # ------------------------------------------------------------------ books

    async def balances(self) -> Balances:
        """What every account of a member holds; what is locked is counted in."""
        found: Balances = {}
        for ledger, account in await self._accounts():
            for holding in account.holdings:
                total = int(holding.available) + int(holding.locked)
                found[ledger, account.account, holding.asset] = total
        return found

    async def _accounts(self) -> list[tuple[str, AccountViewJson]]:
        """Of the members: there may be a million others."""
        token = self.members.operators[GATEWAY_OPERATOR].token
        async with aiohttp.ClientSession() as session:
            return [
                (ledger, account)
                for ledger, url in self.ready.ledgers.items()
                for bic in self.members.members
                for account in await LedgerClient(session, url, token).accounts(bic)
            ]

    async def faults(self, before: Balances, flows: list[Flow]) -> list[str]:
        """What the books show that the trades do not explain: per account, and in all."""
        moved: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        for flow in flows:
            moved[flow.ledger, flow.account, flow.asset] += flow.quantity
        after = await self.balances()
        found = [
            f"{key[1]} on {key[0]} holds {after.get(key, 0)} {key[2]}, expected {expected}"
            for key in before.keys() | moved.keys()
            if after.get(key, 0) != (expected := before.get(key, 0) + moved[key])
        ]
        for ledger, account in await self._accounts():
            found += [
                f"{account.account} on {ledger}: {holding.locked} {holding.asset} still locked"
                for holding in account.holdings
                if int(holding.locked)
            ]
        found += await self._not_conserved()
        left = len(found) - FAULTS_MAX
        return found if left <= 0 else [*found[:FAULTS_MAX], f"and {left} more like these"]

    async def _not_conserved(self) -> list[str]:
        token = self.members.operators[GATEWAY_OPERATOR].token
        async with aiohttp.ClientSession() as session:
            return [
                f"{ledger}: {position.asset} differs by {position.difference} from what was issued"
                for ledger, url in self.ready.ledgers.items()
                for position in await LedgerClient(session, url, token).conservation()
                if int(position.difference)
            ]


async def postmaster(dsn: str) -> int:
    """The postmaster of a database on this machine: the parent of our own backend."""
    connection = await asyncpg.connect(dsn)
    try:
        local = await connection.fetchval("SELECT inet_server_addr() IS NULL")
        backend = await connection.fetchval("SELECT pg_backend_pid()")
    finally:
        own = cpu.processes().get(backend) if local else None
        await connection.close()
    if own is None or own.name != "postgres":
        raise BenchError("a database is not on this machine: its CPU time cannot be measured")
    return own.parent
