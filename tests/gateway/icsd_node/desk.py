"""A registry's node with its messages as its members' systems see it, one of four nodes over a log
in memory; and the messages that are sent to it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.calendars import CalendarSettings
from gateway.client import GatewayClient
from gateway.config import StatementSettings, WebhookSettings
from gateway.icsd_node.front import Front, front_of
from gateway.icsd_node.service import build_app, document
from gateway.icsd_node.settings import Correspondents, MemberSettings, MessageSettings
from htlc.hashlock import HashFunction
from htlc.units import SECOND, AccountId, AssetId
from ledgers.access import token_digest
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.hosted import RegistryLedger
from ledgers.icsd.store import Store
from ledgers.parties import Balance, Principal, Role
from protocols.iso20022 import envelope, render, semt013, sese023
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
from tests.described import watch
from tests.ledgers.icsd.registries import Registry, agree, serving
from tests.ledgers.worlds import START, TEST_KEY, ManualClock

DEPOSITORIES = {"DE": "CSDADEFFXXX", "FR": "CSDBFRPPXXX", "KZ": "CSDKKZKAXXX", "UZ": "CSDUUZ22XXX"}
CUSTODIAN, OTHER = "CUSTKZKAXXX", "BANKUZ22XXX"
MEMBER = Principal(name="KZ-9943e6", role=Role.OWNER)
STRANGER = Principal(name="KZ-0aa1f0", role=Role.OWNER)
AUDITOR = Principal(name="auditor", role=Role.SUPERVISOR)
TOKENS = {
    token_digest("custodian"): MEMBER,
    token_digest("stranger"): STRANGER,
    token_digest("auditor"): AUDITOR,
}
ISIN = AssetId("XS9990000010")
FIRST, SECOND_ACCOUNT, ABROAD = AccountId("kz-1"), AccountId("kz-2"), AccountId("uz-1")
DAY = date(2023, 11, 14)  # of `START`, UTC
SWAP = "7f7a1a52-9c3e-4d1b-8b1e-0a4f4c1d2e3f"
KEY = b"\x07" * 32
SECRET = "a secret of 32 characters, shared"

KZ, UZ = 2, 3
"""Places in `registries.NAMES`."""


class Desk:
    """A registry node with its messages, as its internal system sees it."""

    def __init__(
        self, ledger: RegistryLedger, front: Front, client: "TestClient[Any, Any]"
    ) -> None:
        self.ledger = ledger
        self.front = front
        self._client = client

    @property
    def app(self) -> web.Application:
        return self._client.app

    async def ask(
        self, method: str, path: str, *, token: str | None = "custodian", **options: Any
    ) -> Any:
        """Any request; the answer as it comes, read."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        headers |= options.pop("headers", {})
        answer = await self._client.request(method, path, headers=headers, **options)
        await answer.read()
        return answer

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

    def client(self) -> GatewayClient:
        """The client library of the gateway, unchanged."""
        return GatewayClient(self._client.session, str(self._client.make_url("/")), "custodian")

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
    settings = MessageSettings(
        depositories=DEPOSITORIES,
        members=(MemberSettings(name=MEMBER.name, bic=CUSTODIAN),),
        statements=StatementSettings(daily=False),  # when a test says so
        calendar=CalendarSettings(dvp_cut_off="22:14"),  # 40 s after `START`
        webhooks=WebhookSettings(allow_networks=("127.0.0.0/8",), allow_http=True),
    )
    known = Correspondents(
        depositories={RegistryId(name): bic for name, bic in DEPOSITORIES.items()},
        members={MEMBER.name: CUSTODIAN},
    )
    front = front_of(ledger, ledger.pool, TEST_KEY, settings, known, clock)
    await front.begin()
    app = build_app(ledger, TOKENS, Store(ledger.pool), ledger.pool, front)
    wrong = watch(app, document())
    work = [asyncio.create_task(each) for each in front.work()] if works else []
    async with TestClient(TestServer(app)) as client:
        yield Desk(ledger, front, client)
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    assert wrong == [], "every answer is as the node's description has it"


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
