"""pacs.009, pacs.002 and camt.054 through the whole gateway: who pays by order, and who is told."""

import contextlib
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import msgspec
import pytest

from gateway.port import Taken
from gateway.recalls import OVER
from htlc.contract import Answer
from htlc.units import AccountId, AssetId, LedgerId, Quantity, SettlementId
from ledgers.parties import Principal, Role
from ledgers.port import Transfer
from protocols.iso20022.advice import StatusAdvice
from protocols.iso20022.payment import CashEntry, PaymentStatus, RecallAnswer, Recalling
from tests.gateway.cash_messages import UETR, all_heard, payment, recall
from tests.gateway.requests import ask, cancellation
from tests.gateway.systems import (
    BUYER,
    DEALER,
    ISIN,
    OPENING,
    SELLER,
    System,
    account,
    system,
    until,
)
from tests.gateway.test_instructions import both, everything, message, send

PAID = ["002/ACSC", "054/DBIT/998.75", "settled"]


@contextlib.asynccontextmanager
async def ordering(made: System) -> AsyncIterator[System]:
    """A gateway whose buyer pays by its own orders."""
    members = tuple(
        msgspec.structs.replace(member, power_of_attorney=member.bic != BUYER)
        for member in made.settings.members
    )
    async with made.gateway(members=members) as running:
        yield running


@pytest.fixture
async def ordered(dsns: dict[str, str], tmp_path: Path) -> AsyncIterator[System]:
    async with system(dsns, tmp_path) as made, ordering(made) as running:
        yield running


async def ends(running: System, member: str, *words: str) -> bool:
    return (await all_heard(running, member))[-len(words) :] == list(words)


async def test_a_power_of_attorney_pays_and_both_sides_are_told_what_was_booked(
    running: System,
) -> None:
    deliver, receive = both(common_id="TRD-1")
    await send(running, deliver)
    await send(running, receive)
    await until(lambda: ends(running, BUYER, *PAID))
    assert await all_heard(running, BUYER) == ["AckdAccptd Mtchd", *PAID]
    assert (await all_heard(running, SELLER))[-2:] == ["054/CRDT/998.75", "settled"]
    status, debit = (await everything(running, BUYER))[-3:-1]
    credit = (await everything(running, SELLER))[-2]
    assert isinstance(status, PaymentStatus)
    assert isinstance(debit, CashEntry)
    assert isinstance(credit, CashEntry)
    assert status.payment.instruction_id == receive.transaction_id
    assert (status.payment.end_to_end_id, status.payment.message_id) == ("TRD-1", None)
    assert status.payment == debit.payment == credit.payment
    assert status.effective_at == debit.booked_at == credit.booked_at
    assert (debit.account, credit.account) == ("BANK-BUYRFR-0001", "BANK-SELADE-0001")
    assert debit.servicer_ref == credit.servicer_ref
    # Whoever needs no order and sends one is told that it would pay twice.
    await ask(running, payment(receive))
    assert await ends(running, BUYER, "002/RJCT/DUPL")


