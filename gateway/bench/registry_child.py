"""One registry of the bench: a node as in production, and beside it the load that it is given.

Orders come as JSON lines on standard input, reports leave as JSON lines on standard output:

    {"do":"furnish"}                         accounts and an instrument of its own, issued
    {"do":"load","rate":500,"seconds":5}     operations per second, evenly; reports latencies
    {"do":"heads"}                           where the node stands
"""

import asyncio
import gc
import random
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.process.life import GARBAGE_THRESHOLD
from htlc.hashlock import HashFunction
from htlc.units import SECOND, AccountId, AssetId, HtlcId, Instant, LedgerId, LegId, Quantity
from ledgers.administration import Act, DefineInstrument, OpenAccount
from ledgers.distribution import Distribution
from ledgers.hosted import Traits
from ledgers.icsd.epoch import Epoch, Member, RegistryId
from ledgers.icsd.hosted import RegistryLedger
from ledgers.icsd.link import Access
from ledgers.icsd.start import Identity, Network, registry
from ledgers.icsd.stream import JetStreamLog
from ledgers.instruments import Instrument
from ledgers.parties import Principal, Role
from ledgers.port import Answer, Issue, Lock, Operation, Terms, Transfer

ACCOUNTS: Final = 500
"""Of each registry, all funded by the first holder's transfers as the load goes on."""

CALL_SECONDS: Final = 0.01
"""Between two calls of the load: callers come a hundred times a second, each with a few."""

OPERATOR: Final = Principal(name="operator", role=Role.LEDGER_OPERATOR)
ISSUER: Final = Principal(name="issuer", role=Role.ISSUER)
HOLDER: Final = Principal(name="holder", role=Role.OWNER)

LOCK: Final = HashFunction().lock(bytes(32))
KEY_TO_CANCEL: Final = HashFunction().lock(bytes([1]) * 32)


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """One child; what all have in common is the same in each."""

    registry: RegistryId
    key: bytes
    seed: str  # of the log's user
    members: tuple[Member, ...]
    dsn: str
    servers: tuple[str, ...]
    stream: str
    round_trip: float  # seconds, simulated between the registry and the log


class Order(msgspec.Struct, frozen=True, kw_only=True):
    do: str
    rate: float = 0.0
    seconds: float = 0.0


class Report(msgspec.Struct, kw_only=True):
    """What an order has brought about."""

    registry: RegistryId
    done: int = 0
    failed: int = 0
    seconds: float = 0.0
    certified: list[float] = msgspec.field(default_factory=list)  # seconds, per call
    final: list[float] = msgspec.field(default_factory=list)
    height: int = 0
    root: str = ""
    blocks: int = 0
    entries: int = 0


