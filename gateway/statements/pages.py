"""The pages of a statement, made one after the other: no more of it is in memory than a page.

A page is handed on when the next line is known to exist or not, so that the last one says that it
is the last. A statement with nothing in it is one page that says so.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Final, TypeVar

import msgspec

from gateway.statements.balances import balances, movements
from gateway.statements.known import Known, Referring
from gateway.statements.periods import Numbered, Source
from gateway.statements.references import Reference
from htlc.units import AssetId
from ledgers.book import Kind as Posted
from ledgers.books import change_of
from ledgers.port import Fact
from protocols.iso20022.instruction import CreditDebit, Movement, Payment, QuantityType
from protocols.iso20022.lexical import from_units
from protocols.iso20022.statements import (
    Balance,
    BankTransaction,
    CashPage,
    Entry,
    Holding,
    HoldingsPage,
    InstrumentMovements,
    MovementsPage,
    PageHead,
    Transaction,
)

LINES: Final = 250
"""Positions or movements of a page: 50 kB as they are kept, 150 kB as XML. Below the 256 kB that
many message hubs take, and a statement of 25,000 positions is a hundred pages."""

T = TypeVar("T")

_TYPES: Final = {Posted.ISSUE: "ISSU", Posted.REDEEM: "REDM", Posted.TRANSFER: "OWNE"}
"""SecuritiesTransactionType of what is no settlement; OWNE is a transfer between accounts."""


class StatementError(Exception):
    """The ledger's postings do not lead from the last closing balance to this one."""


async def chunks(lines: AsyncIterator[T]) -> AsyncIterator[tuple[tuple[T, ...], bool]]:
    """Lines by pages, each with whether it is the last; one empty page if there are no lines."""
    held: list[T] = []
    async for line in lines:
        if len(held) == LINES:
            yield tuple(held), False
            held = []
        held.append(line)
    yield tuple(held), True


