"""Statements through the whole gateway: pages, numbers and balances that follow on each other."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import asyncpg
import msgspec
import pytest

from gateway import statuses
from gateway.config import StatementSettings
from gateway.port import Busy, Denied, Refused, StatementMade, StatementWanted
from gateway.statements import pages
from htlc.units import AccountId, AssetId, LedgerId, Quantity
from ledgers.administration import DefineInstrument
from ledgers.port import Issue, Transfer
from ledgers.securities import security
from protocols.iso20022.advice import Outbound
from protocols.iso20022.instruction import CreditDebit, Movement
from protocols.iso20022.render import render
from protocols.iso20022.statements import (
    BankTransaction,
    CashPage,
    HoldingsPage,
    MovementsPage,
)
from tests.gateway.systems import (
    BUYER,
    ISIN,
    ISSUER,
    OPENING,
    OPERATOR,
    SELLER,
    System,
    account,
    system,
    until,
)
from tests.gateway.test_agreed_swaps import a_dvp
from tests.gateway.test_instructions import both, send, settled, told
from tests.protocols import samples
from tests.protocols.samples import assert_valid

DAY = 86_400 * 1_000_000_000
P = TypeVar("P", HoldingsPage, MovementsPage, CashPage)


async def state(running: System, member: str = SELLER, **wanted: object) -> list[StatementMade]:
    made = await running.engine.statements.state(member, StatementWanted(**wanted))  # type: ignore[arg-type]
    assert isinstance(made, Sequence), made
    return list(made)


async def stated(running: System, form: type[P], member: str = SELLER, **wanted: object) -> list[P]:
    """The pages of the one statement that is made for this."""
    before = len(await told(running, member))
    (made,) = await state(running, member, **wanted)
    found = (await told(running, member))[before:]
    assert len(found) == made.pages
    for n, page in enumerate(found, 1):
        assert isinstance(page, form)
        assert_valid(page)
        assert (page.head.page, page.head.last) == (n, n == made.pages)
        assert (page.head.statement, page.head.number) == (made.id, made.number)
    return [page for page in found if isinstance(page, form)]


async def trade(running: System) -> None:
    for side in both():
        await send(running, side)
    await until(lambda: settled(running, SELLER))
    await until(lambda: settled(running, BUYER))


async def test_what_was_settled_stands_in_each_statement_with_its_references(
    running: System,
) -> None:
    await trade(running)
    (holdings,) = await stated(running, HoldingsPage, kind="holdings")
    (position,) = holdings.holdings
    assert (position.isin, position.aggregate, position.not_available) == (
        ISIN,
        str(OPENING[ISIN] - 1000),
        "0",
    )
    assert holdings.head.servicer == "REGADEF0XXX" and holdings.head.active
    (movements,) = await stated(running, MovementsPage, kind="movements")
    (instrument,) = movements.instruments
    issued, delivered = instrument.transactions
    assert (issued.transaction_type, issued.movement) == ("ISSU", Movement.RECE)
    assert instrument.opening is not None and instrument.closing is not None
    assert (instrument.opening.quantity, instrument.closing.quantity) == (
        "0",
        str(OPENING[ISIN] - 1000),
    )
    assert (delivered.movement, delivered.quantity, delivered.amount, delivered.currency) == (
        Movement.DELI,
        "1000",
        "998.75",
        "EUR",
    )
    assert delivered.account_owner_tx.startswith("SELA") and delivered.counterparty_market_tx
    euros, dollars = [
        page for page in await _cash_pages(running, BUYER) if isinstance(page, CashPage)
    ]
    assert (euros.currency, dollars.currency) == ("EUR", "USD")
    paid = euros.entries[-1]
    assert (paid.amount, paid.credit_debit, paid.kind, paid.isin) == (
        "998.75",
        CreditDebit.DBIT,
        BankTransaction.SECURITIES,
        ISIN,
    )
    assert (paid.instruction_id or "").startswith("BUYR")
    assert _adds_up([euros]) and _adds_up([dollars])


async def _cash_pages(running: System, member: str) -> list[Outbound]:
    before = len(await told(running, member))
    await state(running, member, kind="cash")
    return (await told(running, member))[before:]


def _units(text: str) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole) * 100 + int(fraction.ljust(2, "0"))


def _adds_up(statement: Sequence[CashPage]) -> bool:
    """Opening + entries = closing, on each page; each page opens with what the last closed with;
    entries are numbered without a gap."""
    signs = {CreditDebit.CRDT: 1, CreditDebit.DBIT: -1}
    for page in statement:
        total = sum(signs[entry.credit_debit] * _units(entry.amount) for entry in page.entries)
        assert _units(page.opening) + total == _units(page.closing)
    for one, other in itertools.pairwise(statement):
        assert other.opening == one.closing
    numbers = [int(entry.reference) for page in statement for entry in page.entries]
    assert numbers == list(range(1, len(numbers) + 1))
    available = [page.closing_available is not None for page in statement]
    assert available == [False] * (len(statement) - 1) + [True]
    return True


async def test_what_is_locked_is_held_and_not_available(running: System) -> None:
    terms = a_dvp(quantity=300)
    running.engine.links[LedgerId("bank")].trusted = False  # the cash leg is not locked
    await running.desk.take_settlements(SELLER, [(terms, b"digest")])

    async def locked() -> bool:
        return (await running.balance("registry", SELLER, ISIN))[1] == 300

    await until(locked)
    (page,) = await stated(running, HoldingsPage, kind="holdings")
    (position,) = page.holdings
    assert (position.aggregate, position.available, position.not_available) == (
        str(OPENING[ISIN]),
        str(OPENING[ISIN] - 300),
        "300",
    )
    (movements,) = await stated(running, MovementsPage, kind="movements")
    assert len(movements.instruments[0].transactions) == 1  # a lock is no movement
    running.engine.links[LedgerId("bank")].trusted = True
    await until(lambda: not running.engine.runner.lives)


async def test_pages_follow_each_other_and_only_the_last_says_so(
    running: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "LINES", 3)
    for _ in range(4):
        await trade(running)
    cash = await _cash_pages(running, SELLER)
    payments = [page for page in cash if isinstance(page, CashPage) and page.currency == "EUR"]
    assert [len(page.entries) for page in payments] == [3, 2]  # the opening issue, four trades
    assert _adds_up(payments)
    assert {entry.kind for page in payments for entry in page.entries} == {
        BankTransaction.ISSUE,
        BankTransaction.SECURITIES,
    }
    (one, two) = await stated(running, MovementsPage, kind="movements")
    first, second = one.instruments[0], two.instruments[0]
    assert first.closing is not None and second.opening is not None
    assert first.closing.quantity == second.opening.quantity
    assert [(first.opening.final, first.closing.final)] == [(True, False)]  # type: ignore[union-attr]
    assert [(second.opening.final, second.closing.final)] == [(False, True)]  # type: ignore[union-attr]


@pytest.fixture
async def by_hand(dsns: dict[str, str], tmp_path: Path) -> AsyncIterator[System]:
    """A gateway that closes days only when it is told to, by a clock that is two days ahead: today
    is over. Yesterday was closed before anything happened."""
    never = StatementSettings(daily=False)
    async with system(dsns, tmp_path) as made, made.gateway(statements=never) as running:
        service = running.engine.statements
        service._now = lambda: int(datetime.now(UTC).timestamp() * 1e9) + 2 * DAY
        for ledger in ("registry", "bank"):
            await service._store.close(ledger, datetime.now(UTC).date() - timedelta(days=1), 0)
        yield running


async def close_days(running: System, days: int) -> None:
    """Close what is over when the ledgers' clocks, too, are so many days ahead."""
    service = running.engine.statements
    real = service._ledgers
    service._ledgers = {name: _Ahead(ledger, days * DAY) for name, ledger in real.items()}
    await service.close_days()
    service._ledgers = real


