"""What messages cost: CPU microseconds of each kind read and written, of matching and mailboxes;
time and memory of a large statement and its reconciliation. It is no test; it prints tables. Run
it: `python -m tests.gateway.measure_messages`, for some minutes; with `codecs`, `matching`,
`mailbox` or `statement` after it, only that.

CPU time, not elapsed: the machine may be busy with other things. `server` is PostgreSQL's part.
"""

import asyncio
import contextlib
import re
import sys
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.ids import new_id
from gateway.journal import QUERIES, deliver
from gateway.pairs import notice_to
from gateway.port import StatementWanted, Taken
from htlc.units import AccountId, AssetId, Quantity
from ledgers.administration import DefineInstrument
from ledgers.port import Issue
from ledgers.securities import security
from protocols import matching
from protocols.iso20022 import envelope, inbound, render
from protocols.iso20022.advice import Outbound
from protocols.iso20022.header import Header
from protocols.iso20022.instruction import Movement
from tests import postgres
from tests.gateway.systems import ISIN, ISSUER, OPERATOR, SELLER, System, account, system
from tests.gateway.test_instructions import instruction, message
from tests.ledgers.measure import own_cpu, server_cpu
from tests.protocols import samples

READ: Final = {
    "sese.023.001.11": "sese.023-deliver.xml",
    "sese.020.001.07": "sese.020-cancel-request.xml",
    "sese.030.001.09": "sese.030-release.xml",
    "fxtr.014.001.05": "fxtr.014-side-A.xml",
    "fxtr.016.001.05": "fxtr.016-cancel.xml",
    "pacs.009.001.08": "pacs.009-cash-leg.xml",
    "camt.050.001.05": "camt.050-liquidity-transfer.xml",
    "camt.056.001.08": "camt.056-payment-cancel-request.xml",
}
"""What members send, and an example of each."""

ROUNDS: Final = 8
CALLS: Final = 60
WAITING: Final = 100_000
POSITIONS: Final = 25_000
FUTURE: Final = date(2036, 1, 4)  # matched, and settles later: only matching is measured

CONFIRMATION: Final = samples.outbound()["sese.025-confirmation"]

_outbound = msgspec.json.Decoder(Outbound)
_encoder = msgspec.json.Encoder()


