"""Traffic for a campaign, and the account that is taken of it at the end.

Every request is repeated until it is answered: what a custodian's system does. What is sent is
remembered, so that the end of the campaign can be reckoned from outside: from the mailboxes, the
ledgers' own contracts, and the holdings.
"""

import asyncio
import random
import re
import time
import uuid
from collections import Counter, defaultdict
from datetime import date, timedelta
from typing import Any

import aiohttp
import msgspec

from gateway.client import GatewayClient, GatewayUnreachableError, Received
from gateway.http import wire
from gateway.http.notation import nanoseconds
from gateway.machine.world import World
from protocols.iso20022 import render, sese023
from protocols.iso20022.header import Header
from protocols.iso20022.instruction import (
    CreditDebit,
    Movement,
    Payment,
    QuantityType,
    SettlementInstruction,
    SettlementParties,
)
from tests.system.machine import Machine

REGISTRY, EURO = "registry", "euro"
DEADLINE = 240.0
"""For the last final notice. A settlement that nothing holds up takes milliseconds; one whose
ledger was away lapses at its `commit_by` (60 s), and a pair is tried again after that."""

CREATED_AT = 1_795_000_000_000_000_000


SKEW = 2_000_000_000
"""Nanoseconds by which the gateway's estimate of a ledger's clock may be ahead of it."""

BUSY = ("XBSY", "503")
"""What a message is answered with that should come again: as a message, or as a bare problem."""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A trade that was sent: who, what, and the two references or the one id it goes by."""

    seller: str
    buyer: str
    isin: str
    quantity: int  # whole units
    cents: int
    settlement: str | None = None
    references: tuple[str, str] | None = None  # TxId of the deliverer and of the receiver


class Load:
    """Random trades of a world's members."""

    def __init__(self, machine: Machine, world: World, session: aiohttp.ClientSession, seed: int):
        self._random = random.Random(seed)
        self._machine = machine
        self._world = world
        self.clients = {
            member: GatewayClient(session, machine.url, machine.token(member))
            for member in machine.people["members"]
        }
        self._members = sorted(self.clients)
        self._assets = world.ledgers[REGISTRY].assets
        self.sent: list[Sent] = []
        self.repeated = 0

    def account(self, member: str, ledger: str) -> str:
        account: str = self._machine.people["members"][member]["accounts"][ledger][0]
        return account

    def _trade(self) -> tuple[str, str, str, int, int]:
        """Two members, a security that the seller holds, and small sizes: nobody runs short."""
        while True:
            seller, buyer = self._random.sample(self._members, 2)
            holder = next(m for m in self._world.members if m.bic == seller)
            held = sorted(
                isin for assets in holder.accounts.get(REGISTRY, {}).values() for isin in assets
            )
            if held:
                size, cents = self._random.randint(1, 20), self._random.randint(100, 100_000)
                return seller, buyer, self._random.choice(held), size, cents

    async def swap(self) -> None:
        """One agreed swap, posted by its seller until it is taken."""
        seller, buyer, isin, quantity, cents = self._trade()
        id = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        scale = self._assets[isin].scale
        legs = [
            self._leg("SECU", REGISTRY, isin, _text(quantity * 10**scale, scale), seller, buyer),
            self._leg("CASH", EURO, "EUR", _text(cents, 2), buyer, seller),
        ]
        while True:
            try:
                await self.clients[seller].propose({"id": id, "legs": legs})
                break
            except GatewayUnreachableError:
                await self._again()
        self.sent.append(
            Sent(
                seller=seller,
                buyer=buyer,
                isin=isin,
                quantity=quantity,
                cents=cents,
                settlement=id,
            )
        )

    def _leg(
        self, leg: str, ledger: str, asset: str, quantity: str, payer: str, payee: str
    ) -> dict[str, Any]:
        return {
            "leg": leg,
            "ledger": ledger,
            "asset": asset,
            "quantity": quantity,
            "payer": {"member": payer, "account": self.account(payer, ledger)},
            "payee": {"member": payee, "account": self.account(payee, ledger)},
        }

    async def _again(self) -> None:
        self.repeated += 1
        await asyncio.sleep(0.05)

    async def pair(self) -> None:
        """Both sides of a trade as sese.023, each sent by its member until it is received."""
        trade = self._trade()
        references = tuple(f"{side}{self._random.getrandbits(48):012X}" for side in "DR")
        await asyncio.gather(
            self._instruct(Movement.DELI, trade, references[0]),
            self._instruct(Movement.RECE, trade, references[1]),
        )
        seller, buyer, isin, quantity, cents = trade
        self.sent.append(
            Sent(
                seller=seller,
                buyer=buyer,
                isin=isin,
                quantity=quantity,
                cents=cents,
                references=(references[0], references[1]),
            )
        )

    async def _instruct(
        self, movement: Movement, trade: tuple[str, str, str, int, int], reference: str
    ) -> None:
        seller, buyer, isin, quantity, cents = trade
        own = seller if movement is Movement.DELI else buyer
        head = Header(
            sender=own,
            receiver=self._machine.ready["bic"],
            business_message_id=f"M-{reference}",
            definition="sese.023.001.11",
            created_at=CREATED_AT,
        )
        depository = self._world.ledgers[REGISTRY].depository
        assert depository is not None
        today = date(2026, 11, 20)
        instruction = SettlementInstruction(
            sender=own,
            definition=head.definition,
            transaction_id=reference,
            movement=movement,
            payment=Payment.APMT,
            trade_date=today - timedelta(days=2),
            settlement_date=today,
            isin=isin,
            quantity_type=QuantityType(self._assets[isin].quantity_type),
            quantity=str(quantity),
            safekeeping_account=self.account(own, REGISTRY),
            cash_account=self.account(own, EURO),
            transaction_type="TRAD",
            delivering=SettlementParties(depository=depository, party1=seller),
            receiving=SettlementParties(depository=depository, party1=buyer),
            amount=_text(cents, 2),
            currency="EUR",
            credit_debit=CreditDebit.CRDT if movement is Movement.DELI else CreditDebit.DBIT,
        )
        body = render.business_message(head, sese023.encode(instruction)).encode()
        while True:
            try:
                (outcome,) = await self.clients[own].send(body)
            except GatewayUnreachableError:
                await self._again()
                continue
            if isinstance(outcome, Received):
                return
            assert outcome.code in BUSY, outcome
            await self._again()

    # ------------------------------------------------------------------ the account

    async def mailbox(self, member: str) -> list[wire.Delivery]:
        """Everything a member has been sent."""
        found: list[wire.Delivery] = []
        after: str | None = None
        while True:
            page = await self.clients[member].inbox(after, limit=500)
            found += page.messages
            after = page.next
            if not page.messages:
                return found

    async def settled(self, within: float = DEADLINE) -> dict[str, Counter[str]]:
        """Wait until every trade has its final notice; per member what it was told, counted."""
        wanted: defaultdict[str, set[str]] = defaultdict(set)
        for trade in self.sent:
            if trade.settlement is not None:
                wanted[trade.seller].add(f"final {trade.settlement}")
                wanted[trade.buyer].add(f"final {trade.settlement}")
            elif trade.references is not None:
                wanted[trade.seller].add(f"settled {trade.references[0]}")
                wanted[trade.buyer].add(f"settled {trade.references[1]}")
        deadline = time.monotonic() + within
        while True:
            told = {member: tally(await self.mailbox(member)) for member in self._members}
            missing = {
                member: sorted(wanted[member] - told[member].keys())
                for member in self._members
                if not wanted[member] <= told[member].keys()
            }
            if not missing:
                return told
            assert time.monotonic() < deadline, f"no final notice: {await self.stuck()} {missing}"
            await asyncio.sleep(0.3)

    async def lapsed(self, told: dict[str, Counter[str]]) -> set[str]:
        """The agreed swaps that were cancelled because their time was over. An agreed swap has one
        attempt; on a starved machine, or while its ledger was dead, not every lock is in time. Each
        must have been told the same to both sides, and not before that time."""
        found = set()
        for trade in self.sent:
            id = trade.settlement
            if id is None or told[trade.seller][f"SETTLED {id}"]:
                continue
            view = await self.clients[trade.seller].settlement(id)
            for member in (trade.seller, trade.buyer):
                assert told[member][f"{view.state} {id}"] == 1, view
            assert view.state in ("CANCELLED", "REJECTED"), view
            assert view.decision is not None, view
            in_time = [leg.lock_by for leg in view.legs]
            over = {"LEG_FINISHED": in_time, "COMMIT_BY_PASSED": [view.commit_by]}
            assert view.decision.reason in over, view
            ends = [end for end in over[view.decision.reason] if end is not None]
            assert await self._ended_at(trade, id) >= min(map(nanoseconds, ends)) - SKEW, view
            found.add(id)
        return found

    async def _ended_at(self, trade: Sent, id: str) -> int:
        messages = await self.mailbox(trade.seller)
        notice = next(
            message.message
            for message in messages
            if isinstance(message.message, dict)
            and message.message["final"]
            and message.message["settlement"] == id
        )
        at: str = notice["at"]
        return nanoseconds(at)

    async def stuck(self) -> list[wire.SettlementView]:
        """The settlements of the members that have not ended."""
        found: dict[str, wire.SettlementView] = {}
        for client in self.clients.values():
            before: str | None = None
            while True:
                page = await client.settlements(before, limit=200)
                for line in page.settlements:
                    if line.state not in ("SETTLED", "CANCELLED"):
                        found[line.id] = await client.settlement(line.id)
                if (before := page.next) is None:
                    break
        return list(found.values())