async def test_a_pair_waits_for_the_order_of_a_member_that_pays_itself(ordered: System) -> None:
    deliver, receive = both(common_id="TRD-1")
    await send(ordered, deliver)
    await send(ordered, receive)
    assert await ends(ordered, SELLER, "AckdAccptd Umtchd/CMIS", "Mtchd Pdg/CMON")
    assert await ends(ordered, BUYER, "AckdAccptd Mtchd Pdg/MONY")
    told = (await everything(ordered, BUYER))[-1]
    assert isinstance(told, StatusAdvice)
    assert told.settlement is not None
    assert told.settlement.reasons[0].text == "the payment order (pacs.009) is awaited"
    assert not ordered.engine.runner.lives
    await ask(
        ordered,
        payment(receive, amount="998.76"),
        payment(receive, creditor="DEALGB20XXX"),
        payment(receive, time="07:00:00Z"),
        payment(receive, instr=deliver.transaction_id, e2e="TRD-1"),
    )
    rejected = ("002/RJCT/AM09", "002/RJCT/RC04", "002/RJCT/TM01")
    await until(lambda: ends(ordered, BUYER, *rejected, "002/ACTC", "002/PDNG", *PAID))
    assert await ordered.balance("bank", SELLER, "EUR") == (OPENING["EUR"] + 998_75, 0)
    states = await ordered.engine.pool.fetch("SELECT state, pair IS NOT NULL AS used FROM payment")
    assert [tuple(row) for row in states] == [("SETTLED", True)]
    assert await ordered.engine.pool.fetchval("SELECT count(*) FROM pending_pair") == 0
    id = await ordered.engine.pool.fetchval("SELECT settlement FROM settlement")
    said = await ordered.desk.conversation(BUYER, SettlementId(str(id)))
    assert said is not None
    assert [item.definition[:8] for item in said].count("pacs.009") == 4


async def test_an_order_that_comes_first_pays_as_soon_as_the_trade_is_matched(
    ordered: System,
) -> None:
    deliver, receive = both()
    await ask(ordered, payment(receive, uetr=UETR))
    assert await all_heard(ordered, BUYER) == ["002/ACTC"]
    await ask(ordered, payment(receive, uetr=UETR), payment(receive, id="P2"))
    assert (await all_heard(ordered, BUYER))[1:] == ["002/RJCT/DUPL", "002/ACTC"]
    await send(ordered, receive)
    await send(ordered, deliver)
    await until(lambda: ends(ordered, BUYER, "Mtchd", "002/PDNG", *PAID))
    told = [item for item in await everything(ordered, BUYER) if isinstance(item, PaymentStatus)]
    assert {item.payment.uetr for item in told[3:]} == {UETR}
    assert told[-1].payment.message_id == "P9"


async def test_an_order_of_another_amount_is_rejected_when_the_trade_is_matched(
    ordered: System,
) -> None:
    deliver, receive = both()
    await ask(ordered, payment(receive, amount="1.00"))
    await send(ordered, receive)
    await send(ordered, deliver)
    assert await ends(ordered, BUYER, "002/RJCT/AM09", "Mtchd Pdg/MONY")
    await ask(ordered, payment(receive))
    await until(lambda: ends(ordered, BUYER, *PAID))


async def test_an_order_without_money_is_rejected_and_another_one_pays(ordered: System) -> None:
    deliver, receive = both(amount="99000000")
    await send(ordered, deliver)
    await send(ordered, receive)
    await ask(ordered, payment(receive))
    await until(lambda: ends(ordered, BUYER, "002/ACTC", "002/RJCT/AM04"))
    assert await ordered.engine.pool.fetchval("SELECT state FROM payment") == "REJECTED"
    gift = Transfer(
        id="gift",
        debit=AccountId(account("bank", DEALER)),
        credit=AccountId(account("bank", BUYER)),
        asset=AssetId("EUR"),
        quantity=Quantity(OPENING["EUR"]),
    )
    dealer = Principal(name=DEALER, role=Role.OWNER)
    (answer,) = await ordered.ledgers["bank"].as_principal(dealer).apply([gift])
    assert isinstance(answer, Answer)
    assert answer.refusal is None
    await until(lambda: not ordered.engine.runner.lives)  # the first attempt is over
    await ask(ordered, payment(receive))
    await until(
        lambda: ends(ordered, BUYER, "002/PDNG", "002/ACSC", "054/DBIT/99000000", "settled")
    )
    assert (await all_heard(ordered, BUYER)).count("AckdAccptd Mtchd Pdg/MONY") == 1


