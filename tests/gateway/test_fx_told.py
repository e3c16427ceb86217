"""What members read of their trades: the first PvP by message, its inbox, and the audit of it."""

import pytest

from gateway.audit.databases import GATEWAY, opened
from gateway.audit.findings import Notebook
from gateway.audit.notices import instructions
from gateway.config import MatchingSettings
from gateway.statuses import told
from protocols.iso20022 import render
from tests.gateway.systems import System
from tests.gateway.test_fx_trades import (
    BANK_A,
    BANK_B,
    LATER,
    cancel,
    ends,
    matched,
    running,
    send,
    stopped,
    trade,
    until,
)
from tests.protocols import samples

__all__ = ["running", "stopped"]


@pytest.mark.parametrize(
    ("name", "says", "final"),
    [
        ("unmatched", "UMTC unmatched", False),
        ("near-miss", "UMTC unmatched DMON", False),
        ("pending-money", "SMAP pending MONY", False),
        ("settled", "STLD settled", True),
        ("rescinded", "RSCD rescinded", True),
        ("invalid", "INVA invalid NCRR: ZZZ is no active currency", True),
        ("cancellation-denied", "to CANC: STLD settled DSET: it is settled", False),
    ],
)
def test_the_inbox_says_a_trade_s_status_in_words(name: str, says: str, final: bool) -> None:
    value = samples.fx_statuses()[name]
    found = told(render.render(value, samples.reply_header(value)))
    assert (str(found), found.is_final) == (says, final)
    assert found.transaction_id == "BKAA-FX-77120"


async def test_the_audit_finds_one_end_state_for_each_trade_and_its_loss(running: System) -> None:
    await matched(running)
    await until(lambda: ends(running))
    a, b = await matched(running, **LATER)
    await cancel(running, a)
    await cancel(running, b)
    await send(running, trade(BANK_A, pvp=False))
    await send(running, trade(BANK_B, common_id="ALONE", **LATER))
    assert await audited(running) == []
    await running.engine.pool.execute("DELETE FROM mailbox WHERE content LIKE '%\"STLD\"%'")
    faults = await audited(running)
    assert faults == ["expected 1 final notices, found 0"] * 2


async def audited(running: System) -> list[str]:
    notebook = Notebook()
    async with opened("gateway", running.settings.dsn, GATEWAY) as snapshot:
        await snapshot.take()
        await instructions(snapshot, notebook)
        await snapshot.release()
    return [finding.what for finding in notebook.findings()]


async def test_a_trade_that_stays_alone_is_alleged_to_nobody(stopped: System) -> None:
    soon = MatchingSettings(allege_after_seconds=1e-6)
    async with stopped.gateway(matching=soon) as running:
        await send(running, trade(BANK_A))
        assert await running.engine.allegements.tell() == 0
        assert await running.desk.read(BANK_B, after=0, limit=9) == []
