"""sese.020 through the whole gateway: who may cancel when, and what both sides are told."""

import asyncio
from datetime import date
from pathlib import Path

import msgspec

from gateway import audit
from htlc.settlement import Phase
from htlc.units import LedgerId
from ledgers.port import Execute
from ledgers.queries import named_queries
from protocols.iso20022.instruction import Movement, SettlementInstruction, SettlementParties
from tests.gateway.requests import ask, cancellation, heard
from tests.gateway.systems import (
    BUYER,
    DEPOSITORY,
    ISIN,
    OPENING,
    SELLER,
    System,
    account,
    system,
    until,
)
from tests.gateway.test_instructions import both, instruction, message, send

AUDIT = named_queries(Path(audit.__file__).with_name("gateway.sql"))
RACES = 40
FINALS = ("Canc/CANI", "settled", "Rjctd")


async def finals(running: System, member: str) -> int:
    """Final notices of instructions; sese.027 comes beside them."""
    return sum(item in FINALS for item in await heard(running, member))


async def audited(running: System) -> None:
    """What the auditor asks of every instruction: one final notice if it is over, none else."""
    rows = await running.engine.pool.fetch(AUDIT["instructions"])
    assert rows
    for row in rows:
        assert row["finals"] == (1 if row["over"] else 0), row
        assert row["over"] or row["pair"] is None or row["going_on"], row


async def ends(running: System, member: str, word: str) -> bool:
    """Whether this is the last that a member has heard."""
    return (await heard(running, member))[-1] == word


async def test_an_account_that_stands_with_the_party_is_the_instruction_s(running: System) -> None:
    own = account("registry", SELLER)
    named = SettlementParties(depository=DEPOSITORY, party1=SELLER, account=own)
    at_party = instruction(Movement.DELI, safekeeping_account=None, delivering=named)
    nowhere = instruction(Movement.DELI, safekeeping_account=None, quantity="7")
    for item in (at_party, nowhere):
        await send(running, item)
        await ask(running, cancellation(item, account=own))
    wrong = instruction(Movement.DELI, safekeeping_account=None, delivering=named, quantity="9")
    await send(running, wrong)
    await ask(running, cancellation(wrong, account="OTHER"))
    assert await heard(running, SELLER) == [
        *["AckdAccptd Umtchd/CMIS", "027/Canc/CANI", "Canc/CANI"] * 2,
        "AckdAccptd Umtchd/CMIS",
        "027/Rjctd/SAFE",
    ]


async def test_an_instruction_alone_is_cancelled_at_once_and_bad_requests_are_refused(
    running: System,
) -> None:
    item = instruction(Movement.DELI)
    await send(running, item)
    first = await ask(running, cancellation(item, "CXL1"))
    again = await ask(running, cancellation(item, "CXL1"))  # a duplicate: nothing new
    assert again == [msgspec.structs.replace(taken, is_repeated=True) for taken in first]
    await ask(
        running,
        cancellation(item, "CXL2"),
        cancellation(item, tx="X"),
        cancellation(item, movement="RECE"),
    )
    await send(running, instruction(Movement.RECE))  # finds nobody
    assert await heard(running, SELLER) == [
        "AckdAccptd Umtchd/CMIS",
        "027/Canc/CANI",
        "Canc/CANI",
        "027/Dnd/DCAN",
        "027/Rjctd/REFE",
        "027/Rjctd/REFE",
    ]
    other = instruction(Movement.RECE, quantity="7")
    await running.desk.take_messages(BUYER, [message(other), cancellation(other, account="OTHER")])
    assert await heard(running, BUYER) == [
        "AckdAccptd Umtchd/CMIS",
        "AckdAccptd Umtchd/CMIS",
        "027/Rjctd/SAFE",
    ]
    await audited(running)


async def test_a_matched_pair_is_cancelled_when_both_ask_and_not_once_it_is_settled(
    running: System,
) -> None:
    deliver, receive = both(settlement_date=date(2036, 1, 4))
    await send(running, deliver)
    await send(running, receive)
    await ask(running, cancellation(deliver, "A1"), cancellation(deliver, "A2"))
    assert (await heard(running, SELLER))[2:] == ["027/PdgCxl/CONF", "027/PdgCxl/CONF"]
    assert (await heard(running, BUYER))[1:] == ["CxlReqd"]
    await ask(running, cancellation(receive), cancellation(receive))
    assert (await heard(running, SELLER))[4:] == ["027/Canc/CANI", "027/Canc/CANI", "Canc/CANI"]
    assert (await heard(running, BUYER))[2:] == ["027/Canc/CANI", "Canc/CANI", "027/Dnd/DCAN"]
    assert not len(running.engine.pending)
    assert await running.engine.pool.fetchval("SELECT count(*) FROM pending_pair") == 0

    deliver, receive = both()
    await send(running, deliver)
    await send(running, receive)
    await until(lambda: ends(running, SELLER, "settled"))
    await ask(running, cancellation(deliver))
    assert (await heard(running, SELLER))[-1] == "027/Dnd/DSET"
    assert await finals(running, SELLER) == await finals(running, BUYER) == 2
    await audited(running)