_TX_ID = re.compile(r"<AcctOwnrTxId>([^<]*)</AcctOwnrTxId>")


def tally(messages: list[wire.Delivery]) -> Counter[str]:
    """What a mailbox says, each statement with how often it is said."""
    counted: Counter[str] = Counter()
    assert len({message.id for message in messages}) == len(messages), "no message twice"
    assert len({message.cursor for message in messages}) == len(messages), "no cursor twice"
    for message in messages:
        if isinstance(message.message, dict):
            if message.message["final"]:
                counted[f"final {message.message['settlement']}"] += 1
                counted[f"state {message.message['state']}"] += 1
                counted[f"{message.message['state']} {message.message['settlement']}"] += 1
            continue
        if not message.definition.startswith("sese."):
            continue  # a statement, or a notice of money: it comes beside
        assert isinstance(message.xml, str)
        found = _TX_ID.search(message.xml)
        assert found is not None
        if message.definition.startswith("sese.025"):
            counted[f"settled {found[1]}"] += 1
        else:
            for status in ("AckdAccptd", "Mtchd/", "Umtchd", "Pdg", "Rjctd", "Canc"):
                if f"<{status}" in message.xml:
                    counted[f"{status.rstrip('/')} {found[1]}"] += 1
    return counted


def _text(units: int, scale: int) -> str:
    if not scale:
        return str(units)
    return f"{units // 10**scale}.{units % 10**scale:0{scale}d}"
