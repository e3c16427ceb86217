"""Four registries as real processes: nodes, a PostgreSQL server for each, the servers of the log.

What dies is started again, as a supervisor would; faults are the campaign's (`registries.py`).
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import tomli_w
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.embedded import Cluster, temporary_directory
from gateway.machine.ledger_client import LedgerClient
from htlc.units import AccountId, AssetId, Quantity
from ledgers.access import token_digest
from ledgers.icsd.link import LinkLostError
from ledgers.icsd.log import LogUnreachable
from ledgers.icsd.store import Archived, decode_block
from ledgers.port import Answer, Issue, LedgerUnreachable
from ledgers.remote import RemoteLedger
from tests.ledgers.icsd.servers import LOOPBACK, MEMBERS, SEEDS, STREAM, Servers, free_ports
from tests.ledgers.worlds import EUR
from tests.system import mortal_node
from tests.system.registry_line import Line
from tests.system.registry_space import Space, spaces

ACCOUNTS = 8
"""Of each registry."""

FUNDS = 1_000_000
"""Of each account: no trade fails for want of it."""

BOND = AssetId("XS9990000010")
"""Kept by A like the currency; messages move it, because they speak of securities."""

CUSTODIANS = {"A": "HOLDDEFFXXX", "B": "HOLDFRPPXXX", "C": "HOLDKZKAXXX", "D": "HOLDUZ22XXX"}
DEPOSITORIES = {"A": "CSDADEFFXXX", "B": "CSDBFRPPXXX", "C": "CSDKKZKAXXX", "D": "CSDUUZ22XXX"}
"""BICs: of the holder, who sends messages at each registry, and of the registries."""

ROLES = {
    "operator": "ledger-operator",
    "issuer": "issuer",
    "holder": "owner",
    "gateway": "operator",
    "auditor": "supervisor",
}
START_SECONDS = 60.0

LAST_LINES = 12
"""Of a node's log in a report."""


def account(registry: str, number: int) -> AccountId:
    return AccountId(f"{registry}-{number}")


