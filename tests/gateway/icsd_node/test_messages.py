"""Messages of a registry's members: judged, ordered, done once, answered."""

import re
from datetime import date

import asyncpg
import msgspec

from gateway.icsd_node import orders
from gateway.icsd_node.message_store import MessageStore
from htlc.units import SECOND
from ledgers.block import read_leaf
from ledgers.parties import Balance
from ledgers.port import Answer, Execute
from protocols.iso20022 import json_form, render
from protocols.iso20022.positions import Posting
from tests.gateway.icsd_node.desk import (
    ABROAD,
    CUSTODIAN,
    FIRST,
    KEY,
    KZ,
    MEMBER,
    OTHER,
    SECOND_ACCOUNT,
    Desk,
    delivery,
    life,
    lock,
    message,
    movement,
    text,
)
from tests.ledgers.icsd.registries import Registry
from tests.ledgers.worlds import ManualClock
from tests.protocols.samples import marked_repeated


async def test_orders_are_done_by_the_network_and_confirmed(
    four: list[Registry], clock: ManualClock
) -> None:
    async with life(four, clock) as desk:
        status, body = await desk.send(render.batch([movement("M1"), delivery("M2")]))
        assert status == 202 and body.count("admi.007.001.01</MsgDefIdr>") == 2
        moved, delivered = await desk.told(2)
        assert (moved.definition, text(moved, "AcctOwnrTxId")) == ("semt.015.001.09", "tx-M1")
        assert delivered.definition == "sese.025.001.11"
        assert text(delivered, "FctvSttlmDt/Dt/DtTm") == "2023-11-14T22:13:20Z"
        related = moved.header.related
        assert related is not None and related.business_message_id == "M1"
        assert (await desk.balance(FIRST), await desk.balance(SECOND_ACCOUNT)) == (
            Balance(800_00),
            Balance(100_00),
        )
        assert await desk.balance(ABROAD) == Balance(100_00)


def contract_id(message: str) -> str:
    return orders.operation_id(MEMBER.name, message)


PLACES = ("MktInfrstrctrTxId", "LdgrEvt/BlckHght")


async def test_a_lock_is_opened_by_its_key_or_released_after_its_expiry(
    four: list[Registry], clock: ManualClock
) -> None:
    async with life(four, clock) as desk:
        await desk.send(render.batch([lock("L1"), lock("L2")]))
        first, second = [text(each, "AcctSvcrTxId") for each in await desk.told(2)]
        assert await desk.balance(FIRST) == Balance(800_00, 200_00)
        locked, _ = await desk.told(2)
        posting, height = (text(locked, place) for place in PLACES)
        assert posting is not None and height is not None
        proof = await desk.ledger.proof(int(height), int(posting.partition(".")[2]))
        assert proof is not None and read_leaf(proof.leaf).id == contract_id("L1")
        contract = contract_id("L1")
        assert first == contract.replace("-", "")
        claim = Execute(id=contract, key=KEY)  # type: ignore[arg-type]
        (claimed,) = await desk.ledger.submit(MEMBER, [claim])
        assert isinstance(claimed, Answer) and claimed.refusal is None
        released = {"posting": Posting.RELEASE, "payee_account": None, "reference": second}
        await desk.send(movement("R1", **released))
        assert text((await desk.told(3))[2], "AddtlRsnInf") == "NOT_EXPIRED: nothing was done"
        clock.advance(10 * SECOND)
        await desk.send(movement("R2", **released))
        done = (await desk.told(4))[3]
        assert done.definition == "semt.015.001.09"
        assert text(done, "SttlmDt/DtTm") == "2023-11-14T22:13:30Z"
        assert await desk.balance(FIRST) == Balance(900_00)


async def test_a_message_is_done_once_and_other_content_is_refused(
    four: list[Registry], clock: ManualClock
) -> None:
    async with life(four, clock) as desk:
        first = await desk.send(movement("M1"))
        await desk.told(1)
        status, receipt = first
        assert await desk.send(movement("M1")) == (status, marked_repeated(receipt))
        status, body = await desk.send(movement("M1", quantity="7"))
        assert status == 409 and ">XDUP<" in body
        assert await desk.balance(SECOND_ACCOUNT) == Balance(100_00)
        assert len(await desk.told(1)) == 1


