"""`lockstep audit` as operators use it: beside a world at work, and on one that is stopped."""

import asyncio
from pathlib import Path

import aiohttp
import msgspec
import pytest

from gateway.audit.findings import Report
from gateway.machine import world as worlds
from tests.system.load import Load
from tests.system.machine import machine
from tests.system.test_up import call

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

TRADES = 60


async def audited(data: Path, *options: str) -> tuple[int, Report, str]:
    """One audit: its exit code, what it reports, what it says meanwhile."""
    code, out, err = await call("audit", "--data", str(data), "--json", *options)
    return code, msgspec.json.decode(out or b"{}", type=Report), err


async def traded(load: Load) -> None:
    """Swaps and pairs of instructions, as fast as they are taken."""
    for _ in range(TRADES // 20):
        await asyncio.gather(*(load.swap() for _ in range(10)), *(load.pair() for _ in range(10)))


async def test_a_world_is_audited_at_work_and_at_rest(data: Path) -> None:
    async with (
        machine(data, "--business-date", "2026-11-20") as running,
        aiohttp.ClientSession() as session,
    ):
        load = Load(running, worlds.load(worlds.find("dvp")), session, 7)
        work = asyncio.create_task(traded(load))
        code, report, err = await audited(data)
        assert (code, report.findings) == (0, ()), err
        await work
        await load.settled()
    assert not (data / "running.json").exists()
    kept = data.parent / "kept.json"
    kept.write_bytes(msgspec.json.encode(report))

    code, again, err = await audited(data, "--earlier", str(kept))
    assert (code, again.findings, again.settlements, again.notes) == (0, (), TRADES, ()), err
    assert all(again.heads[name].height >= head.height for name, head in report.heads.items())
    assert not (data / "running.json").exists(), "databases that it started, it stopped"