class Member:
    """One registry: its database, its lines to the log, its process."""

    def __init__(self, site: "Site", name: str, space: Space | None) -> None:
        self.name = name
        self.site = site
        self.space = space
        self._address = LOOPBACK if space is None else space.inside
        self.cluster = Cluster(site.directory / f"pg-{name}", durable=False)
        near = LOOPBACK if space is None else space.outside
        self.lines = [Line(url, near) for url in site.log.urls]
        self.monitors = [Line(server.monitor, near) for server in site.log.servers]
        self.process: asyncio.subprocess.Process | None = None
        self.lives = 0
        self.dies_at = site.directory / f"{name}.dies-at"
        self._port, self._metrics = free_ports(2)
        self._key = Ed25519PrivateKey.from_private_bytes(token_bytes(name))

    @property
    def public_key(self) -> str:
        return self._key.public_key().public_bytes_raw().hex()

    @property
    def url(self) -> str:
        return f"http://{self._address}:{self._port}"

    @property
    def metrics_url(self) -> str:
        return f"http://{self._address}:{self._metrics}"

    def as_(self, who: str) -> RemoteLedger:
        return RemoteLedger(self.site.session, self.url, who)

    def client(self, who: str) -> LedgerClient:
        return LedgerClient(self.site.session, self.url, who)

    async def keep_alive(self) -> None:
        """Run the node, again after each death, until cancelled."""
        file = self.site.directory / f"{self.name}.toml"
        file.write_text(tomli_w.dumps(self._configuration()))
        with (self.site.directory / f"{self.name}.log").open("ab") as said:
            while True:
                self.process = await asyncio.create_subprocess_exec(
                    *(() if self.space is None else self.space.command),
                    *(sys.executable, "-m", "tests.system.mortal_node"),
                    *("icsd-node", "--config", str(file)),
                    env={**os.environ, mortal_node.FILE: str(self.dies_at)},
                    stdout=said,
                    stderr=said,
                )
                self.lives += 1
                await self.process.wait()
                await asyncio.sleep(0.1)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)

    async def kill_at(self, point: str, seconds: float) -> bool:
        """Kill it where it comes to a point (`mortal_node`); whether it came there in time."""
        self.dies_at.write_text(point)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.dies_at.exists():
                    await asyncio.sleep(0.02)
                return True
        self.dies_at.unlink(missing_ok=True)
        return False

    async def keep_database(self) -> None:
        """Start the database again when it has died."""
        while True:
            await self.cluster.start()
            await self.cluster.wait()

    def kill_database(self) -> None:
        if (pid := self.cluster.postmaster_pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _configuration(self) -> dict[str, object]:
        home = self.site.directory
        (home / f"{self.name}.key").write_bytes(token_bytes(self.name))
        (home / f"{self.name}.seed").write_text(SEEDS[self.name])
        tls = self.site.log.tls
        paths = {} if tls is None else {name: str(getattr(tls, name)) for name in TLS_FILES}
        return {
            "ledger": "network",
            "dsn": self.cluster.dsn(),
            "key_file": str(home / f"{self.name}.key"),
            "tokens": [
                {"name": name, "role": role, "sha256": token_digest(name)}
                for name, role in ROLES.items()
            ],
            "listen": f"{self._address}:{self._port}",
            "metrics_listen": f"{self._address}:{self._metrics}",
            "registry": self.name,
            "messages": {
                "depositories": DEPOSITORIES,
                "members": [{"name": "holder", "bic": CUSTODIANS[self.name]}],
            },
            "registries": [
                {"name": each.name, "public_key": each.public_key}
                for each in self.site.members.values()
            ],
            "log": {
                "servers": [line.url for line in self.lines],
                "monitors": [line.url for line in self.monitors],
                "seed_file": str(home / f"{self.name}.seed"),
                **({"tls": paths} if paths else {}),
            },
        }

    async def archive(self) -> dict[int, Archived]:
        """Every block of its database."""
        connection = await asyncpg.connect(self.cluster.dsn())
        try:
            found = await connection.fetch("SELECT height, body FROM network_blocks")
        finally:
            await connection.close()
        return {row["height"]: decode_block(row["body"]) for row in found}

    async def chain(self) -> list[tuple[int, int, bytes]]:
        """Every posting: height, position, leaf."""
        connection = await asyncpg.connect(self.cluster.dsn())
        try:
            return [
                tuple(row)
                for row in await connection.fetch(
                    "SELECT height, position, leaf FROM postings ORDER BY height, position"
                )
            ]
        finally:
            await connection.close()


TLS_FILES = ("certificate", "key", "authority")


def token_bytes(name: str) -> bytes:
    """The secret key of a registry of the tests."""
    return name.encode().ljust(32, b"-")


class Site:
    """The four, and what they share."""

    def __init__(
        self, directory: Path, log: Servers, session: aiohttp.ClientSession, apart: list[Space]
    ) -> None:
        self.directory = directory
        self.log = log
        self.session = session
        self.members: dict[str, Member] = {}
        self.deaths = Counter[str]()  # of nodes, at points in the life of a message
        for number, name in enumerate(MEMBERS):
            self.members[name] = Member(self, name, apart[number] if apart else None)

    async def log_whole(self) -> None:
        """Wait until every server of the log has all of it."""
        async with asyncio.timeout(START_SECONDS):
            while not await self._is_log_whole():
                await asyncio.sleep(0.2)

    async def _is_log_whole(self) -> bool:
        if len(self.log.servers) == 1:
            return True
        try:
            info = await self._log_info()
        except (LinkLostError, LogUnreachable, TimeoutError, ValueError):
            return False
        cluster = info.get("cluster", {})
        replicas = cluster.get("replicas", [])
        return bool(cluster.get("leader")) and all(
            replica.get("current") and not replica.get("lag") for replica in replicas
        )

    async def _log_info(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(await self.log.administer(f"STREAM.INFO.{STREAM}"))
        return told

    async def states(self) -> str:
        """Of the log and each registry: whether it lives, what it says of itself, last words."""
        try:
            told = [str((await self._log_info()).get("cluster"))]
        except (LinkLostError, LogUnreachable, TimeoutError, ValueError) as error:
            told = [f"the log: {error!r}"]
        for member in self.members.values():
            try:
                async with self.session.get(f"{member.metrics_url}/readyz?verbose") as response:
                    told.append(f"{member.name}: {await response.text()}")
            except aiohttp.ClientError as error:
                told.append(f"{member.name}: {error}")
            told.append(str(await _head(member)))
            told += (self.directory / f"{member.name}.log").read_text().splitlines()[-LAST_LINES:]
        return "\n".join(told)

    async def furnish(self) -> None:
        """Accounts at every registry, and a currency and a bond that A keeps, issued to all."""
        first = self.members[MEMBERS[0]]
        for member in self.members.values():
            await member_serves(member)
            opened = [
                {"account": account(member.name, n), "owner": "holder"} for n in range(ACCOUNTS)
            ]
            await member.client("operator").administer("/v1/accounts", opened)
        reserves = {"account": f"{first.name}-reserves", "owner": "issuer"}
        register = {"account": f"{first.name}-register", "owner": "issuer"}
        await first.client("operator").administer("/v1/accounts", [reserves, register])
        currency = {"kind": "currency", "code": EUR, "scale": 2, "central_bank": "issuer"}
        await first.client("operator").administer(
            "/v1/instruments", [currency | {"reserves_account": reserves["account"]}]
        )
        security = {"kind": "security", "isin": BOND, "name": "B", "scale": 0, "issuer": "issuer"}
        security |= {"quantity_type": "Unit", "issuer_account": register["account"]}
        await first.client("operator").administer("/v1/instruments", [security])
        issues = [
            Issue(id=f"opening-{asset}-{a}", account=a, asset=asset, quantity=Quantity(FUNDS))
            for a in (account(name, n) for name in MEMBERS for n in range(ACCOUNTS))
            for asset in (EUR, BOND)
        ]
        answers = await first.as_("issuer").apply(issues)
        assert all(isinstance(a, Answer) and a.refusal is None for a in answers), answers


async def _head(member: Member) -> object:
    """Where its database stands."""
    try:
        connection = await asyncpg.connect(member.cluster.dsn(), timeout=5)
    except (OSError, asyncpg.PostgresError) as error:
        return error
    try:
        row = await connection.fetchrow(
            "SELECT step, height, final, position, (SELECT max(height) FROM certificates), "
            "(SELECT count(*) FROM outbox) FROM head"
        )
        return tuple(row)
    finally:
        await connection.close()


async def member_serves(member: Member, seconds: float = START_SECONDS) -> None:
    """Wait until the registry answers for the network."""
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(LedgerUnreachable):
                await member.as_("auditor").describe()
                return
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def site(log_servers: int, *, namespaces: bool = False) -> AsyncIterator[Site]:
    """Everything running and furnished; nothing of it is left at the end. With `namespaces` each
    node runs in a network of its own."""
    directory = temporary_directory()
    async with contextlib.AsyncExitStack() as stack:
        apart = await stack.enter_async_context(spaces(len(MEMBERS) if namespaces else 0))
        log = Servers(directory, log_servers, *(space.outside for space in apart))
        stack.callback(shutil.rmtree, directory)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        stack.push_async_callback(log.stop)
        await log.start()
        await log.make()
        made = Site(directory, log, session, apart)
        for member in made.members.values():
            for line in (*member.lines, *member.monitors):
                await stack.enter_async_context(line)
        databases = [member.cluster for member in made.members.values()]
        await asyncio.gather(*(cluster.start() for cluster in databases))
        for cluster in databases:
            stack.push_async_callback(cluster.stop)
        keeping = [
            asyncio.create_task(each)
            for member in made.members.values()
            for each in (member.keep_alive(), member.keep_database())
        ]
        stack.push_async_callback(_end, made, keeping)
        await made.furnish()
        yield made


async def _end(made: Site, keeping: list[asyncio.Task[None]]) -> None:
    for task in keeping:
        task.cancel()
    await asyncio.gather(*keeping, return_exceptions=True)
    for member in made.members.values():
        if member.process is not None and member.process.returncode is None:
            member.kill()
            await member.process.wait()