async def test_a_lack_of_securities_leaves_the_order_standing(ordered: System) -> None:
    deliver, receive = both(quantity="99000000")
    await send(ordered, deliver)
    await send(ordered, receive)
    await ask(ordered, payment(receive))
    await until(lambda: ends(ordered, SELLER, "Mtchd Pdg/LACK"))
    assert await ordered.engine.pool.fetchval("SELECT state FROM payment") == "OPEN"
    await ask(ordered, payment(receive))
    assert await ends(ordered, BUYER, "002/RJCT/DUPL")
    assert await ordered.balance("registry", SELLER, ISIN) == (OPENING[ISIN], 0)


async def test_a_future_pair_waits_for_its_date_and_a_cancelled_one_takes_its_order_along(
    ordered: System,
) -> None:
    deliver, receive = both(settlement_date=date(2036, 1, 4))
    await send(ordered, deliver)
    await send(ordered, receive)
    await ask(ordered, payment(receive))
    assert await ends(ordered, BUYER, "AckdAccptd Mtchd Pdg/FUTU", "002/ACTC")
    await ask(ordered, cancellation(deliver))
    await ask(ordered, cancellation(receive))
    assert await ends(ordered, BUYER, "002/RJCT/NARR", "027/Canc/CANI", "Canc/CANI")
    await ask(ordered, payment(receive))
    assert await ends(ordered, BUYER, "002/RJCT/NARR")


async def test_a_gateway_that_dies_while_it_pays_tells_the_same_once(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    async with system(dsns, tmp_path) as made:
        async with ordering(made) as running:
            running.engine.links[LedgerId("bank")].trusted = False  # the cash is not locked
            deliver, receive = both()
            await send(running, deliver)
            await send(running, receive)
            await ask(running, payment(receive, uetr=UETR))
            await until(lambda: running.engine.runner.lives)
        async with ordering(made) as running:
            await until(lambda: ends(running, BUYER, "002/ACTC", "002/PDNG", *PAID))
            assert await ends(running, SELLER, "054/CRDT/998.75", "settled")


async def test_an_order_is_recalled_while_nothing_is_locked_for_it(ordered: System) -> None:
    deliver, receive = both(settlement_date=date(2036, 1, 4))
    await ask(ordered, recall(receive), payment(receive, uetr=UETR), recall(receive))
    await ask(ordered, recall(receive), recall(receive, more="<OrgnlUETR>" + UETR + "</OrgnlUETR>"))
    two = recall(receive, more="</TxInf><TxInf>")
    await ask(ordered, two)
    assert await all_heard(ordered, BUYER) == [
        "029/RJCR/NOOR",
        "002/ACTC",
        "029/CNCL",
        *["029/RJCR/NARR"] * 3,
    ]
    await send(ordered, receive)
    await send(ordered, deliver)
    await ask(ordered, payment(receive), recall(receive))
    assert await ends(ordered, BUYER, "Mtchd Pdg/FUTU", "002/ACTC", "029/CNCL")


async def test_an_order_is_not_recalled_from_its_lock_on(ordered: System) -> None:
    link = ordered.engine.links[LedgerId("registry")]
    link.trusted = False  # the attempt stays under way
    deliver, receive = both()
    await send(ordered, deliver)
    await send(ordered, receive)
    await ask(ordered, payment(receive), recall(receive))
    assert await ends(ordered, BUYER, "002/ACTC", "029/RJCR/NARR")
    link.trusted = True
    await until(lambda: ends(ordered, BUYER, *PAID))
    await ask(ordered, recall(receive))
    answer = (await everything(ordered, BUYER))[-1]
    assert isinstance(answer, RecallAnswer)
    assert (answer.status, answer.text) == (Recalling.REJECTED, OVER["SETTLED"])


async def test_one_batch_of_instruction_and_order_settles(ordered: System) -> None:
    deliver, receive = both()
    await send(ordered, deliver)
    taken = await ordered.desk.take_messages(BUYER, [message(receive), payment(receive)])
    assert all(isinstance(item, Taken) for item in taken)
    await until(lambda: ends(ordered, BUYER, *PAID))