async def test_daily_statements_open_with_what_yesterday_closed_with_also_where_nothing_moved(
    by_hand: System,
) -> None:
    running, today = by_hand, datetime.now(UTC).date()
    await trade(running)
    await close_days(running, 2)
    sent = [page for page in await told(running, SELLER) if isinstance(page, CashPage)]
    by_currency = {
        currency: [page for page in sent if page.currency == currency]
        for currency in ("EUR", "USD")
    }
    for series in by_currency.values():
        assert [page.head.number for page in series] == [1, 2]
        assert [page.head.business_date for page in series] == [today, today + timedelta(days=1)]
        assert series[1].opening == series[0].closing
        assert not series[1].head.active and not series[1].entries
        assert all(_adds_up([page]) for page in series)
    holdings = [page for page in await told(running, SELLER) if isinstance(page, HoldingsPage)]
    assert [page.head.number for page in holdings] == [1, 2]
    count = len(await told(running, SELLER))
    await close_days(running, 2)  # each once
    assert len(await told(running, SELLER)) == count
    again, _ = await state(running, kind="cash", day=today)
    assert (again.number, again.frequency) == (1, "DAIL")
    copy = [page for page in await told(running, SELLER) if isinstance(page, CashPage)][-2]
    assert copy == by_currency["EUR"][0]


class _Ahead:
    """A ledger whose clock is ahead of what it is: its business day is over."""

    def __init__(self, ledger: object, by: int) -> None:
        self._ledger = ledger
        self._by = by

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, name)

    async def describe(self) -> object:
        description = await self._ledger.describe()  # type: ignore[attr-defined]
        return msgspec.structs.replace(description, at=description.at + self._by)


async def test_a_day_is_not_over_before_the_ledgers_own_clock_says_so(by_hand: System) -> None:
    before = len(await told(by_hand, SELLER))
    await close_days(by_hand, 0)
    assert len(await told(by_hand, SELLER)) == before


