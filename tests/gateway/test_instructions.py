"""sese.023 instructions through the whole gateway: what is settled, and what each side is told."""

import asyncio
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import msgspec

from gateway.config import BandSettings, MatchingSettings
from gateway.ids import new_id
from gateway.journal import QUERIES
from gateway.port import Busy, Taken
from htlc.events import Decided, Decision, Opened, Reason
from htlc.settlement import Settlement
from protocols.iso20022 import envelope, json_form, render, sese023
from protocols.iso20022.advice import Confirmation, Outbound, StatusAdvice
from protocols.iso20022.errors import ProtocolError, RejectCode
from protocols.iso20022.header import Header
from protocols.iso20022.instruction import (
    CreditDebit,
    Movement,
    Payment,
    QuantityType,
    SettlementInstruction,
    SettlementParties,
)
from protocols.iso20022.payment import CashEntry, PaymentStatus
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

TODAY = date(2026, 10, 8)
_outbound = msgspec.json.Decoder(Outbound)


def instruction(movement: Movement, **changes: object) -> SettlementInstruction:
    deliver = movement is Movement.DELI
    own = SELLER if deliver else BUYER
    plain = SettlementInstruction(
        sender=own,
        definition="sese.023.001.11",
        transaction_id=f"{own[:4]}{new_id()[-12:]}",
        movement=movement,
        payment=Payment.APMT,
        trade_date=TODAY - timedelta(days=2),
        settlement_date=TODAY,
        isin=ISIN,
        quantity_type=QuantityType.FACE_AMOUNT,
        quantity="1000",
        safekeeping_account=account("registry", own),
        cash_account=account("bank", own),
        transaction_type="TRAD",
        delivering=SettlementParties(depository=DEPOSITORY, party1=SELLER),
        receiving=SettlementParties(depository=DEPOSITORY, party1=BUYER),
        amount="998.75",
        currency="EUR",
        credit_debit=CreditDebit.CRDT if deliver else CreditDebit.DBIT,
    )
    return msgspec.structs.replace(plain, **changes)


def both(**changes: object) -> tuple[SettlementInstruction, SettlementInstruction]:
    return instruction(Movement.DELI, **changes), instruction(Movement.RECE, **changes)


def message(item: SettlementInstruction, id: str | None = None) -> envelope.Enveloped:
    head = Header(
        sender=item.sender,
        receiver="LCKSNL20XXX",
        business_message_id=id or new_id().replace("-", ""),
        definition=item.definition,
        created_at=1_790_000_000_000_000_000,
    )
    body = render.business_message(head, sese023.encode(item))
    (enveloped,) = envelope.split(body.encode())
    assert isinstance(enveloped, envelope.Enveloped), enveloped
    return enveloped


async def send(running: System, item: SettlementInstruction, id: str | None = None) -> Taken:
    (taken,) = await running.desk.take_messages(item.sender, [message(item, id)])
    assert isinstance(taken, Taken), taken
    return taken


async def everything(running: System, member: str) -> list[Outbound]:
    """A whole mailbox."""
    stored = await running.desk.read(member, after=0, limit=500)
    return [_outbound.decode(item.content) for item in stored]


async def told(running: System, member: str) -> list[Outbound]:
    """What a member was told of its instructions; what it was told of money stands beside that."""
    cash = (PaymentStatus, CashEntry)
    return [item for item in await everything(running, member) if not isinstance(item, cash)]


def codes(advice: Outbound) -> list[str]:
    """A status in short: part, status and reasons."""
    if isinstance(advice, Confirmation):
        return ["settled"]
    assert isinstance(advice, StatusAdvice)
    parts = (advice.processing, advice.matching, advice.settlement)
    return [
        "/".join([part.status.value, *(reason.code or "" for reason in part.reasons)])
        for part in parts
        if part is not None
    ]


async def statuses(running: System, member: str) -> list[list[str]]:
    return [codes(advice) for advice in await told(running, member)]


async def settled(running: System, member: str) -> bool:
    return ["settled"] in await statuses(running, member)


async def test_two_sides_one_after_the_other_settle(running: System) -> None:
    deliver, receive = both()
    await send(running, deliver)
    assert await statuses(running, SELLER) == [["AckdAccptd", "Umtchd/CMIS"]]
    await send(running, receive)
    await until(lambda: settled(running, SELLER))
    assert await statuses(running, SELLER) == [
        ["AckdAccptd", "Umtchd/CMIS"],
        ["Mtchd"],
        ["settled"],
    ]
    assert await statuses(running, BUYER) == [["AckdAccptd", "Mtchd"], ["settled"]]
    assert await running.balance("registry", BUYER, ISIN) == (OPENING[ISIN] + 1000, 0)
    assert await running.balance("bank", SELLER, "EUR") == (OPENING["EUR"] + 998_75, 0)


async def test_the_deliverers_amount_settles_within_the_tolerance(running: System) -> None:
    await send(running, instruction(Movement.RECE, amount="1000.75"))
    await send(running, instruction(Movement.DELI))
    await until(lambda: settled(running, BUYER))
    assert await running.balance("bank", BUYER, "EUR") == (OPENING["EUR"] - 998_75, 0)


