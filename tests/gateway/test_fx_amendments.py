"""fxtr.015 about matched trades: both sides ask for the same, or nothing changes."""

from msgspec.structs import replace

from protocols.iso20022.fx import FxAmendment, FxAmount, FxTrade
from tests.gateway.systems import OPENING, System, until
from tests.gateway.test_fx_told import audited
from tests.gateway.test_fx_trades import (
    BANK_A,
    BANK_B,
    LATER,
    TODAY,
    ask,
    cancel,
    ends,
    matched,
    running,
    said,
    short,
    stopped,
    told,
)

__all__ = ["running", "stopped"]

HALF_EUROS = FxAmount(currency="EUR", amount="500000")
HALF_FRANCS = FxAmount(currency="CHF", amount="470600")


async def amend(running: System, item: FxTrade, **changes: object) -> None:
    reference = (await told(running, item.sender))[0].market_tx
    trade = replace(item, definition="fxtr.015.001.05", operation="AMND", **changes)
    await ask(running, FxAmendment(market_reference=reference, reason="TYPO", trade=trade))


async def test_both_sides_amend_a_matched_trade_and_it_settles_as_amended(stopped: System) -> None:
    async with stopped.gateway() as running:
        a, b = await matched(running, **LATER)
        before = (await told(running, BANK_A))[-1].matching_tx
        await amend(running, a, sells=HALF_EUROS, buys=HALF_FRANCS, settlement_date=TODAY)
        assert (await said(running, BANK_A))[-1] == "FMTC CONF AMND"
        assert (await said(running, BANK_B))[-1] == "FMTC AMRQ"
        await amend(running, b, settlement_date=TODAY)  # at the amounts as they were
        assert (await said(running, BANK_B))[-1] == "FMTC DMON AMND"
        assert (await said(running, BANK_A))[-1] == "FMTC AMRQ"
    async with stopped.gateway() as running:  # what was asked is kept
        await amend(running, b, sells=HALF_FRANCS, buys=HALF_EUROS, settlement_date=TODAY)
        await until(lambda: ends(running))
        for member in (BANK_A, BANK_B):
            assert (await said(running, member))[-3:] == ["FMTC DONE AMND", "FMTC", "STLD"]
            last = (await told(running, member))[-1]
            assert {last.trade.sells, last.trade.buys} == {HALF_EUROS, HALF_FRANCS}
            assert last.matching_tx != before
        assert await running.balance("euro", BANK_B, "EUR") == (OPENING["EUR"] + 500_000_00, 0)
        assert await running.balance("franc", BANK_A, "CHF") == (OPENING["CHF"] + 470_600_00, 0)
        assert not list(running.engine.pending)
        assert await audited(running) == []
        await amend(running, b, sells=HALF_FRANCS, buys=HALF_EUROS)
        assert (await said(running, BANK_B))[-1] == "STLD DSET AMND"


async def test_an_amended_trade_whose_date_lies_ahead_waits_for_it(running: System) -> None:
    a, b = await matched(running, **LATER)
    for item in (a, b):
        await amend(running, item, common_id="OURS")
    for member in (BANK_A, BANK_B):
        assert (await said(running, member))[-2:] == ["FMTC DONE AMND", "FMTC FUTU"]
    assert len(list(running.engine.pending)) == 1
    await cancel(running, a)
    await cancel(running, b)
    assert await ends(running)
    assert await audited(running) == []


async def test_one_side_alone_amends_nothing_nor_what_breaks_a_rule(running: System) -> None:
    a, b = await matched(running, **LATER)
    await amend(running, b, common_id="OURS")
    await amend(running, a, common_id="OURS", counterparty="NOBODY20XXX")
    assert (await said(running, BANK_A))[-1] == "FMTC ICAG AMND"
    await cancel(running, a)
    await amend(running, a, common_id="OURS")
    answer = (await told(running, BANK_A))[-1]
    assert (answer.status, answer.sub_status, answer.answers) == ("FMTC", "OTHR", "AMND")
    assert answer.text == "its cancellation was asked for: both sides cancel it, and send it anew"
    assert (await said(running, BANK_B))[-1] == "FMTC CXRQ"


async def test_what_was_tried_is_amended_no_more(running: System) -> None:
    item = await short(running)
    await until(lambda: not running.engine.runner.lives)
    await amend(running, item, common_id="OURS")
    answer = (await told(running, BANK_A))[-1]
    assert (answer.status, answer.sub_status, answer.answers) == ("SMAP", "OTHR", "AMND")
    assert answer.text == "its settlement has begun: both sides cancel it, and send it anew"
