"""How the custodians of the day write: identifiers, headers, versions, batches."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

from gateway.demo.trades import BUSINESS_DATE
from gateway.machine.world import MemberSpec, World
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

SERVICE: Final = "lockstep.dvp.01"

OPENING: Final = datetime(2026, 10, 8, 5, 30, tzinfo=UTC)
"""When the first message of the day is made; each further one of a custodian is a second later."""

VERSIONS: Final = {
    "DONAATW0XXX": "sese.023.001.09",
    "TEJOPTP0XXX": "sese.023.001.10",
    "SAIMFIH0XXX": "sese.023.001.13",
}
"""The version is a property of the connection: most send .11, some are older or newer."""


class Custodian:
    """One sender: its messages in the order in which it made them, and the files they are in."""

    def __init__(self, member: MemberSpec, gateway: str) -> None:
        self.member = member
        self.bic = member.bic
        self.version = VERSIONS.get(member.bic, "sese.023.001.11")
        self.messages: dict[str, str] = {}  # by BizMsgIdr
        self.files: dict[str, bytes] = {}
        self._gateway = gateway
        self._made = 0

    def account(self, ledger: str) -> str:
        return next(iter(self.member.accounts[ledger]))

    def next_transaction(self) -> str:
        """A reference of its own for a transaction, never used again."""
        return f"{self.bic[:4]}-{BUSINESS_DATE:%Y%m%d}-{self._made + 1:04d}"

    def head(self, reference: str, definition: str | None = None) -> Header:
        created = int(OPENING.timestamp()) + self._made
        return Header(
            sender=self.bic,
            receiver=self._gateway,
            business_message_id=reference,
            definition=definition or self.version,
            business_service=SERVICE,
            created_at=created * 1_000_000_000,
        )

    def instruct(self, instruction: SettlementInstruction) -> str:
        """Make a message of an instruction; its BizMsgIdr."""
        reference, text = self.message(instruction)
        self.messages[reference] = text
        return reference

    def message(self, instruction: SettlementInstruction) -> tuple[str, str]:
        """A new message with its BizMsgIdr, not yet in any file."""
        self._made += 1
        reference = f"{self.bic[:8]}{BUSINESS_DATE:%y%m%d}{self._made:06d}"
        document = sese023.encode(instruction, self.version)
        return reference, render.business_message(self.head(reference), document)

    def write(self, name: str, references: list[str]) -> None:
        """Put messages into a file: one as it is, several as a batch."""
        texts = [self.messages[reference] for reference in references]
        text = texts[0] if len(texts) == 1 else render.batch([f"\n{text}" for text in texts])
        self.put(name, text)

    def put(self, name: str, text: str) -> None:
        """A file with any content."""
        assert name not in self.files, f"{name} is written already"
        self.files[name] = f"{text}\n".encode()


class Desk:
    """All custodians, and what their instructions have in common."""

    def __init__(
        self, known: World, registry: str = "registry", cash: Mapping[str, str] | None = None
    ) -> None:
        """`registry` is the ledger of the securities, `cash` that of each currency."""
        self._name = registry
        self._registry = known.ledgers[registry]
        self._cash = {"EUR": "euro"} if cash is None else cash
        self.custodians = {
            member.bic: Custodian(member, known.gateway.bic) for member in known.members
        }

    def instruction(
        self,
        sender: Custodian,
        movement: Movement,
        *,
        counterparty: str,
        common: str,
        trade_date: date,
        settlement_date: date,
        isin: str,
        quantity: int,
        amount: Decimal,
        currency: str = "EUR",
        hold: bool = False,
    ) -> SettlementInstruction:
        """One side's instruction, as that side writes it."""
        delivers = movement is Movement.DELI
        own = self._party(sender.bic, sender.account(self._name))
        other = self._party(counterparty, None)
        kind = self._registry.assets[isin].quantity_type
        return SettlementInstruction(
            sender=sender.bic,
            definition=sender.version,
            transaction_id=sender.next_transaction(),
            movement=movement,
            payment=Payment.APMT,
            common_id=common,
            trade_date=trade_date,
            settlement_date=settlement_date,
            isin=isin,
            quantity_type=QuantityType(kind),
            quantity=str(quantity),
            account_owner=sender.bic,
            safekeeping_account=sender.account(self._name),
            cash_account=sender.account(self._cash[currency]),
            hold=hold,
            transaction_type="TRAD",
            delivering=own if delivers else other,
            receiving=other if delivers else own,
            amount=f"{amount:.2f}",
            currency=currency,
            credit_debit=CreditDebit.CRDT if delivers else CreditDebit.DBIT,
        )

    def _party(self, bic: str, account: str | None) -> SettlementParties:
        member = self.custodians.get(bic)
        return SettlementParties(
            depository=self._registry.depository or "",
            party1=bic,
            lei=member.member.lei if member else None,
            account=account,
        )