class Recorder(Distribution):
    """Keeps every value, for percentiles."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []

    def observe(self, value: float) -> None:
        self.values.append(value)


@asynccontextmanager
async def distant(servers: Sequence[str], round_trip: float) -> AsyncIterator[Sequence[str]]:
    """The servers at the end of a long line: where to connect instead."""
    async with AsyncExitStack() as stack:
        if not round_trip:
            yield servers
            return
        yield [await _line(stack, server, round_trip / 2) for server in servers]


async def _line(stack: AsyncExitStack, server: str, seconds: float) -> str:
    host, _, port = server.removeprefix("nats://").rpartition(":")

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        far_source, far_sink = await asyncio.open_connection(host, int(port))
        both = _late(source, far_sink, seconds), _late(far_source, sink, seconds)
        with suppress(asyncio.CancelledError):  # the end of the process
            await asyncio.gather(*both, return_exceptions=True)

    line = await asyncio.start_server(carry, "127.0.0.1")
    stack.callback(line.close)
    return f"nats://127.0.0.1:{line.sockets[0].getsockname()[1]}"


async def _late(source: asyncio.StreamReader, sink: asyncio.StreamWriter, seconds: float) -> None:
    """Pass on what comes, in its order, after so many seconds."""
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while (packet := await under_way.get())[1]:
            await asyncio.sleep(packet[0] - time.monotonic())
            sink.write(packet[1])
        sink.close()

    delivering = asyncio.create_task(deliver())
    data = b"first"
    while data:
        data = await source.read(1 << 16)
        under_way.put_nowait((time.monotonic() + seconds, data))
    await delivering


def asset_of(name: str) -> AssetId:
    return AssetId(f"ISIN-{name}")


def account_of(name: str, number: int) -> AccountId:
    return AccountId(f"{name}-{number}")


class Child:
    """The registry and its load."""

    def __init__(self, configuration: Configuration, ledger: RegistryLedger) -> None:
        self._name = configuration.registry
        self._others = [m.registry for m in configuration.members if m.registry != self._name]
        self._ledger = ledger
        self._random = random.Random(self._name)  # the same load in every run

    async def obey(self, order: Order) -> Report:
        report = Report(registry=self._name)
        if order.do == "furnish":
            await self._furnish()
        elif order.do == "load":
            await self._load(order, report)
        node = self._ledger.node
        report.height, report.root = node.head.final, node.head.place.head.hex()
        report.blocks, report.entries = node.numbers.blocks, node.numbers.entries
        return report

    async def _furnish(self) -> None:
        name, asset = self._name, asset_of(self._name)
        counter = AccountId(f"{name}-issue")
        instrument = Instrument(
            asset=asset,
            name=asset,
            scale=0,
            quantity_type="Unit",
            issuer=ISSUER.name,
            counter=counter,
        )
        accounts = [account_of(name, number) for number in range(ACCOUNTS)]
        acts: list[Act] = [
            OpenAccount(account=counter, owner=ISSUER.name),
            *(OpenAccount(account=account, owner=HOLDER.name) for account in accounts),
            DefineInstrument(instrument=instrument),
        ]
        assert not any(await self._ledger.administer(OPERATOR, acts))
        issues = [
            Issue(id=f"{name}-{n}", account=account, asset=asset, quantity=Quantity(10**9))
            for n, account in enumerate(accounts)
        ]
        answers = await self._ledger.submit(ISSUER, issues)
        assert all(isinstance(a, Answer) and a.refusal is None for a in answers)

    async def _load(self, order: Order, report: Report) -> None:
        """Calls at fixed instants, whatever becomes of the earlier ones."""
        numbers = self._ledger.node.numbers
        certified, final = Recorder(), Recorder()
        numbers.certified_seconds, numbers.final_seconds = certified, final
        calls: list[asyncio.Task[None]] = []
        begun = time.monotonic()
        for sizes, at in _calls(order):
            await asyncio.sleep(max(0.0, begun + at - time.monotonic()))
            calls.append(asyncio.create_task(self._call(sizes, report)))
        await asyncio.gather(*calls)
        report.seconds = time.monotonic() - begun
        report.certified, report.final = certified.values, final.values

    async def _call(self, size: int, report: Report) -> None:
        answers = await self._ledger.submit(HOLDER, [self._operation() for _ in range(size)])
        done = sum(isinstance(answer, Answer) and answer.refusal is None for answer in answers)
        report.done += done
        report.failed += size - done

    def _operation(self) -> Operation:
        """Half domestic, 45 % across borders, 5 % locks."""
        draw = self._random.random()
        debit, credit = self._random.sample(range(ACCOUNTS), 2)
        payee = self._random.choice(self._others) if draw < 0.45 else self._name
        if draw < 0.95:
            return Transfer(
                id=str(uuid.UUID(int=self._random.getrandbits(128))),
                debit=account_of(self._name, debit),
                credit=account_of(payee, credit),
                asset=asset_of(self._name),
                quantity=Quantity(1),
            )
        return Lock(terms=self._terms(debit, credit))

    def _terms(self, debit: int, credit: int) -> Terms:
        return Terms(
            id=HtlcId(str(uuid.UUID(int=self._random.getrandbits(128)))),
            settlement=str(uuid.UUID(int=1)),  # type: ignore[arg-type]
            leg=LegId("SEC"),
            payer=account_of(self._name, debit),
            payee=account_of(self._others[0], credit),
            asset=asset_of(self._name),
            quantity=Quantity(1),
            execution_lock=LOCK,
            cancellation_lock=KEY_TO_CANCEL,
            lock_by=Instant(time.time_ns() + 600 * SECOND),
        )


def _calls(order: Order) -> Iterator[tuple[int, float]]:
    """How many operations each call has, and when it is due."""
    owed = 0.0
    for number in range(round(order.seconds / CALL_SECONDS)):
        owed += order.rate * CALL_SECONDS
        if owed >= 1:
            yield int(owed), number * CALL_SECONDS
            owed -= int(owed)


async def live(configuration: Configuration) -> None:
    """Run until standard input ends."""
    async with distant(configuration.servers, configuration.round_trip) as servers:
        await _serve(configuration, servers)


async def _serve(configuration: Configuration, servers: Sequence[str]) -> None:
    access = Access(name=configuration.registry, seed=configuration.seed)
    log = await JetStreamLog.open(servers, access, configuration.stream)
    network = Network(
        network=LedgerId("bench"),
        epoch=Epoch(number=1, members=configuration.members, start=1),
    )
    identity = Identity(
        registry=configuration.registry,
        key=Ed25519PrivateKey.from_private_bytes(configuration.key),
        clock=lambda: Instant(time.time_ns()),
    )
    async with registry(network, identity, configuration.dsn, log, Traits()) as ledger:
        running = asyncio.create_task(ledger.node.run())
        begun = time.monotonic()
        await ledger.node.serving()
        gc.freeze()
        gc.set_threshold(GARBAGE_THRESHOLD)  # as every service process does
        _say(Report(registry=configuration.registry, seconds=time.monotonic() - begun))
        child = Child(configuration, ledger)
        while line := await asyncio.to_thread(sys.stdin.readline):
            _say(await child.obey(msgspec.json.decode(line, type=Order)))
        running.cancel()
    await log.close()


def _say(report: Report) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(live(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Configuration)))