class Pages:
    """Makes the pages of statements of one account."""

    def __init__(
        self, source: Source, directory: Known, references: Referring, wanted: Numbered
    ) -> None:
        self._books = source.books
        self._directory = directory
        self._references = references
        self._wanted = wanted
        self._subject = wanted.subject
        self._period = wanted.period
        self.closing: int | None = None  # of cash, once the last page is made

    def _head(self, page: int, last: bool, active: bool) -> PageHead:
        subject, period = self._subject, self._period
        return PageHead(
            statement=self._wanted.id.replace("-", ""),
            number=self._wanted.number,
            frequency=period.frequency,
            from_at=period.from_at,
            to_at=period.to_at,
            business_date=period.business_date,
            owner=subject.member,
            lei=subject.lei,
            servicer=subject.depository,
            account=subject.account,
            page=page,
            last=last,
            active=active,
        )

    def _text(self, asset: str, quantity: int) -> str:
        """A quantity as it is written. One below zero stands in no account: the ledger is wrong."""
        if quantity < 0:
            raise StatementError(f"{self._subject.account} holds {quantity} of {asset}")
        return from_units(quantity, self._directory.asset(self._subject.ledger, asset).scale)

    def _type(self, asset: str) -> QuantityType:
        described = self._directory.asset(self._subject.ledger, asset)
        return QuantityType(described.quantity_type)

    # ------------------------------------------------------------------ holdings

    async def holdings(self) -> AsyncIterator[HoldingsPage]:
        """semt.002, as of the end of the period."""
        number = 0
        async for lines, last in chunks(self._positions()):
            number += 1
            yield HoldingsPage(head=self._head(number, last, bool(lines)), holdings=lines)

    async def _positions(self) -> AsyncIterator[Holding]:
        subject = self._subject
        found = balances(self._books, subject.account, self._period.to_cursor)
        async for asset, available, locked in found:
            if available or locked:
                yield Holding(
                    isin=asset,
                    quantity_type=self._type(asset),
                    aggregate=self._text(asset, available + locked),
                    available=self._text(asset, available),
                    not_available=self._text(asset, locked),
                )

    # ------------------------------------------------------------------ movements

    async def movements(self) -> AsyncIterator[MovementsPage]:
        """semt.017. The first reading finds which instruments moved, how often and by how much;
        with their closing balances, each line of the second knows where it stands."""
        left: Counter[str] = Counter()
        moved: Counter[str] = Counter()
        async for fact in self._booked():
            left[fact.asset] += 1
            moved[fact.asset] += change_of(fact, self._subject.account).booked
        reached = await self._openings(moved)
        begun: set[str] = set()
        number = 0
        async for facts, last in chunks(self._booked()):
            number += 1
            told = await self._references.of(facts)
            instruments = self._instruments(facts, told, reached, left, begun)
            yield MovementsPage(
                head=self._head(number, last, bool(facts)), instruments=tuple(instruments)
            )

    async def _openings(self, moved: Mapping[str, int]) -> dict[str, int]:
        """What was booked of the instruments that moved, when the period began."""
        found = balances(self._books, self._subject.account, self._period.to_cursor)
        return {
            asset: available + locked - moved[asset]
            async for asset, available, locked in found
            if asset in moved
        }

    def _instruments(
        self,
        facts: Sequence[Fact],
        told: Sequence[Reference],
        reached: dict[str, int],
        left: Counter[str],
        begun: set[str],
    ) -> list[InstrumentMovements]:
        """The movements of a page by instrument, in the order in which they first moved."""
        grouped: dict[AssetId, list[Transaction]] = {}
        openings = dict(reached)
        for fact, reference in zip(facts, told, strict=True):
            change = change_of(fact, self._subject.account).booked
            reached[fact.asset] += change
            left[fact.asset] -= 1
            line = self._transaction(fact, change, reference)
            grouped.setdefault(fact.asset, []).append(line)
        made = []
        for asset, lines in grouped.items():
            opening = Balance(quantity=self._text(asset, openings[asset]), final=asset not in begun)
            closing = Balance(quantity=self._text(asset, reached[asset]), final=not left[asset])
            begun.add(asset)
            made.append(
                InstrumentMovements(
                    isin=asset,
                    quantity_type=self._type(asset),
                    opening=opening,
                    closing=closing,
                    transactions=tuple(lines),
                )
            )
        return made

    def _transaction(self, fact: Fact, change: int, reference: Reference) -> Transaction:
        instruction = reference.instruction
        line = Transaction(
            account_owner_tx=(reference.own or fact.id)[:35],
            servicer_tx=fact.cursor,
            market_tx=reference.market,
            counterparty_market_tx=reference.counterparty_market,
            common_id=reference.common,
            transaction_type=_TYPES.get(Posted(fact.kind), "TRAD"),
            movement=Movement.RECE if change > 0 else Movement.DELI,
            payment=Payment.FREE if fact.htlc is None else Payment.APMT,
            quantity=self._text(fact.asset, abs(change)),
            effective_at=fact.at,
        )
        if instruction is None:
            return line
        return msgspec.structs.replace(
            line,
            amount=reference.amount,
            currency=instruction.currency,
            credit_debit=instruction.credit_debit,
            settlement_date=instruction.settlement_date,
        )

    async def _booked(self) -> AsyncIterator[Fact]:
        """The facts of the period that changed what the account holds; of one currency in cash."""
        subject, period = self._subject, self._period
        found = movements(self._books, subject.account, period.from_cursor, period.to_cursor)
        async for fact in found:
            if subject.asset in ("", fact.asset) and change_of(fact, subject.account).booked:
                yield fact

    # ------------------------------------------------------------------ cash

    async def cash(self, opening: int | None) -> AsyncIterator[CashPage]:
        """camt.053; `opening` is what the statement before closed with, where there is one."""
        asset = self._subject.asset
        moved = 0
        async for fact in self._booked():
            moved += change_of(fact, self._subject.account).booked
        available, locked = await self._balance(asset)
        reached = available + locked - moved
        if opening is not None and reached != opening:
            raise StatementError(
                f"{self._subject.account}: {asset} opens with {reached}, yesterday closed {opening}"
            )
        number = count = 0
        async for facts, last in chunks(self._booked()):
            number += 1
            told = await self._references.of(facts)
            start, entries = reached, []
            for fact, reference in zip(facts, told, strict=True):
                count += 1
                change = change_of(fact, self._subject.account).booked
                reached += change
                entries.append(self._entry(count, fact, change, reference))
            yield CashPage(
                head=self._head(number, last, bool(facts)),
                currency=asset,
                opening=self._text(asset, start),
                closing=self._text(asset, reached),
                closing_available=self._text(asset, available) if last else None,
                opening_date=self._period.opening_date,
                entries=tuple(entries),
            )
        if reached != available + locked:
            raise StatementError(f"{self._subject.account}: postings changed while they were read")
        self.closing = reached

    async def _balance(self, wanted: str) -> tuple[int, int]:
        found = balances(self._books, self._subject.account, self._period.to_cursor)
        async for asset, available, locked in found:
            if asset == wanted:
                return available, locked
        return 0, 0

    def _entry(self, count: int, fact: Fact, change: int, reference: Reference) -> Entry:
        instruction = reference.instruction
        return Entry(
            reference=str(count),
            amount=self._text(fact.asset, abs(change)),
            credit_debit=CreditDebit.CRDT if change > 0 else CreditDebit.DBIT,
            booked_at=fact.at,
            value_date=_date(fact.at),
            servicer_reference=fact.cursor,
            kind=_kind(fact, change, reference),
            instruction_id=reference.own,
            end_to_end_id=reference.common,
            market_tx=reference.market,
            isin=None if instruction is None else instruction.isin,
        )


def _kind(fact: Fact, change: int, reference: Reference) -> BankTransaction:
    match Posted(fact.kind):
        case Posted.ISSUE:
            return BankTransaction.ISSUE
        case Posted.REDEEM:
            return BankTransaction.REDEMPTION
        case Posted.TRANSFER:
            return BankTransaction.CREDITED if change > 0 else BankTransaction.DEBITED
        case _:
            if reference.instruction is not None:
                return BankTransaction.SECURITIES
            matched = reference.counterparty_market is not None
            return BankTransaction.FOREIGN_EXCHANGE if matched else BankTransaction.SWAP


def _date(at: int) -> date:
    return datetime.fromtimestamp(at // 1_000_000_000, UTC).date()
