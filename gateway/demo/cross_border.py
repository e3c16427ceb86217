"""Runs the cross-border demonstration: four registries, one book, one of them killed in between.

Custodians of four countries instruct by sese.023; the securities leg settles on the network of the
registries, the cash leg on one of two currencies. Half way through the node of one registry is
killed. In the end a light client, which believes nobody, compares the registries' chains block by
block and has every holding proved by another registry than its own; and then one registry's
database is altered behind its back, to see that this is found.
"""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg
import msgspec
from msgspec.structs import replace

from gateway.client import GatewayClient, Rejected
from gateway.config import read
from gateway.demo import cross_border_trades as plan
from gateway.demo.cross_border_trades import LEDGER, Expected, Trade
from gateway.demo.trades import BUSINESS_DATE
from gateway.embedded import temporary_directory
from gateway.icsd_node.client import RegistryClient
from gateway.icsd_node.settings import NodeProcess
from gateway.machine import processes
from gateway.machine.data_directory import Ready
from gateway.machine.ledger_client import LedgerClient
from gateway.machine.network import service_name
from gateway.machine.up import Machine, Options, Say, running
from gateway.machine.world import World
from gateway.statuses import told
from htlc.units import LedgerId
from ledgers.icsd.roots import Issuance
from ledgers.icsd.tree import ForgedProof
from protocols.iso20022.errors import RejectCode

TRADES: Final = 40
"""Enough that every registry delivers and receives, few enough for a minute on one machine."""

KILLED: Final = "KG"
"""Whose node is killed half way: the others are a quorum of three without it."""

ALTERED: Final = "AZ"
"""Whose database is altered in the end."""

PATIENCE_SECONDS: Final = 60.0
"""For every confirmation, and for the killed node to have caught up."""

POLL_SECONDS: Final = 0.1

BUSY: Final = RejectCode.XBSY.value

