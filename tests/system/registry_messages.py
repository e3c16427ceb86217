"""Messages to the registries while they are being killed: each is answered exactly once.

A client is a custodian's system: it sends the same bytes until they are received, sometimes again
after that, and waits for the answer in the mailbox. What it asks for is among the transfers that
`registry_load` checks; here it is checked that nobody was told twice, or something else.
"""

import asyncio
import random
import time
import uuid
from collections import Counter
from datetime import UTC, datetime

import msgspec

from gateway.client import GatewayClient, GatewayUnreachableError, ProblemError, Received
from gateway.http import wire
from gateway.icsd_node.orders import operation_id
from htlc.units import AccountId, Quantity
from ledgers.port import Transfer
from protocols.iso20022 import render, semt013, sese023
from protocols.iso20022.errors import RejectCode
from protocols.iso20022.header import Header
from protocols.iso20022.instruction import (
    Movement,
    Payment,
    QuantityType,
    SettlementInstruction,
    SettlementParties,
)
from protocols.iso20022.positions import Position, PositionInstruction, Posting
from tests.ledgers.icsd.servers import MEMBERS
from tests.system.registry_load import Asked, Load
from tests.system.registry_site import (
    ACCOUNTS,
    BOND,
    CUSTODIANS,
    DEPOSITORIES,
    FUNDS,
    Member,
    Site,
    account,
)

AGAIN = 0.3
"""Of the messages that come again after they were received."""

REFUSED = 0.1
"""Of the messages that ask for more than there is."""

PAGE = 500

DONE, NOT_DONE = ("sese.025.001.11", "semt.015.001.09"), ("sese.024.001.12", "semt.014.001.07")


class Sent(msgspec.Struct, kw_only=True):
    """One message, and what came of it."""

    id: str  # BizMsgIdr
    body: bytes
    asked: Asked
    fits: bool  # whether there is enough for it
    told: list[str] = []  # definitions of the answers


class MessageLoad:
    """Custodians' systems, at every registry."""

    def __init__(self, site: Site, dice: random.Random, load: Load) -> None:
        self.sent: dict[str, Sent] = {}
        self.answered = Counter[str]()
        self._site = site
        self._dice = dice
        self._load = load
        self._over = asyncio.Event()
        self._news = asyncio.Event()

    def stop(self) -> None:
        """After what is under way, which is waited for."""
        self._over.set()

    async def client(self, registry: str) -> None:
        while not self._over.is_set():
            await self._instruct(registry)
            await asyncio.sleep(self._dice.uniform(0.0, 0.1))

    async def _instruct(self, registry: str) -> None:
        one = self._made(registry)
        self.sent[one.id] = one
        if one.fits:
            self._load.asked.append(one.asked)
        gateway = self._gateway(registry)
        receipt = await self._received(gateway, one)
        if self._dice.random() < AGAIN:
            assert await self._received(gateway, one) == receipt, "the first receipt again"
        while not one.told:
            self._news.clear()
            await self._news.wait()
        one.asked.answered = time.monotonic()
        self.answered[registry] += 1
        self._load.longest = max(self._load.longest, one.asked.answered - one.asked.begun)

    async def _received(self, gateway: GatewayClient, one: Sent) -> str:
        """Send it until it is received; the id that it was given."""
        while True:
            one.asked.tries += 1
            try:
                [told] = await gateway.send(one.body)
            except GatewayUnreachableError:
                told = None
            if isinstance(told, Received):
                return told.id
            assert told is None or told.code == RejectCode.XBSY.value, told
            await asyncio.sleep(0.1)

    async def reader(self, registry: str) -> None:
        """The mailbox of a registry as a stream that goes on after each death; until cancelled."""
        gateway, after = self._gateway(registry), None
        while True:
            try:
                async for message in gateway.follow(after):
                    self.sent[message.related or ""].told.append(message.definition)
                    after = message.cursor
                    self._news.set()
            except ProblemError:  # the node has no database at the moment, or is just stopping
                await asyncio.sleep(0.1)

    def _gateway(self, registry: str) -> GatewayClient:
        return GatewayClient(self._site.session, self._site.members[registry].url, "holder")

    # --- what is asked for -----------------------------------------------------------------------

    def _made(self, registry: str) -> Sent:
        """A delivery to any registry, or a movement between two accounts at one."""
        dice = self._dice
        fits = dice.random() >= REFUSED
        delivers = dice.random() < 0.5
        debit, credit = dice.sample(range(ACCOUNTS), 2)
        there = dice.choice(MEMBERS) if delivers else registry
        id = uuid.UUID(int=dice.getrandbits(128)).hex
        transfer = Transfer(
            id=operation_id("holder", id),
            debit=account(registry, debit),
            credit=account(there, credit),
            asset=BOND,
            quantity=Quantity(dice.randint(1, 9) if fits else 1_000 * FUNDS),
        )
        body = _delivery(registry, there, transfer) if delivers else _movement(registry, transfer)
        asked = Asked(transfer, registry, time.monotonic())
        return Sent(id=id, body=_message(registry, id, *body), asked=asked, fits=fits)


