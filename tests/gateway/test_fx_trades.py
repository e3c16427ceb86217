"""fxtr.014 to .016 through the gateway, on two currency ledgers: what settles, who is told what."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest

from gateway.ids import new_id
from gateway.port import Taken
from protocols.iso20022 import envelope, fxtr014_write, render
from protocols.iso20022.advice import Outbound
from protocols.iso20022.errors import ProtocolError, RejectCode
from protocols.iso20022.fx import (
    FxAmendment,
    FxAmount,
    FxCancellation,
    FxStatus,
    FxTrade,
    Rate,
)
from protocols.iso20022.header import Header
from protocols.iso20022.payment import CashEntry, PaymentStatus, SystemEvent
from tests import postgres
from tests.gateway.systems import BUYER, OPENING, SELLER, System, account, system, until

TODAY = date(2026, 10, 8)
BANK_A, BANK_B = SELLER, BUYER
EUROS = FxAmount(currency="EUR", amount="1000000")
FRANCS = FxAmount(currency="CHF", amount="941200")
_outbound = msgspec.json.Decoder(Outbound)


@pytest.fixture
async def stopped(postgres_server: str, tmp_path: Path) -> AsyncIterator[System]:
    """A euro and a franc ledger, and a gateway that is not running."""
    dsns = {
        name: await postgres.empty_database(postgres_server, f"system_{name}")
        for name in ("euro", "franc", "gateway")
    }
    async with system(dsns, tmp_path) as made:
        yield made


@pytest.fixture
async def running(stopped: System) -> AsyncIterator[System]:
    async with stopped.gateway():
        yield stopped


def trade(member: str, **changes: object) -> FxTrade:
    """A sells euros for francs to B."""
    sells = member == BANK_A
    plain = FxTrade(
        sender=member,
        definition="fxtr.014.001.05",
        transaction_id=f"{member[:4]}{new_id()[-12:]}",
        trade_date=TODAY - timedelta(days=2),
        settlement_date=TODAY,
        party=member,
        counterparty=BANK_B if sells else BANK_A,
        buys=FRANCS if sells else EUROS,
        sells=EUROS if sells else FRANCS,
        rate=Rate(value="0.9412", decimals=4, unit="EUR", quoted="CHF"),
        operation="NEWT",
        pvp=True,
    )
    return msgspec.structs.replace(plain, **changes)


def message(member: str, definition: str, document: str, id: str | None) -> envelope.Enveloped:
    head = Header(
        sender=member,
        receiver="LCKSNL20XXX",
        business_message_id=id or new_id().replace("-", ""),
        definition=definition,
        created_at=1_790_000_000_000_000_000,
    )
    (enveloped,) = envelope.split(render.business_message(head, document).encode())
    assert isinstance(enveloped, envelope.Enveloped), enveloped
    return enveloped


def instruction(item: FxTrade, id: str | None = None) -> envelope.Enveloped:
    return message(item.sender, item.definition, fxtr014_write.encode(item, item.definition), id)


async def send(running: System, item: FxTrade, id: str | None = None) -> Taken:
    (taken,) = await running.desk.take_messages(item.sender, [instruction(item, id)])
    assert isinstance(taken, Taken), taken
    return taken


async def told(running: System, member: str) -> list[FxStatus]:
    stored = await running.desk.read(member, after=0, limit=500)
    values = [_outbound.decode(item.content) for item in stored]
    beside = (FxStatus, PaymentStatus, CashEntry, SystemEvent)  # of trade, money, business day
    assert all(isinstance(value, beside) for value in values)
    return [value for value in values if isinstance(value, FxStatus)]


async def said(running: System, member: str) -> list[str]:
    """The statuses in short: status, sub-status, what is answered."""
    return [
        " ".join(part for part in (value.status, value.sub_status, value.answers) if part)
        for value in await told(running, member)
    ]


async def ends(running: System, count: int = 1) -> bool:
    """Whether each side has as many end states."""
    found = [
        sum(value.is_final for value in await told(running, member)) for member in (BANK_A, BANK_B)
    ]
    return found == [count, count]


async def test_two_sides_one_after_the_other_settle_and_are_told(running: System) -> None:
    await send(running, trade(BANK_A))
    assert await said(running, BANK_A) == ["UMTC"]
    await send(running, trade(BANK_B))
    await until(lambda: ends(running))
    assert await said(running, BANK_A) == ["UMTC", "FMTC", "STLD"]
    assert await said(running, BANK_B) == ["FMTC", "STLD"]
    assert await running.balance("euro", BANK_B, "EUR") == (OPENING["EUR"] + 1_000_000_00, 0)
    assert await running.balance("euro", BANK_A, "EUR") == (OPENING["EUR"] - 1_000_000_00, 0)
    assert await running.balance("franc", BANK_A, "CHF") == (OPENING["CHF"] + 941_200_00, 0)
    a, b = (await told(running, BANK_A))[-1], (await told(running, BANK_B))[-1]
    assert (a.market_tx, a.counterparty_market_tx) == (b.counterparty_market_tx, b.market_tx)
    assert a.matching_tx == b.matching_tx is not None
    assert a.at == b.at  # ledger time of the last leg


async def test_both_sides_at_once_are_told_matched_and_settled(running: System) -> None:
    await asyncio.gather(send(running, trade(BANK_A)), send(running, trade(BANK_B)))
    await until(lambda: ends(running))
    assert [(await said(running, member))[-2:] for member in (BANK_A, BANK_B)] == [
        ["FMTC", "STLD"]
    ] * 2


async def test_two_versions_of_the_instruction_match_each_other(running: System) -> None:
    await send(running, trade(BANK_A, definition="fxtr.014.001.03"))
    await send(running, trade(BANK_B, definition="fxtr.014.001.06"))
    await until(lambda: ends(running))


async def test_a_near_miss_is_told_to_both_with_its_code(running: System) -> None:
    await send(running, trade(BANK_A))
    other = FxAmount(currency="CHF", amount="941250")
    rate = Rate(value="0.94125", decimals=5)
    await send(running, trade(BANK_B, sells=other, rate=rate))
    assert await said(running, BANK_A) == ["UMTC", "UMTC DMON"]
    assert await said(running, BANK_B) == ["UMTC DMON"]
    await send(running, trade(BANK_B))
    await until(lambda: _ended(running, BANK_A))
    assert await said(running, BANK_A) == ["UMTC", "UMTC DMON", "FMTC", "STLD"]


async def _ended(running: System, member: str) -> bool:
    return any(value.is_final for value in await told(running, member))


async def test_a_trade_that_breaks_a_rule_is_told_which_and_never_matches(
    running: System,
) -> None:
    await send(running, trade(BANK_A, paying_account=account("euro", BANK_B)))
    await send(running, trade(BANK_A, sells=FxAmount(currency="SEK", amount="1000000")))
    await send(running, trade(BANK_B))
    values = await told(running, BANK_A)
    assert await said(running, BANK_A) == ["INVA CASH", "INVA NCRR"]
    assert all(value.is_final and (value.text or "").startswith("/Doc") for value in values)
    assert await said(running, BANK_B) == ["UMTC"]


async def test_named_accounts_are_the_ones_that_pay_and_are_paid(running: System) -> None:
    named = {
        "paying_account": account("euro", BANK_A),
        "receiving_account": account("franc", BANK_A),
    }
    await send(running, trade(BANK_A, **named))
    await send(running, trade(BANK_B))
    await until(lambda: ends(running))


async def test_a_past_value_date_settles_today_and_a_future_one_waits(stopped: System) -> None:
    day = {"settlement_date": TODAY + timedelta(days=1)}
    async with stopped.gateway(business_date=TODAY.isoformat()) as running:
        past = {"settlement_date": TODAY - timedelta(days=1)}
        await send(running, trade(BANK_A, **past))
        await send(running, trade(BANK_B, **past))
        await until(lambda: ends(running))
        await send(running, trade(BANK_A, **day))
        await send(running, trade(BANK_B, **day))
        assert (await said(running, BANK_B))[-1] == "FMTC FUTU"
        assert not running.engine.runner.lives
    async with stopped.gateway(business_date=day["settlement_date"].isoformat()) as running:
        await until(lambda: ends(running, 2))
        assert (await said(running, BANK_A))[-3:] == ["FMTC FUTU", "SMAT", "STLD"]


async def short(running: System) -> FxTrade:
    """A matched trade for which A has 500 euros too few: A's side of it."""
    much = FxAmount(currency="EUR", amount=str(OPENING["EUR"] // 100 + 500))
    francs = FxAmount(currency="CHF", amount="50000.5")
    rate = Rate(value="0.001", decimals=3, unit="EUR")
    item = trade(BANK_A, sells=much, buys=francs, rate=rate)
    await send(running, item)
    await send(running, trade(BANK_B, buys=much, sells=francs, rate=rate))
    await until(lambda: _said(running, BANK_A, "SMAP MONY"))
    return item


async def help_out(running: System) -> None:
    """Another trade brings A the euros."""
    euros, francs = FxAmount(currency="EUR", amount="500"), FxAmount(currency="CHF", amount="500")
    rate = Rate(value="1", decimals=0)
    await send(running, trade(BANK_B, sells=euros, buys=francs, rate=rate))
    await send(running, trade(BANK_A, buys=euros, sells=francs, rate=rate))
    await until(lambda: ends(running, 2))


async def test_short_of_money_stays_pending_and_settles_when_it_comes(running: System) -> None:
    await short(running)
    assert "SMAP CMON" in await said(running, BANK_B)
    await help_out(running)
    assert (await said(running, BANK_A)).count("SMAP MONY") == 1
    assert (await running.balance("euro", BANK_A, "EUR"))[0] == 0


async def _said(running: System, member: str, what: str) -> bool:
    return what in await said(running, member)


async def test_the_same_again_gets_the_stored_answer_and_nothing_else(running: System) -> None:
    item = trade(BANK_A)
    first = await send(running, item, "ONCE")
    assert await send(running, item, "ONCE") == msgspec.structs.replace(first, is_repeated=True)
    assert len(await told(running, BANK_A)) == 1
    (other,) = await running.desk.take_messages(BANK_A, [instruction(trade(BANK_A), "ONCE")])
    assert isinstance(other, ProtocolError)
    assert other.code is RejectCode.XDUP


async def test_a_business_reference_is_used_once(running: System) -> None:
    await send(running, trade(BANK_A, transaction_id="REF1"))
    await send(running, trade(BANK_A, transaction_id="REF1", common_id="ANOTHER"))
    assert await said(running, BANK_A) == ["UMTC", "RJCT REFE"]


async def test_a_gateway_that_dies_after_matching_settles_after_its_start(stopped: System) -> None:
    async with stopped.gateway() as running:
        await send(running, trade(BANK_A))
        await send(running, trade(BANK_B))
    async with stopped.gateway() as running:
        await until(lambda: ends(running))
        assert await said(running, BANK_B) == ["FMTC", "STLD"]
    assert await stopped.balance("franc", BANK_A, "CHF") == (OPENING["CHF"] + 941_200_00, 0)


# ---------------------------------------------------------------------- cancellation, amendment

LATER = {"settlement_date": date(2033, 1, 4)}


async def ask(running: System, asked: FxCancellation | FxAmendment) -> None:
    member = asked.trade.sender
    if isinstance(asked, FxCancellation):
        request = message(member, "fxtr.016.001.05", fxtr014_write.encode_cancellation(asked), None)
    else:
        request = message(member, "fxtr.015.001.05", fxtr014_write.encode_amendment(asked), None)
    (taken,) = await running.desk.take_messages(member, [request])
    assert isinstance(taken, Taken), taken


async def cancel(running: System, item: FxTrade) -> None:
    """Cancel a trade by the gateway's reference, as it was told."""
    first = (await told(running, item.sender))[0]
    asked = FxCancellation(market_reference=first.market_tx, reason="BOOKING ERROR", trade=item)
    await ask(running, asked)


async def matched(running: System, **changes: object) -> tuple[FxTrade, FxTrade]:
    a, b = trade(BANK_A, **changes), trade(BANK_B, **changes)
    await send(running, a)
    await send(running, b)
    return a, b


async def test_a_trade_that_is_alone_is_rescinded_at_once_and_matches_no_more(
    running: System,
) -> None:
    item = trade(BANK_A)
    await send(running, item)
    await cancel(running, item)
    assert await said(running, BANK_A) == ["UMTC", "RSCD"]
    await cancel(running, item)
    assert await said(running, BANK_A) == ["UMTC", "RSCD", "RSCD DCAN CANC"]
    await send(running, trade(BANK_B))
    assert await said(running, BANK_B) == ["UMTC"]
    assert [value.is_final for value in await told(running, BANK_A)] == [False, True, False]


async def test_a_matched_trade_that_waits_is_rescinded_by_both(running: System) -> None:
    a, b = await matched(running, **LATER)
    await cancel(running, a)
    assert await said(running, BANK_A) == ["UMTC", "FMTC FUTU", "FMTC CONF CANC"]
    assert await said(running, BANK_B) == ["FMTC FUTU", "FMTC CXRQ"]
    await cancel(running, b)
    assert (await said(running, BANK_A))[-1] == (await said(running, BANK_B))[-1] == "RSCD"
    assert await ends(running)
    assert not list(running.engine.pending)


async def test_one_side_alone_does_not_stop_a_matched_trade(running: System) -> None:
    """B has asked for nothing: the trade settles, and A's request is denied with that."""
    await cancel(running, await short(running))
    await help_out(running)
    assert "STLD DSET CANC" in await said(running, BANK_A)


async def test_a_settled_trade_and_an_unknown_one_are_not_rescinded(running: System) -> None:
    a, _ = await matched(running)
    await until(lambda: ends(running))
    await cancel(running, a)
    assert (await said(running, BANK_A))[-1] == "STLD DSET CANC"
    unknown = FxCancellation(market_reference="NOTOURS", reason=None, trade=a)
    await ask(running, unknown)
    assert (await said(running, BANK_A))[-1] == "RJCT REFE CANC"
    assert await ends(running)  # answers are no second end


async def test_an_amended_trade_is_matched_as_it_is_now(running: System) -> None:
    wrong = trade(BANK_A, common_id="MINE")
    await send(running, wrong)
    await send(running, trade(BANK_B, common_id="OURS"))
    assert (await said(running, BANK_A))[-1] == "UMTC IIND"
    reference = (await told(running, BANK_A))[0].market_tx
    right = msgspec.structs.replace(
        wrong, definition="fxtr.015.001.05", operation="AMND", common_id="OURS"
    )
    bad = msgspec.structs.replace(right, counterparty="NOBODY20XXX")
    await ask(running, FxAmendment(market_reference=reference, reason="TYPO", trade=bad))
    assert (await said(running, BANK_A))[-1] == "UMTC ICAG AMND"
    await ask(running, FxAmendment(market_reference=reference, reason="TYPO", trade=right))
    await until(lambda: ends(running))
    assert (await said(running, BANK_A))[-3:] == ["UMTC DONE AMND", "FMTC", "STLD"]
    assert (await told(running, BANK_A))[-1].trade.common_id == "OURS"


async def test_both_sides_stop_a_trade_before_its_commit_or_neither_does(running: System) -> None:
    """Whatever the race with the settlement ends in, both sides hear the same end, once."""
    a, b = trade(BANK_A), trade(BANK_B)
    await asyncio.gather(send(running, a), send(running, b))
    await asyncio.gather(cancel(running, a), cancel(running, b))
    await until(lambda: ends(running))
    finals = {
        value.status
        for member in (BANK_A, BANK_B)
        for value in await told(running, member)
        if value.is_final
    }
    assert len(finals) == 1
    locked = [(await running.balance("euro", BANK_A, "EUR"))[1]]
    assert locked == [0]