async def test_what_a_member_cannot_have_is_told_with_its_field(running: System) -> None:
    service = running.engine.statements

    async def fault(**wanted: object) -> str:
        answer = await service.state(SELLER, StatementWanted(**wanted))  # type: ignore[arg-type]
        assert isinstance(answer, Refused), answer
        return answer.faults[0].field

    assert await fault(account=account("bank", BUYER)) == "account"
    assert await fault(ledger="elsewhere") == "ledger"
    assert await fault(ledger="bank", kind="holdings") == "kind"
    assert await fault(day=date(2020, 1, 2)) == "date"


async def test_a_ledger_that_is_away_or_has_another_past_is_told(
    by_hand: System, dsns: dict[str, str]
) -> None:
    running, service = by_hand, by_hand.engine.statements
    await close_days(running, 1)
    connection = await asyncpg.connect(dsns["bank"])
    await connection.execute(
        "UPDATE balances SET available = available + 5 WHERE account = $1", account("bank", SELLER)
    )
    await connection.close()
    answer = await service.state(SELLER, StatementWanted(kind="cash"))
    assert isinstance(answer, Denied) and "yesterday closed" in answer.why
    assert any("PAGE: no statement" in line for line in running.said)
    name = LedgerId("bank")
    service._ledgers[name]._url = "http://127.0.0.1:9"  # type: ignore[attr-defined, index]
    assert isinstance(await service.state(SELLER, StatementWanted(kind="cash")), Busy)


async def test_a_statement_of_many_positions_is_read_in_bounded_pages(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    many = 600
    async with system(dsns, tmp_path) as made:
        registry = made.ledgers["registry"]
        isins = [f"XS{n:09d}" for n in range(many)]
        isins = [isin + _check_digit(isin) for isin in isins]
        acts = [
            DefineInstrument(
                instrument=security(
                    isin=isin,
                    name="Bond",
                    scale=0,
                    quantity_type="FaceAmt",
                    issuer=ISSUER.name,
                    issuer_account=AccountId("issuer"),
                )
            )
            for isin in isins
        ]
        assert not any(await registry.administer(OPERATOR, acts))
        issues = [
            Issue(
                id=f"more-{isin}",
                account=AccountId(account("registry", SELLER)),
                asset=AssetId(isin),
                quantity=Quantity(7),
            )
            for isin in isins
        ]
        answers = await registry.as_principal(ISSUER).apply(issues)
        assert all(getattr(answer, "refusal", "unknown") is None for answer in answers)
        async with made.gateway() as running:
            found = await stated(running, HoldingsPage, kind="holdings")
            assert [len(page.holdings) for page in found] == [250, 250, 101]
            shown = [held.isin for page in found for held in page.holdings]
            assert shown == sorted([*isins, ISIN])


def _check_digit(eleven: str) -> str:
    digits = "".join(str(int(c, 36)) for c in eleven)
    total = 0
    for n, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if n % 2 == 0 else 1)
        total += value // 10 + value % 10
    return str(-total % 10)


async def test_two_requests_at_once_have_two_numbers(running: System) -> None:
    both_made = await asyncio.gather(
        state(running, kind="holdings"), state(running, kind="holdings")
    )
    assert sorted(made.number for (made,) in both_made) == [1, 2]


async def test_a_transfer_between_accounts_is_booked_as_one(running: System) -> None:
    owner = msgspec.structs.replace(OPERATOR, name=SELLER, role="owner")
    move = Transfer(
        id="gift",
        debit=AccountId(account("bank", SELLER)),
        credit=AccountId(account("bank", BUYER)),
        asset=AssetId("EUR"),
        quantity=Quantity(250),
    )
    (answer,) = await running.ledgers["bank"].as_principal(owner).apply([move])
    assert getattr(answer, "refusal", "unknown") is None
    for member, kind in ((SELLER, BankTransaction.DEBITED), (BUYER, BankTransaction.CREDITED)):
        euros = next(
            page
            for page in await _cash_pages(running, member)
            if isinstance(page, CashPage) and page.currency == "EUR"
        )
        assert (euros.entries[-1].kind, euros.entries[-1].amount) == (kind, "2.5")


@pytest.mark.parametrize(
    ("name", "id", "said"),
    [
        ("semt.002-holdings", "REGA-HOLD-20261008-01", "holdings, page 1, the last"),
        ("semt.002-page", "REGA-HOLD-20261008-01", "holdings, page 2"),
        ("semt.017-postings", "REGA-POST-20261008", "movements, page 1, the last"),
        ("camt.053-day", "CBKA-S-SELADE-281", "cash, page 1, the last"),
        ("semt.013-lock-instruction", "GWLK2610080417S", "position, to do"),
        ("semt.014-lock-lack", "GWLK2610080417S", "LACK: position, not done"),
        ("semt.015-lock-confirmation", "GWLK2610080417S", "position, done"),
    ],
)
def test_the_command_line_says_what_a_message_is(name: str, id: str, said: str) -> None:
    value = samples.outbound()[name]
    read = statuses.told(render(value, samples.reply_header(value)))
    assert (read.transaction_id, str(read), read.is_final) == (id, said, False)