async def test_a_near_miss_is_told_to_both_with_its_code(running: System) -> None:
    await send(running, instruction(Movement.DELI))
    await send(running, instruction(Movement.RECE, quantity="1001"))
    assert await statuses(running, SELLER) == [["AckdAccptd", "Umtchd/CMIS"], ["Umtchd/DQUA"]]
    assert await statuses(running, BUYER) == [["AckdAccptd", "Umtchd/DQUA"]]


async def test_a_refused_instruction_is_told_why(running: System) -> None:
    await send(running, instruction(Movement.DELI, amount="998.755"))
    (advice,) = await told(running, SELLER)
    assert codes(advice) == ["Rjctd/DMON"]
    assert isinstance(advice, StatusAdvice)
    assert advice.processing is not None and "decimal" in (advice.processing.reasons[0].text or "")


async def test_short_of_securities_stays_pending_and_settles_when_they_come(
    running: System,
) -> None:
    much = str(OPENING[ISIN] + 500)
    deliver, receive = both(quantity=much)
    await send(running, deliver)
    await send(running, receive)
    await until(lambda: _has(running, SELLER, "Mtchd", "Pdg/LACK"))
    assert await _has(running, BUYER, "Mtchd", "Pdg/CLAC")
    back = {
        "delivering": SettlementParties(depository=DEPOSITORY, party1=BUYER),
        "receiving": SettlementParties(depository=DEPOSITORY, party1=SELLER),
        "quantity": "500",
    }
    await send(
        running,
        instruction(
            Movement.DELI,
            **back
            | {
                "sender": BUYER,
                "safekeeping_account": account("registry", BUYER),
                "cash_account": account("bank", BUYER),
            },
        ),
    )
    await send(
        running,
        instruction(
            Movement.RECE,
            **back
            | {
                "sender": SELLER,
                "safekeeping_account": account("registry", SELLER),
                "cash_account": account("bank", SELLER),
            },
        ),
    )

    async def both_settled() -> bool:
        return (await statuses(running, SELLER)).count(["settled"]) == 2

    await until(both_settled)
    assert (await statuses(running, SELLER)).count(["Mtchd", "Pdg/LACK"]) == 1


async def _has(running: System, member: str, *parts: str) -> bool:
    return list(parts) in await statuses(running, member)


async def test_the_same_again_gets_the_stored_answer_and_nothing_else(running: System) -> None:
    item = instruction(Movement.DELI)
    first = await send(running, item, "ONCE")
    again = await send(running, item, "ONCE")
    assert again == msgspec.structs.replace(first, is_repeated=True)
    assert len(await told(running, SELLER)) == 1
    (other,) = await running.desk.take_messages(
        SELLER, [message(instruction(Movement.DELI), "ONCE")]
    )
    assert isinstance(other, ProtocolError)
    assert other.code is RejectCode.XDUP


async def test_the_same_in_another_spelling_or_form_is_the_same(running: System) -> None:
    item = instruction(Movement.DELI)
    as_xml = message(item, "ONCE")
    (as_json,) = json_form.split(msgspec.json.encode(json_form.to_json(as_xml.raw.decode())))
    (spaced,) = envelope.split(as_xml.raw.replace(b"><", b">\n  <"))
    other = message(instruction(Movement.DELI, transaction_id=item.transaction_id + "X"), "TWICE")
    (other_json,) = json_form.split(msgspec.json.encode(json_form.to_json(other.raw.decode())))
    first, third = await running.desk.take_messages(SELLER, [as_xml, other_json])
    again = await running.desk.take_messages(SELLER, [as_json, spaced, other, as_xml])
    stored = [
        msgspec.structs.replace(each, is_repeated=True) for each in (first, first, third, first)
    ]
    assert [*again] == stored
    assert await running.engine.pool.fetchval("SELECT count(*) FROM instruction") == 2
    wrong = message(item, "TWICE")
    (refused,) = await running.desk.take_messages(SELLER, [wrong])
    assert isinstance(refused, ProtocolError) and refused.code is RejectCode.XDUP


async def test_a_business_reference_is_used_once(running: System) -> None:
    await send(running, instruction(Movement.DELI, transaction_id="REF1"))
    await send(running, instruction(Movement.DELI, transaction_id="REF1", quantity="5"))
    assert await statuses(running, SELLER) == [["AckdAccptd", "Umtchd/CMIS"], ["Rjctd/REFE"]]


async def test_a_future_settlement_date_waits(running: System) -> None:
    deliver, receive = both(settlement_date=date(2036, 1, 4))
    await send(running, deliver)
    await send(running, receive)
    assert (await statuses(running, SELLER))[-1] == ["Mtchd", "Pdg/FUTU"]
    assert await statuses(running, BUYER) == [["AckdAccptd", "Mtchd", "Pdg/FUTU"]]
    assert not running.engine.runner.lives


async def test_a_message_of_another_sender_is_refused(running: System) -> None:
    (refused,) = await running.desk.take_messages(BUYER, [message(instruction(Movement.DELI))])
    assert isinstance(refused, ProtocolError)
    assert refused.code is RejectCode.XAUT


