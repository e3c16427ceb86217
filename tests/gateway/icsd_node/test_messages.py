"""Messages of a registry's members: four nodes, each with its database, over one log in memory."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.icsd_node import messages, orders
from gateway.icsd_node.message_room import MessageRoom
from gateway.icsd_node.message_store import MessageStore
from htlc.hashlock import HashFunction
from htlc.units import SECOND, AccountId, AssetId, Quantity
from ledgers.access import token_digest
from ledgers.administration import Act, DefineInstrument, OpenAccount
from ledgers.icsd.hosted import RegistryLedger
from ledgers.instruments import Instrument
from ledgers.parties import Balance, Principal, Role
from ledgers.port import Answer, Execute, Issue
from ledgers.service import build_app
from protocols.iso20022 import envelope, json_form, render, semt013, sese023
from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.errors import RejectCode
from protocols.iso20022.header import Header
from protocols.iso20022.instruction import (
    Movement,
    Payment,
    QuantityType,
    SettlementInstruction,
    SettlementParties,
)
from protocols.iso20022.lock_block import HashAlgorithm, HashLock, LegExpiry, LockBlock
from protocols.iso20022.positions import Position, PositionInstruction, Posting
from protocols.iso20022.schemas import namespace_of, validate
from tests.ledgers.icsd.registries import Registry, agree, registries, serving
from tests.ledgers.worlds import START, ManualClock

DEPOSITORIES = {"DE": "CSDADEFFXXX", "FR": "CSDBFRPPXXX", "KZ": "CSDKKZKAXXX", "UZ": "CSDUUZ22XXX"}
CUSTODIAN, OTHER = "CUSTKZKAXXX", "BANKUZ22XXX"
MEMBER = Principal(name="KZ-9943e6", role=Role.OWNER)
STRANGER = Principal(name="KZ-0aa1f0", role=Role.OWNER)
TOKENS = {token_digest("custodian"): MEMBER, token_digest("stranger"): STRANGER}
ISIN = AssetId("XS9990000010")
FIRST, SECOND_ACCOUNT, ABROAD = AccountId("kz-1"), AccountId("kz-2"), AccountId("uz-1")
DAY = date(2023, 11, 14)  # of `START`, UTC
SWAP = "7f7a1a52-9c3e-4d1b-8b1e-0a4f4c1d2e3f"
KEY = b"\x07" * 32

KZ, UZ = 2, 3
"""Places in `registries.NAMES`."""


class Desk:
    """A registry node with its messages, as its internal system sees it."""

    def __init__(self, ledger: RegistryLedger, client: "TestClient[Any, Any]") -> None:
        self.ledger = ledger
        self._client = client

    async def send(self, body: str | bytes, token: str = "custodian", **headers: str) -> Any:
        sent = body if isinstance(body, bytes) else body.encode()
        named = {"Content-Type": "application/xml", "Authorization": f"Bearer {token}"}
        answer = await self._client.post("/v1/messages", data=sent, headers=named | headers)
        return answer.status, (await answer.text())

    async def page(self, after: str | None = None, token: str = "custodian") -> Any:
        query = {} if after is None else {"after": after}
        headers = {"Authorization": f"Bearer {token}"}
        answer = await self._client.get("/v1/messages", params=query, headers=headers)
        return await answer.json()

    async def told(self, count: int) -> list[Enveloped]:
        """What is in the mailbox once so much is; every message valid."""
        async with asyncio.timeout(60):
            while len(found := (await self.page())["messages"]) < count:
                await asyncio.sleep(0.01)
        assert len(found) == count
        return [_valid(each["xml"]) for each in found]

    async def ack(self, through: str) -> Any:
        headers = {"Authorization": "Bearer custodian"}
        answer = await self._client.post(
            "/v1/messages/ack", json={"through": through}, headers=headers
        )
        return answer.status, await answer.json()

    async def balance(self, account: AccountId) -> Balance:
        view = await self.ledger.account(account)
        assert view is not None
        return view.holdings.get(ISIN, Balance())


def _valid(xml: str) -> Enveloped:
    (item,) = envelope.split(xml.encode())
    assert isinstance(item, Enveloped)
    validate(item.document, namespace_of(item.document), RejectCode.XSDV)
    return item


def text(item: Enveloped, path: str) -> str | None:
    return item.document.findtext(".//" + "/".join(f"{{*}}{part}" for part in path.split("/")))


@contextlib.asynccontextmanager
async def desk_of(
    ledger: RegistryLedger, clock: ManualClock, *, works: bool
) -> AsyncIterator[Desk]:
    """The messages of a node; without `works` they are received and stay where they are."""
    store = MessageStore(ledger.pool)
    members = {CUSTODIAN: MEMBER}
    depositories = {name: DEPOSITORIES[name] for name in sorted(DEPOSITORIES)}
    room = MessageRoom(ledger, store, members, depositories, clock)  # type: ignore[arg-type]
    app: web.Application = build_app(ledger, TOKENS)
    messages.add(app, room, DEPOSITORIES["KZ"], {MEMBER.name: CUSTODIAN}, clock)
    work = asyncio.create_task(room.run(lambda _: None)) if works else None
    async with TestClient(TestServer(app)) as client:
        yield Desk(ledger, client)
    if work is not None:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


@contextlib.asynccontextmanager
async def life(
    four: Sequence[Registry], clock: ManualClock, *, works: bool = True
) -> AsyncIterator[Desk]:
    """One life of all four, and of the messages at KZ."""
    async with contextlib.AsyncExitStack() as stack:
        ledgers = [await stack.enter_async_context(each.alive()) for each in four]
        for ledger in ledgers:
            await serving(ledger.node)
        yield await stack.enter_async_context(desk_of(ledgers[KZ], clock, works=works))
        await agree(ledgers)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def four(postgres_server: str, clock: ManualClock) -> list[Registry]:
    """KZ has issued 1,000 of a bond to its member, who has a second account; UZ has a holder."""
    made = await registries(postgres_server, clock)
    async with contextlib.AsyncExitStack() as stack:
        ledgers = [await stack.enter_async_context(each.alive()) for each in made]
        for ledger in ledgers:
            await serving(ledger.node)
        await _furnish(ledgers[KZ], ledgers[UZ])
        await agree(ledgers)
    return made


async def _furnish(kz: RegistryLedger, uz: RegistryLedger) -> None:
    counter, issuer = AccountId("kz-issue"), Principal(name="kz-issuer", role=Role.ISSUER)
    instrument = Instrument(
        asset=ISIN, name="B", scale=2, quantity_type="FaceAmt", issuer=issuer.name, counter=counter
    )
    acts: list[Act] = [
        OpenAccount(account=counter, owner=issuer.name),
        OpenAccount(account=FIRST, owner=MEMBER.name),
        OpenAccount(account=SECOND_ACCOUNT, owner=MEMBER.name),
        DefineInstrument(instrument=instrument),
    ]
    issue = Issue(id="issue-1", account=FIRST, asset=ISIN, quantity=Quantity(1_000_00))
    operator = Principal(name="operator", role=Role.LEDGER_OPERATOR)
    assert await kz.administer(operator, acts) == [None] * len(acts)
    assert await uz.administer(operator, [OpenAccount(account=ABROAD, owner="uz-x")]) == [None]
    (answer,) = await kz.submit(issuer, [issue])
    assert isinstance(answer, Answer) and answer.refusal is None


def message(id: str, definition: str, document: str, sender: str = CUSTODIAN) -> str:
    head = Header(
        sender=sender,
        receiver=DEPOSITORIES["KZ"],
        business_message_id=id,
        definition=definition,
        created_at=START,
    )
    return render.business_message(head, document)


def movement(id: str, **changes: Any) -> str:
    """A semt.013: 100.00 from the first account to the second."""
    position = Position(
        owner=CUSTODIAN,
        account=changes.pop("account", FIRST),
        isin=ISIN,
        quantity_type=QuantityType.FACE_AMOUNT,
        quantity=changes.pop("quantity", "100"),
    )
    reference = changes.pop("reference", None)
    written = semt013.write(
        msgspec.structs.replace(
            PositionInstruction(
                id=f"tx-{id}",
                position=position,
                posting=Posting.TRANSFER,
                settlement_date=DAY,
                payee_account=SECOND_ACCOUNT,
            ),
            **changes,
        ),
        CUSTODIAN,
    )
    if reference is not None:
        linked = f"<Lnkgs><Ref><AcctSvcrTxId>{reference}</AcctSvcrTxId></Ref></Lnkgs><AcctOwnr>"
        written = written.replace("<AcctOwnr>", linked)
    return message(id, semt013.DEFINITION, written)


def lock_block(expires_at: int) -> LockBlock:
    digest = HashFunction().digest(KEY).hex()
    return LockBlock(
        swap_id=SWAP,
        leg="SECU",
        execution_lock=HashLock(algorithm=HashAlgorithm.SHA256, digest=digest),
        lock_by=START + 5 * SECOND,
        expiries=(LegExpiry(leg="SECU", expires_at=expires_at),),
    )


def lock(id: str, expires_at: int = START + 10 * SECOND) -> str:
    block = lock_block(expires_at)
    return movement(id, posting=Posting.LOCK, payee_account=ABROAD, lock=block)


def delivery(id: str, **changes: Any) -> str:
    """A sese.023: 100.00 free of payment to an account at UZ."""
    receiving = SettlementParties(
        depository=DEPOSITORIES["UZ"], party1=OTHER, account=changes.pop("to", ABROAD)
    )
    instruction = SettlementInstruction(
        sender=CUSTODIAN,
        definition="sese.023.001.11",
        transaction_id=f"tx-{id}",
        movement=Movement.DELI,
        payment=Payment.FREE,
        trade_date=DAY,
        settlement_date=DAY,
        isin=ISIN,
        quantity_type=QuantityType.FACE_AMOUNT,
        quantity="100",
        safekeeping_account=FIRST,
        transaction_type="TRAD",
        delivering=SettlementParties(depository=DEPOSITORIES["KZ"], party1=CUSTODIAN),
        receiving=receiving,
    )
    return message(
        id, "sese.023.001.11", sese023.encode(msgspec.structs.replace(instruction, **changes))
    )


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


async def test_a_lock_is_opened_by_its_key_or_released_after_its_expiry(
    four: list[Registry], clock: ManualClock
) -> None:
    async with life(four, clock) as desk:
        await desk.send(render.batch([lock("L1"), lock("L2")]))
        first, second = [text(each, "AcctSvcrTxId") for each in await desk.told(2)]
        assert await desk.balance(FIRST) == Balance(800_00, 200_00)
        contract = orders.operation_id(MEMBER.name, "L1")
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
        assert await desk.send(movement("M1")) == first
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


@pytest.fixture
async def nodes(four: list[Registry], clock: ManualClock) -> AsyncIterator[Desk]:
    async with life(four, clock) as desk:
        yield desk


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


async def test_the_json_form_and_the_acknowledgement(nodes: Desk) -> None:
    sent = msgspec.json.encode(json_form.to_json(delivery("M1")))
    form = {"Content-Type": "application/vnd.iso20022+json; form=1"}
    status, body = await nodes.send(sent, **form)
    assert status == 202, body
    await nodes.told(1)
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


def test_ids_are_a_members_own() -> None:
    found = {orders.operation_id(name, id) for name in ("a", "b") for id in ("1", "2")}
    assert len(found) == 4
    assert all(re.fullmatch(r"[0-9a-f-]{36}", id) for id in found)