async def test_an_attempt_under_way_is_cancelled_before_commit_and_denied_after_it(
    running: System,
) -> None:
    """The bank takes no lock at first, then no execution: the two moments are held open."""
    bank = running.engine.links[LedgerId("bank")]
    lives = running.engine.runner.lives
    bank.trusted = False
    deliver, receive = both()
    await send(running, deliver)
    await send(running, receive)
    (id,) = lives
    await ask(running, cancellation(deliver))
    await ask(running, cancellation(receive))
    assert (await heard(running, BUYER))[-1] == "027/PdgCxl"
    rows = await running.engine.pool.fetch(
        "SELECT decision FROM journal WHERE settlement = $1 ORDER BY sequence", id
    )
    assert [row["decision"] for row in rows] == [None, None, "CANCEL"]  # before the answer
    await until(lambda: id not in lives)
    assert (await heard(running, SELLER))[-2:] == ["027/Canc/CANI", "Canc/CANI"]
    assert (await heard(running, BUYER))[-2:] == ["027/Canc/CANI", "Canc/CANI"]
    assert await running.balance("registry", SELLER, ISIN) == (OPENING[ISIN], 0)

    bank.trusted = True
    original = bank.put
    bank.put = lambda tasks: original(  # type: ignore[method-assign]
        [task for task in tasks if not isinstance(task.operation, Execute)]
    )
    deliver, receive = both()
    await send(running, deliver)
    await send(running, receive)
    (id,) = lives
    await until(lambda: lives[id].saved.phase is Phase.EXECUTING)
    await ask(running, cancellation(deliver))
    assert (await heard(running, SELLER))[-1] == "027/Dnd/DPRG"
    bank.put = original  # type: ignore[method-assign]
    lives[id].in_flight.clear()
    running.engine.runner.mark(lives[id])
    await until(lambda: ends(running, BUYER, "settled"))
    assert await finals(running, SELLER) == await finals(running, BUYER) == 2
    await audited(running)


async def test_a_request_of_one_side_is_answered_when_the_attempt_settles(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    """The bank's locks wait until one side has asked: that alone stops nothing."""
    async with system(dsns, tmp_path, lock_within_seconds=30.0) as made, made.gateway() as running:
        bank, lives = running.engine.links[LedgerId("bank")], running.engine.runner.lives
        original = bank.put
        bank.put = lambda tasks: None  # type: ignore[method-assign]
        deliver, receive = both()
        await send(running, deliver)
        await send(running, receive)
        await ask(running, cancellation(deliver))
        assert (await heard(running, SELLER))[-1] == "027/PdgCxl/CONF"
        bank.put = original  # type: ignore[method-assign]
        (live,) = lives.values()
        live.in_flight.clear()
        running.engine.runner.mark(live)
        await until(lambda: not lives)
        assert (await heard(running, SELLER))[-2:] == ["027/Dnd/DSET", "settled"]
        assert (await heard(running, BUYER))[-2:] == ["CxlReqd", "settled"]


async def test_one_sided_requests_outlive_attempts_and_restarts(running: System) -> None:
    """A side asks while the pair lacks securities: the next attempt carries the request, and its
    end answers it."""
    much = str(OPENING[ISIN] + 1)
    deliver, receive = both(quantity=much)
    await send(running, deliver)
    await send(running, receive)

    async def waits() -> bool:
        return "Mtchd Pdg/LACK" in await heard(running, SELLER)

    await until(waits)
    await until(lambda: len(running.engine.pending))
    await ask(running, cancellation(deliver))
    (id,) = running.engine.pending
    running.engine.pending._try(id)
    await until(lambda: running.engine.runner.lives)
    (live,) = running.engine.runner.lives.values()
    assert live.state.cancel_by == {SELLER}
    await until(lambda: not running.engine.runner.lives)
    await ask(running, cancellation(receive))
    assert (await heard(running, SELLER))[-2:] == ["027/Canc/CANI", "Canc/CANI"]
    assert (await heard(running, BUYER))[-2:] == ["027/Canc/CANI", "Canc/CANI"]


async def test_cancellation_races_settlement_and_each_pair_ends_one_way(running: System) -> None:
    """Both sides ask while their pairs settle, at every moment of it: whatever the journal took
    first holds, for both sides alike, and every request has one final answer."""
    pairs = [both(quantity=str(n + 1)) for n in range(RACES)]

    async def one(n: int, deliver: SettlementInstruction, receive: SettlementInstruction) -> None:
        await asyncio.gather(send(running, deliver), send(running, receive))
        await asyncio.sleep(n * 0.002)  # a settlement takes some 40 ms
        await asyncio.gather(
            ask(running, cancellation(deliver)), ask(running, cancellation(receive))
        )

    for start in range(0, RACES, 5):  # few at a time: intake gathers what comes together
        wave = enumerate(pairs[start : start + 5], start)
        await asyncio.gather(*(one(n, *pair) for n, pair in wave))
    await until(lambda: not running.engine.runner.lives)
    await audited(running)
    assert await running.engine.pool.fetchval("SELECT count(*) FROM cancellation") == 0
    sold, bought = await heard(running, SELLER), await heard(running, BUYER)
    for word in ("settled", "Canc/CANI"):
        assert sold.count(word) == bought.count(word)
    assert await finals(running, SELLER) == RACES
    for said in (sold, bought):
        answers = [item for item in said if item.startswith(("027/Canc", "027/Dnd"))]
        assert len(answers) == RACES
        assert said.count("027/Canc/CANI") == said.count("Canc/CANI")
    for ledger, asset in (("registry", ISIN), ("bank", "EUR")):
        held = [await running.balance(ledger, member, asset) for member in (SELLER, BUYER)]
        assert [locked for _, locked in held] == [0, 0]
        assert sum(available for available, _ in held) == 2 * OPENING[asset]