REFUSED = (
    (movement("X", account=ABROAD), "SAFE", "no account of the sender"),
    (movement("X").replace(f"<AnyBIC>{CUSTODIAN}", f"<AnyBIC>{OTHER}"), "SAFE", "owner is the"),
    (movement("X", quantity="5000"), "OTHR", "INSUFFICIENT_BALANCE"),
    (movement("X", quantity="0.001"), "DQUA", "more than 2 decimals"),
    (movement("X", payee_account=ABROAD), "SAFE", "of the same owner"),
    (movement("X", settlement_date=date(2023, 11, 15)), "DDAT", "send it on 2023-11-15"),
    (movement("X", posting=Posting.MOVE), "VALR", "from BLOK to MOVE"),
    (movement("X", posting=Posting.LOCK), "VALR", "needs a lock block"),
    (movement("X", posting=Posting.RELEASE, reference="1" * 32), "REFE", "name the lock"),
    (delivery("X", to="nobody"), "SAFE", "one of the registries keeps"),
    (delivery("X", to=SECOND_ACCOUNT), "DEPT", "kept by another registry"),
    (delivery("X", safekeeping_account=ABROAD), "SAFE", "no account of the sender"),
    (delivery("X", isin="US0378331005"), "DSEC", "on no ledger here"),
    (delivery("X", quantity="5000"), "OTHR", "INSUFFICIENT_BALANCE"),
    (delivery("X", hold=True), "VALR", "without lock or hold"),
)


async def test_a_refusal_names_its_reason_and_moves_nothing(nodes: Desk) -> None:
    bodies = [
        body.replace("<BizMsgIdr>X<", f"<BizMsgIdr>X{n}<") for n, (body, *_) in enumerate(REFUSED)
    ]
    status, receipts = await nodes.send(render.batch(bodies))
    assert status == 202 and receipts.count("<StsCd>ACPT<") == len(REFUSED)
    told = {
        item.header.related.business_message_id: item
        for item in await nodes.told(len(REFUSED))
        if item.header.related is not None
    }
    for n, (_, code, rule) in enumerate(REFUSED):
        item = told[f"X{n}"]
        assert item.definition in ("semt.014.001.07", "sese.024.001.12")
        assert text(item, "Rjctd/Rsn/Cd/Cd") == code, rule
        assert rule in (text(item, "AddtlRsnInf") or "")
    assert await nodes.balance(FIRST) == Balance(1_000_00)
    told_at_once = len(REFUSED) - 2  # the network refuses what there is not enough for
    verdicts = nodes.front.room.verdicts
    assert sum(n for (_, verdict, _), n in verdicts.items() if verdict == "refused") == told_at_once
    assert verdicts["sese.023.001.11", "refused", "DEPT"] == 1


async def test_what_cannot_be_processed_is_told_at_once(nodes: Desk) -> None:
    status, body = await nodes.send(movement("M1").replace(CUSTODIAN, OTHER))
    assert status == 403 and ">XAUT<" in body
    status, body = await nodes.send(message("M2", "sese.020.001.07", "<x/>"))
    assert status == 422 and "admi.002" in body
    status, body = await nodes.send(movement("M3").replace("<BalFr>", "<Bal>"))
    assert status == 400 and ">XWEL<" in body
    status, body = await nodes.send(movement("M4"), token="stranger")
    assert status == 403 and "messages.members" in body
    assert (await nodes.page())["messages"] == []
    codes = ("XAUT", "XSDV", "XWEL")
    assert nodes.front.room.verdicts == {("other", "rejected", code): 1 for code in codes}