def say(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def cost(work: Callable[[], object]) -> float:
    """CPU microseconds of one call: the least of some rounds, for neighbours on the same core slow
    some of them."""
    rounds = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(CALLS):
            work()
        rounds.append((time.process_time() - begun) / CALLS * 1e6)
    return min(rounds)


# ---------------------------------------------------------------------- codecs


def codecs() -> None:
    """Each message read (parse, validate, decode), and each written."""
    say("read", "bytes", "parse µs", "validate µs", "decode µs")
    say(*["---"] * 5)
    for definition, file in READ.items():
        body = samples.message(samples.sample(file), definition)
        _row(definition, body)
        if b"SplmtryData" in body and file.startswith("sese.023"):
            _row(f"{definition}, plain", re.sub(rb"(?s)<SplmtryData>.*</SplmtryData>", b"", body))
    print()
    say("written", "bytes", "write µs", "stored and read again µs")
    say(*["---"] * 4)
    seen = set()
    for value in samples.outbound().values():
        definition = render.definition(value)
        if definition in seen:
            continue
        seen.add(definition)
        head = samples.reply_header(value)
        stored = _encoder.encode(value)
        say(
            definition,
            len(render.render(value, head)),
            f"{cost(lambda value=value, head=head: render.render(value, head)):.0f}",
            f"{cost(lambda value=value, stored=stored: _again(value, stored)):.0f}",
        )


def _row(name: str, body: bytes) -> None:
    (item,) = envelope.split(body)
    assert isinstance(item, envelope.Enveloped)
    say(
        name,
        len(body),
        f"{cost(lambda: envelope.split(body)):.0f}",
        f"{cost(lambda: envelope.validate(item)):.0f}",
        f"{cost(lambda: inbound.decode(item)):.0f}",
    )


def _again(value: Outbound, stored: bytes) -> None:
    _encoder.encode(value)
    _outbound.decode(stored)


# ---------------------------------------------------------------------- a whole gateway


@contextlib.asynccontextmanager
async def running(server: str) -> AsyncIterator[System]:
    """A gateway on fresh databases."""
    async with contextlib.AsyncExitStack() as stack:
        dsns = {
            name: await stack.enter_async_context(postgres.database(server, f"{name}_{new_id()}"))
            for name in ("registry", "bank", "gateway")
        }
        with tempfile.TemporaryDirectory() as home:
            async with system(dsns, Path(home)) as made, made.gateway() as work:
                yield work


async def spent(server: str, work: Callable[[], Awaitable[object]], count: int) -> tuple[str, str]:
    """CPU microseconds for each of `count`: this process, and PostgreSQL."""
    own, theirs = own_cpu(), server_cpu(server)
    await work()
    return (
        f"{(own_cpu() - own) / count * 1e6:.0f}",
        f"{(server_cpu(server) - theirs) / count * 1e6:.0f}",
    )


# ---------------------------------------------------------------------- matching


async def match(server: str) -> None:
    """Two sides, one request each, through intake: alone, and among 100,000 that wait."""
    say("matching", "own µs", "server µs")
    say(*["---"] * 3)
    count = 400
    async with running(server) as work:
        await _send(work, _pairs(50, "warm"))
        alone, among = _pairs(count // 2, "alone"), _pairs(count // 2, "among")
        own, theirs = await spent(server, lambda: _send(work, alone), count)
        say("an instruction, nothing waits", own, theirs)
        await _fill(work)
        await work.engine.pool.execute("ANALYZE instruction")
        await _send(work, _pairs(50, "warm again"))
        own, theirs = await spent(server, lambda: _send(work, among), count)
        say(f"an instruction, {WAITING:,} wait", own, theirs)


def _pairs(count: int, name: str) -> list[list[envelope.Enveloped]]:
    """Deliveries and their receipts, in batches of 50 from each side: all match."""
    base = 10_000_000 + hash(name) % 1000 * 1000  # quantities that nobody else has
    return [
        [
            message(instruction(movement, quantity=str(base + n), settlement_date=FUTURE))
            for n in range(start, min(start + 50, count))
        ]
        for start in range(0, count, 50)
        for movement in (Movement.DELI, Movement.RECE)
    ]


async def _send(work: System, batches: list[list[envelope.Enveloped]]) -> None:
    for batch in batches:
        taken = await work.desk.take_messages(batch[0].header.sender, batch)
        assert all(isinstance(each, Taken) for each in taken), taken[0]


async def _fill(work: System) -> None:
    """Instructions that nobody matches."""
    size = 5_000
    for start in range(0, WAITING, size):
        items = [
            instruction(
                Movement.DELI,
                quantity=str(start + n + 1),
                transaction_id=f"W{start + n}",
                settlement_date=FUTURE,
            )
            for n in range(size)
        ]
        keys = [matching.keys(item) for item in items]
        about = _encoder.encode(samples.reply_header(CONFIRMATION).related).decode()
        await work.engine.pool.execute(
            QUERIES["store_instructions"],
            [new_id() for _ in items],
            [item.sender for item in items],
            [item.transaction_id for item in items],
            [f"M{item.transaction_id}" for item in items],
            [time.time_ns()] * size,
            [key.a for key in keys],
            [key.b for key in keys],
            [None] * size,
            [False] * size,
            ["CMIS"] * size,
            [about] * size,
            [_encoder.encode(item).decode() for item in items],
        )


# ---------------------------------------------------------------------- mailboxes


async def mailbox(server: str) -> None:
    """Confirmations put in by 100 and by 1, read by 500 and written as messages."""
    say("mailbox", "own µs", "server µs")
    say(*["---"] * 3)
    async with running(server) as work:
        for size in (100, 1):
            await _append(work, size, size)  # warms plans and pages
            count = 2_000 if size > 1 else 300
            own, theirs = await spent(
                server, lambda size=size, count=count: _append(work, count, size), count
            )
            say(f"a message appended, {size} in a transaction", own, theirs)
        await _read(work)
        own, theirs = await spent(server, lambda: _read(work), 1_000)
        say("a message read, 500 in a request, and written as XML", own, theirs)


async def _append(work: System, count: int, size: int) -> None:
    for _ in range(0, count, size):
        notices = [notice_to(SELLER, CONFIRMATION, time.time_ns(), about=None) for _ in range(size)]
        async with work.engine.pool.acquire() as connection, connection.transaction():
            await deliver(connection, notices)


async def _read(work: System) -> None:
    after = 0
    for _ in range(2):
        for item in await work.desk.read(SELLER, after=after, limit=500):
            after = item.sequence
            value = _outbound.decode(item.content)
            render.render(value, _head(item.id, item.definition))


def _head(id: str, definition: str) -> Header:
    return msgspec.structs.replace(
        samples.reply_header(CONFIRMATION),
        business_message_id=id.replace("-", ""),
        definition=definition,
    )


# ---------------------------------------------------------------------- statements


async def statement(server: str) -> None:
    """25,000 positions: stated, read, reconciled. Memory is what Python allocated at most, of the
    gateway and of the ledger's service beside it in this process."""
    say("statement of 25,000 positions", "own ms", "server ms", "memory at most, MB")
    say(*["---"] * 4)
    async with running(server) as work:
        await _issue(work)
        service = work.engine.reconciliation
        facts = 2 * POSITIONS + 1
        await _measured(
            server, "reconciled for the first time", lambda: _reconcile(service, afresh=True)
        )
        await _measured(server, "reconciled again", lambda: _reconcile(service, afresh=False))
        await _measured(server, "made (101 pages of 250)", lambda: _state(work))
        await _measured(server, "read and written as XML, by 2 MB", lambda: _read_all(work))
        print(f"\n({facts:,} postings in the first run)")


async def _issue(work: System) -> None:
    registry = work.ledgers["registry"]
    isins = [isin for n in range(POSITIONS) if (isin := _isin(n)) != ISIN]
    for start in range(0, len(isins), 200):
        part = isins[start : start + 200]  # within the deadline of a ledger on a busy machine
        acts = [DefineInstrument(instrument=_security(isin)) for isin in part]
        assert not any(await registry.administer(OPERATOR, acts))
        issues = [
            Issue(
                id=f"{isin}-{n}",
                account=AccountId(account("registry", SELLER)),
                asset=AssetId(isin),
                quantity=Quantity(1_000 + n),
            )
            for isin in part
            for n in range(2)
        ]
        answers = await registry.as_principal(ISSUER).apply(issues)
        assert all(getattr(answer, "refusal", "unknown") is None for answer in answers)


def _isin(n: int) -> str:
    eleven = f"XS{n:09d}"
    digits = "".join(str(int(c, 36)) for c in eleven)
    doubled = [int(d) * (2 if k % 2 == 0 else 1) for k, d in enumerate(reversed(digits))]
    return eleven + str(-sum(v // 10 + v % 10 for v in doubled) % 10)


def _security(isin: str) -> Any:
    return security(
        isin=isin,
        name="Bond",
        scale=0,
        quantity_type="FaceAmt",
        issuer=ISSUER.name,
        issuer_account=AccountId("issuer"),
    )


async def _measured(server: str, name: str, work: Callable[[], Awaitable[object]]) -> None:
    """Twice: for the time, and, which slows it down, for the memory."""
    own, theirs = await spent(server, work, 1)
    tracemalloc.start()
    tracemalloc.reset_peak()
    await work()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    say(name, f"{float(own) / 1e3:.0f}", f"{float(theirs) / 1e3:.0f}", f"{peak / 1e6:.0f}")


async def _reconcile(service: Any, *, afresh: bool) -> None:
    await service.ask(["registry"], afresh=afresh)
    while service.running:
        await asyncio.sleep(0.1)
    assert not service.failures, service.failures


async def _state(work: System) -> None:
    made = await work.engine.statements.state(SELLER, StatementWanted(kind="holdings"))
    assert isinstance(made, Sequence) and made[0].pages == 101, made


async def _read_all(work: System) -> None:
    after = 0
    while page := await work.desk.read(SELLER, after=after, limit=500):
        for item in page:
            after = item.sequence
            render.render(_outbound.decode(item.content), _head(item.id, item.definition))


async def whole(server: str, wanted: Sequence[str]) -> None:
    for name, measure in (("matching", match), ("mailbox", mailbox), ("statement", statement)):
        if not wanted or name in wanted:
            await measure(server)
            print()


def main() -> None:
    """The command."""
    wanted = sys.argv[1:]
    if not wanted or "codecs" in wanted:
        codecs()
        print()
    if wanted != ["codecs"]:
        with postgres.server() as server:
            asyncio.run(whole(server, wanted))


if __name__ == "__main__":
    main()