async def test_a_busy_gateway_says_so(running: System) -> None:
    running.desk._open_max = 0
    (busy,) = await running.desk.take_messages(SELLER, [message(instruction(Movement.DELI))])
    assert isinstance(busy, Busy)


async def test_two_sides_in_one_batch_are_told_accepted_and_matched_in_one_message(
    running: System,
) -> None:
    deliver, receive = both()
    writer = running.engine.intake.writer
    async with running.engine.pool.acquire() as other, other.transaction():
        await other.execute(QUERIES["lock_matching"])
        first = asyncio.create_task(send(running, instruction(Movement.DELI, quantity="5")))
        await until(lambda: holds(lambda: writer.lag > 0))  # and the others gather behind it
        sent = [asyncio.create_task(send(running, item)) for item in (deliver, receive)]
        await until(lambda: holds(lambda: len(writer) == 2))
    await asyncio.gather(first, *sent)
    await until(lambda: settled(running, BUYER))
    both_told = [["AckdAccptd", "Mtchd"], ["settled"]]
    assert await statuses(running, SELLER) == [["AckdAccptd", "Umtchd/CMIS"], *both_told]
    assert await statuses(running, BUYER) == both_told


async def holds(condition: Callable[[], bool]) -> bool:
    return condition()


async def test_a_pair_whose_ledger_has_not_told_what_it_keeps_waits_and_settles(
    running: System,
) -> None:
    engine = running.engine
    openers = engine.intake._openers
    engine.intake._openers = msgspec.structs.replace(openers, pair_swap=lambda id, pair: None)
    for side in both():
        await send(running, side)
    assert len(engine.pending) == 1
    engine.intake._openers = openers
    await until(lambda: settled(running, SELLER))
    assert (await statuses(running, BUYER))[-1] == ["settled"]


async def test_a_pair_that_cannot_be_opened_now_is_told_so_and_tried_again(
    running: System,
) -> None:
    engine = running.engine
    lapsed = Decided(decision=Decision.CANCEL, reason=Reason.COMMIT_BY_PASSED)
    opening, tries = engine.agreements.opening, 0

    def fails_twice(state: Settlement) -> Opened | Decided | None:
        nonlocal tries
        tries += 1
        return lapsed if tries <= 2 else opening(state)  # once at intake, once in the runner

    engine.agreements.opening = fails_twice  # type: ignore[method-assign]
    for side in both():
        await send(running, side)
    await until(lambda: settled(running, SELLER))
    assert tries == 3
    assert (await statuses(running, SELLER))[-2:] == [["Mtchd", "Pdg/PRSY"], ["settled"]]


async def test_tolerance_is_reference_data_and_of_several_candidates_the_nearest_is_taken(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    bands = {"USD": (BandSettings(up_to="500", difference="0.5"), BandSettings(difference="3"))}
    matching = MatchingSettings(tolerance=bands)
    async with system(dsns, tmp_path) as made, made.gateway(matching=matching) as running:
        for n, amount in enumerate(("497", "500.51", "499.6", "500.5")):
            other = instruction(Movement.RECE, amount=amount, currency="USD", common_id=f"N{n}")
            await send(running, other)
        await send(running, instruction(Movement.DELI, amount="500", currency="USD"))
        await until(lambda: settled(running, BUYER))
        ((found, content),) = await running.engine.pool.fetch(
            "SELECT common, content FROM (SELECT content::json ->> 'common_id' AS common, content,"
            " member, pair FROM instruction) i WHERE pair IS NOT NULL AND member = $1",
            BUYER,
        )
        assert found == "N2", content
        euro = [instruction(side, amount=amount, quantity="7") for side, amount in _exact]
        for item in euro:  # no bands: the cent decides
            await send(running, item)
        assert (await statuses(running, SELLER))[-1] == ["AckdAccptd", "Umtchd/DMON"]


_exact = ((Movement.RECE, "100.01"), (Movement.DELI, "100"))


async def test_of_two_that_lack_the_same_the_one_with_the_higher_priority_is_tried_first(
    running: System,
) -> None:
    much = str(OPENING[ISIN] + 500)
    for priority in ("0003", "0001"):
        for side in both(quantity=much, priority=priority, common_id=priority):
            await send(running, side)
    await until(lambda: len(running.engine.pending) == 2)
    tried: list[str | None] = []
    running.engine.pending._attempt = lambda job: bool(
        tried.append(job.pair.instruction.common_id) or True
    )
    back = {
        "delivering": SettlementParties(depository=DEPOSITORY, party1=BUYER),
        "receiving": SettlementParties(depository=DEPOSITORY, party1=SELLER),
        "quantity": "500",
    }
    for movement, member in ((Movement.DELI, BUYER), (Movement.RECE, SELLER)):
        accounts = {
            "safekeeping_account": account("registry", member),
            "cash_account": account("bank", member),
        }
        await send(running, instruction(movement, **back | accounts | {"sender": member}))
    await until(lambda: len(tried) == 2)
    assert tried == ["0001", "0003"]