def _message(registry: str, id: str, definition: str, document: str) -> bytes:
    head = Header(
        sender=CUSTODIANS[registry],
        receiver=DEPOSITORIES[registry],
        business_message_id=id,
        definition=definition,
        created_at=time.time_ns(),
    )
    return render.business_message(head, document).encode()


def _delivery(registry: str, there: str, transfer: Transfer) -> tuple[str, str]:
    today = datetime.now(UTC).date()
    instruction = SettlementInstruction(
        sender=CUSTODIANS[registry],
        definition="sese.023.001.11",
        transaction_id=transfer.id[:30],
        movement=Movement.DELI,
        payment=Payment.FREE,
        trade_date=today,
        settlement_date=today,
        isin=transfer.asset,
        quantity_type=QuantityType.UNIT,
        quantity=str(transfer.quantity),
        safekeeping_account=transfer.debit,
        transaction_type="TRAD",
        delivering=SettlementParties(
            depository=DEPOSITORIES[registry], party1=CUSTODIANS[registry]
        ),
        receiving=SettlementParties(
            depository=DEPOSITORIES[there], party1=CUSTODIANS[there], account=transfer.credit
        ),
    )
    return instruction.definition, sese023.encode(instruction)


def _movement(registry: str, transfer: Transfer) -> tuple[str, str]:
    position = Position(
        owner=CUSTODIANS[registry],
        account=transfer.debit,
        isin=transfer.asset,
        quantity_type=QuantityType.UNIT,
        quantity=str(transfer.quantity),
    )
    instruction = PositionInstruction(
        id=transfer.id[:30],
        position=position,
        posting=Posting.TRANSFER,
        settlement_date=datetime.now(UTC).date(),
        payee_account=AccountId(transfer.credit),
    )
    return semt013.DEFINITION, semt013.write(instruction, CUSTODIANS[registry])


# --- what must be true ---------------------------------------------------------------------------


async def check_answers(site: Site, load: MessageLoad) -> None:
    """Each message has one answer, the right one, in the mailbox at the registry it came to."""
    found: Counter[str] = Counter()
    for member in site.members.values():
        box = await _everything(site, member)
        assert [int(each.cursor[1:], 16) for each in box] == list(range(1, len(box) + 1))
        for each in box:
            one = load.sent[each.related or ""]
            found[one.id] += 1
            assert one.asked.registry == member.name, one
            assert each.definition in (DONE if one.fits else NOT_DONE), (one, each)
    assert found == Counter(dict.fromkeys(load.sent, 1)), "every initiator is answered once"
    assert all(len(one.told) == 1 for one in load.sent.values()), "and the streams told it once"


async def _everything(site: Site, member: Member) -> list[wire.Delivery]:
    gateway = GatewayClient(site.session, member.url, "holder")
    found: list[wire.Delivery] = []
    while (page := await gateway.inbox(found[-1].cursor if found else None, PAGE)).messages:
        found += page.messages
    return found