async def test_the_json_form_and_the_acknowledgement(nodes: Desk) -> None:
    sent = msgspec.json.encode([json_form.to_json(each) for each in (delivery("M1"), lock("M2"))])
    form = {"Content-Type": "application/vnd.iso20022+json; form=1"}
    status, body = await nodes.send(sent, **form)
    assert (status, body.count('"status":202')) == (202, 2), body
    alone = msgspec.json.encode(json_form.to_json(movement("M3")))
    assert (await nodes.send(alone, **form))[0] == 202
    *_, last = await nodes.told(3)
    assert text(last, "AcctOwnrTxId") == "tx-M3"
    page = await nodes.page()
    assert await nodes.ack(page["next"]) == (200, {"through": page["next"]})
    status, problem = await nodes.ack("m" + "7" * 16)
    assert status == 422 and "no such message" in str(problem)
    assert (await nodes.page(page["next"]))["messages"] == []


async def test_a_message_that_was_received_is_done_after_a_kill(
    four: list[Registry], clock: ManualClock
) -> None:
    async with life(four, clock, works=False) as desk:
        assert (await desk.send(delivery("M1")))[0] == 202
        assert (await desk.page())["messages"] == []
        assert (await desk.front.store.backlog()).count == 1
    async with life(four, clock) as desk:
        (told,) = await desk.told(1)
        assert told.definition == "sese.025.001.11"
        assert await desk.balance(ABROAD) == Balance(100_00)


async def test_what_was_done_before_a_kill_is_done_once_and_confirmed_with_its_time(
    four: list[Registry], clock: ManualClock
) -> None:
    async with life(four, clock, works=False) as desk:
        assert (await desk.send(movement("M1")))[0] == 202
        (waiting,) = await MessageStore(desk.ledger.pool).waiting(10)
        (done,) = await desk.ledger.node.ask([waiting.entry])  # and then nobody heard of it
        assert isinstance(done, Answer)
    clock.advance(15 * SECOND)
    async with life(four, clock) as desk:
        (told,) = await desk.told(1)
        assert text(told, "SttlmDt/DtTm") == "2023-11-14T22:13:20Z"
        assert await desk.balance(SECOND_ACCOUNT) == Balance(100_00)


async def test_a_registry_that_joined_by_a_snapshot_answers_what_was_done_before_it(
    four: list[Registry], clock: ManualClock
) -> None:
    async with life(four, clock) as desk:
        await desk.send(render.batch([movement("M1"), lock("L1")]))
        assert text((await desk.told(2))[0], "MktInfrstrctrTxId")
    await _lose_history(four[KZ].dsn)
    async with life(four, clock) as desk:
        await desk.send(render.batch([movement("M1"), lock("L1")]))
        moved, locked = await desk.told(2)
        assert [each.definition for each in (moved, locked)] == ["semt.015.001.09"] * 2
        assert text(moved, "MktInfrstrctrTxId") is text(locked, "BlckHght") is None
        assert await desk.balance(SECOND_ACCOUNT) == Balance(100_00)
        clock.advance(SECOND)
        await desk.send(movement("M2"))
        assert text((await desk.told(3))[2], "MktInfrstrctrTxId")
        (made,) = (await desk.client().state({"kind": "movements", "account": FIRST})).statements
        stated = (await desk.told(4))[3]
        assert (made.pages, text(stated, "AcctOwnrTxId")) == (1, "tx-M2")
        assert text(stated, "FrDtTm") == "2023-11-14T22:13:20.000000001Z"


async def _lose_history(dsn: str) -> None:
    """As if the registry had joined by a snapshot of what it has now (`lockstep registry join`)."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "UPDATE head SET base = final, (base_at, base_cursor) = ("
        "SELECT at, height || '.' || count - 1 FROM blocks ORDER BY height DESC LIMIT 1)"
    )
    await connection.execute("TRUNCATE blocks, postings, movements, messages, mailbox")
    await connection.execute("UPDATE mailbox_head SET last = 0")
    await connection.close()


def test_ids_are_a_members_own() -> None:
    found = {orders.operation_id(name, id) for name in ("a", "b") for id in ("1", "2")}
    assert len(found) == 4
    assert all(re.fullmatch(r"[0-9a-f-]{36}", id) for id in found)