WORLD: Final = "cross-border"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One height as each registry tells it: block and state, as far as they agree."""

    height: int
    messages: int  # bundles of registries; 0 in a heartbeat
    blocks: dict[str, str]  # registry -> hash of the block
    states: dict[str, str]  # registry -> certified state root

    @property
    def is_equal(self) -> bool:
        return len(set(self.blocks.values())) == 1 and len(set(self.states.values())) == 1


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """A holding that one registry proved for a member of another."""

    expected: Expected
    by: str  # the registry that was asked
    held: int
    height: int
    signatures: int


class Alteration(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one that altered its own database, and of one that altered an answer."""

    account: str
    isin: str
    told: int  # by the registry whose database was altered
    proved: int  # by another one, certified by a quorum
    refusal: str  # what the light client said of an altered proof


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How it went."""

    world: World
    trades: Sequence[Trade]
    settled: int  # confirmations, two for each trade
    refused: tuple[str, ...]
    seconds: float  # from the first message to the last confirmation
    killed_at: int  # trades confirmed to both sides by then
    back_seconds: float  # from the kill until the node had all that is final
    rows: Sequence[Row]
    proofs: Sequence[Proof]
    issues: Sequence[Issuance]
    alteration: Alteration

    @property
    def faults(self) -> list[str]:
        """What is not as it must be; none if all is right."""
        found = list(self.refused)
        if self.settled != 2 * len(self.trades):
            found.append(f"{self.settled} confirmations, {2 * len(self.trades)} expected")
        found += [f"height {row.height} differs" for row in self.rows if not row.is_equal]
        found += [
            f"{p.expected.member} holds {p.held} of {p.expected.isin}, not {p.expected.quantity}"
            for p in self.proofs
            if p.held != p.expected.quantity
        ]
        if self.alteration.told == self.alteration.proved:
            found.append("the altered database was not found out")
        return found


async def run(say: Say, data: Path | None = None) -> Result:
    """All of it. `data` is kept if it is given. Raises one of `gateway.machine.up.FAULTS`."""
    directory = temporary_directory() if data is None else data
    options = Options(data=directory, world=WORLD, business_date=BUSINESS_DATE.isoformat())
    try:
        async with (
            running(options, say) as (machine, ready),
            aiohttp.ClientSession() as session,
        ):
            return await _Demonstration(session, machine, ready, say).run()
    finally:
        if data is None:
            shutil.rmtree(directory, ignore_errors=True)


class _Demonstration:
    """One run."""

    def __init__(
        self, session: aiohttp.ClientSession, machine: Machine, ready: Ready, say: Say
    ) -> None:
        self._session = session
        self._machine = machine
        self._say = say
        self._trades = plan.trades(machine.world, TRADES)
        self._gateways = {
            bic: GatewayClient(session, ready.gateway, token)
            for bic, token in machine.credentials.members.items()
        }
        self._urls = ready.registries[LEDGER]
        self._token = machine.credentials.gateway_operator
        self._nodes = {name: self._node(name, url) for name, url in self._urls.items()}
        self._settled = 0
        self._news = asyncio.Event()  # somebody was told something
        self._refused: list[str] = []

    def _node(self, registry: str, url: str) -> RegistryClient:
        network = self._settings(registry).network()
        return RegistryClient(self._session, url, self._token, LedgerId(LEDGER), network.epoch)

    def _settings(self, registry: str) -> NodeProcess:
        file = self._machine.directory.service(f"{service_name(LEDGER, registry)}.toml")
        return read(file, NodeProcess)

    async def run(self) -> Result:
        """The first thing that goes wrong is raised."""
        readers = [asyncio.create_task(self._read(bic)) for bic in self._gateways]
        try:
            began = time.monotonic()
            killed_at, killed = await self._trade()
            await self._until(lambda: self._settled >= 2 * TRADES)
            seconds = time.monotonic() - began
            rows = await self._compare()
            return Result(
                world=self._machine.world,
                trades=self._trades,
                settled=self._settled,
                refused=tuple(self._refused),
                seconds=seconds,
                killed_at=killed_at,
                back_seconds=time.monotonic() - killed,
                rows=rows,
                proofs=await self._prove(),
                issues=[await self._nodes[ALTERED].issue(isin) for isin in self._isins()],
                alteration=await self._alter(),
            )
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)

    def _isins(self) -> list[str]:
        return sorted(self._machine.world.ledgers[LEDGER].assets)

    # --- the trades -------------------------------------------------------------------------------

    async def _trade(self) -> tuple[int, float]:
        """Send all; in the middle kill a node. Trades settled by then, and when it was."""
        self._say(f"{TRADES} trades between custodians of four countries")
        half = TRADES // 2
        await self._send(self._trades[:half])
        await self._until(lambda: self._settled >= half)
        pid = processes.with_argument(
            str(self._machine.directory.service(f"{service_name(LEDGER, KILLED)}.toml"))
        )
        assert pid is not None, "it is kept alive"
        self._say(f"killing the node of {KILLED} (SIGKILL)")
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        await self._send(self._trades[half:])
        return self._settled // 2, killed

    async def _send(self, trades: Sequence[Trade]) -> None:
        written = plan.messages(self._machine.world, self._trades)
        wanted = {trade.id for trade in trades}

        async def send(bic: str) -> None:
            for trade, (_, text) in zip(self._of(bic), written[bic], strict=True):
                if trade.id in wanted:
                    await self._instruct(bic, trade, text.encode())

        await asyncio.gather(*(send(bic) for bic in written))

    async def _instruct(self, bic: str, trade: Trade, message: bytes) -> None:
        """Send one message, again while the gateway is busy: just started, it may not have heard
        of every ledger yet."""
        [answer] = await self._gateways[bic].send(message)
        while isinstance(answer, Rejected) and answer.code == BUSY:
            await asyncio.sleep(POLL_SECONDS)
            [answer] = await self._gateways[bic].send(message)
        if isinstance(answer, Rejected):
            self._refused.append(f"{bic} {trade.id}: {answer.description}")

    def _of(self, bic: str) -> list[Trade]:
        """A member's trades, in the order of its messages."""
        return [trade for trade in self._trades if bic in (trade.seller, trade.buyer)]

    async def _read(self, bic: str) -> None:
        """One custodian's mailbox: counts confirmations, keeps refusals."""
        async for message in self._gateways[bic].follow():
            assert isinstance(message.xml, str), "all of it is ISO 20022"
            status = told(message.xml)
            self._settled += status.settled is not None
            if status.processing == "Rjctd":
                self._refused.append(f"{bic} {message.related}: {status}")
            self._news.set()

    async def _until(self, met: Callable[[], bool]) -> None:
        """Wait until so much has been told, or something was refused, or patience ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not met() and not self._refused:
                    self._news.clear()
                    await self._news.wait()

    # --- the views --------------------------------------------------------------------------------

    async def _compare(self) -> list[Row]:
        """Every height, as each registry tells it and a light client has checked it."""
        heights = [await self._reached(node) for node in self._nodes.values()]
        through = min(heights)
        self._say(f"comparing the registries at {through} heights")
        chains = {name: await node.chain(through) for name, node in self._nodes.items()}
        return [
            Row(
                height=height,
                messages=chains[KILLED][height - 1].header.count,
                blocks={n: c[height - 1].header.hash.hex() for n, c in chains.items()},
                states={
                    n: c[height - 1].certificate.statement.state.hex() for n, c in chains.items()
                },
            )
            for height in range(1, through + 1)
        ]

    async def _reached(self, node: RegistryClient) -> int:
        """The node's final height, once it has come to where another one is now."""
        wanted = await self._nodes[ALTERED].final()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (final := await node.final()) < wanted and time.monotonic() < deadline:  # noqa: ASYNC110 - another process
            await asyncio.sleep(POLL_SECONDS)
        return final

    async def _prove(self) -> list[Proof]:
        """Every holding, proved by a registry that is not its home."""
        proofs = []
        turns = cycle(self._nodes)
        for wanted in plan.expected(self._machine.world, self._trades):
            by = next(name for name in turns if name != wanted.registry)
            proved = await self._nodes[by].holding(wanted.account, wanted.isin)
            block = proved.block
            proofs.append(
                Proof(
                    expected=wanted,
                    by=by,
                    held=proved.balance.available + proved.balance.locked,
                    height=block.header.height,
                    signatures=len(block.certificate.signatures),
                )
            )
        return proofs

    # --- the lie ----------------------------------------------------------------------------------

    async def _alter(self) -> Alteration:
        """Give somebody a million in the database of one registry, and in an answer of it."""
        wanted = next(
            each
            for each in plan.expected(self._machine.world, self._trades)
            if each.registry == ALTERED
        )
        self._say(f"altering the database of {ALTERED} behind its back")
        dsn = self._settings(ALTERED).dsn
        await _add(dsn, wanted, 100_000_000)
        try:
            ledger = LedgerClient(self._session, self._urls[ALTERED], self._token)
            [view] = [v for v in await ledger.accounts() if v.account == wanted.account]
            held = {h.asset: int(h.available) + int(h.locked) for h in view.holdings}
            proved = await self._nodes[KILLED].holding(wanted.account, wanted.isin)
            refusal = await self._forge(wanted)
        finally:
            await _add(dsn, wanted, -100_000_000)
        return Alteration(
            account=wanted.account,
            isin=wanted.isin,
            told=held[wanted.isin],
            proved=proved.balance.available + proved.balance.locked,
            refusal=refusal,
        )

    async def _forge(self, wanted: Expected) -> str:
        """What the light client says of an answer in which the quantity was changed."""
        node = self._nodes[ALTERED]
        answer = await node.holding_told(wanted.account, wanted.isin)
        more = (wanted.quantity + 100_000_000).to_bytes(8, "big") + bytes(8)
        end = answer.proof.way.end
        assert end is not None, "it holds something"
        way = replace(answer.proof.way, end=replace(end, content=more.hex()))
        forged = replace(answer, proof=replace(answer.proof, way=way))
        try:
            node.checked(forged, wanted.account, wanted.isin)
        except ForgedProof as error:
            return str(error)
        raise AssertionError("a forged proof was believed")


async def _add(dsn: str, wanted: Expected, quantity: int) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "UPDATE balances SET available = available + $3 WHERE account = $1 AND asset = $2",
            wanted.account,
            wanted.isin,
            quantity,
        )
    finally:
        await connection.close()
