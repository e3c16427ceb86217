"""Probes answer with reasons, and an end in good order takes its steps in their order."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import asyncpg
import pytest
from aiohttp import web

from gateway.app import gateway_health
from gateway.config import ShutdownSettings
from gateway.group import GroupWriter
from gateway.process import health, pulse
from gateway.process.drain import drain
from gateway.process.health import Health
from gateway.process.pulse import Pulse
from htlc.units import LedgerId
from tests.gateway.systems import System, until


@pytest.fixture
async def probed() -> AsyncIterator[tuple[Health, Any]]:
    """A process's health, and a function that asks a probe: status, content."""
    state = Health()

    async def no_metrics(_: web.Request) -> web.Response:
        return web.Response()

    runner = web.AppRunner(health.build_app(state, no_metrics, lambda: 0.25))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as session:

        async def ask(path: str) -> tuple[int, Any]:
            async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                return response.status, await response.json()

        yield state, ask
    await runner.cleanup()


async def test_it_has_started_once_it_has(probed: tuple[Health, Any]) -> None:
    state, ask = probed
    assert await ask("/startupz") == (503, {"started": False})
    status, content = await ask("/readyz")
    assert (status, content["conditions"]["started"]["why"]) == (503, "it is starting")
    state.started = True
    assert await ask("/startupz") == (200, {"started": True})
    assert (await ask("/readyz"))[0] == 200


async def test_a_missing_condition_is_named_and_a_remark_does_not_decide(
    probed: tuple[Health, Any],
) -> None:
    state, ask = probed
    state.started = True
    state.remarks["ledger euro"] = lambda: "3 requests in a row without an answer"
    status, content = await ask("/readyz")
    assert (status, content["ready"]) == (200, True)
    assert content["remarks"]["ledger euro"]["ok"] is False
    state.checks["database"] = lambda: "no write for 7 s"
    status, content = await ask("/readyz")
    assert (status, content["ready"]) == (503, False)
    assert content["conditions"]["database"] == {"ok": False, "why": "no write for 7 s"}


async def test_liveness_looks_at_nothing_but_the_event_loop(probed: tuple[Health, Any]) -> None:
    state, ask = probed
    state.checks["database"] = lambda: "away"
    state.draining = True
    assert await ask("/livez") == (200, {"alive": True, "event_loop_lag_seconds": 0.25})


async def test_a_gateway_is_ready_once_it_has_heard_every_ledger(running: System) -> None:
    state = gateway_health(running.engine)
    state.started = True
    assert state.readiness().ready
    del running.engine.directory.descriptions[LedgerId("bank")]
    readiness = state.readiness()
    assert not readiness.ready
    assert readiness.conditions["ledgers"].why == "never heard yet: bank"


async def test_a_gateway_without_its_database_is_not_ready(
    running: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = gateway_health(running.engine)
    state.started = True
    monkeypatch.setattr(type(running.engine.lease), "age", 7.2)
    assert state.readiness().conditions["database"].why == "no heartbeat written for 7 s"


async def test_a_database_that_takes_heartbeats_but_no_new_records_is_away(
    running: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = gateway_health(running.engine)
    monkeypatch.setattr(running.engine.intake.writer, "_busy_since", time.monotonic() - 4.2)
    assert state.conditions()["database"].why == "a batch is not written for 4 s"


async def test_a_ledger_that_does_not_answer_or_is_not_trusted_is_a_remark(running: System) -> None:
    state = gateway_health(running.engine)
    state.started = True
    running.engine.links[LedgerId("bank")].failures = 2
    running.engine.directory.distrusted["registry"] = "its probe is wrong"
    readiness = state.readiness()
    assert readiness.ready
    assert readiness.remarks["ledger bank"].why == "2 requests in a row without an answer"
    assert readiness.remarks["ledger registry"].why == "nothing settles on it: its probe is wrong"


async def test_a_pulse_that_fails_is_told_once_it_is_stale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pulse, "EVERY_SECONDS", 0.01)
    monkeypatch.setattr(pulse, "STALE_SECONDS", 0.1)
    broken = False

    async def write() -> None:
        if broken:
            raise ConnectionError("refused")

    beating = Pulse(write, (OSError,))
    task = asyncio.create_task(beating.run())
    await asyncio.sleep(0.2)  # longer than what is stale: it must have beaten meanwhile
    await until(lambda: beating.check() is None)
    broken = True
    said = await until(beating.check)
    assert re.fullmatch(r"no write for \d+ s \(refused\)", said)
    broken = False
    await until(lambda: beating.check() is None)
    task.cancel()


async def test_it_is_announced_then_refused_then_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    state, steps, left = Health(), [], [3]
    settings = ShutdownSettings(announce_seconds=0.05, finish_seconds=5.0)

    def refuse() -> None:
        assert state.draining, "whoever balances load is told first"
        steps.append("refused")

    def idle() -> bool:
        assert steps == ["refused"], "nothing new comes while the rest is waited for"
        left[0] -= 1
        return left[0] <= 0

    with caplog.at_level("DEBUG", "process"):
        await drain(state, settings, refuse=refuse, idle=idle)
    assert caplog.messages == ["told to stop: not ready any more", "drained in 0.0 s"]


async def test_what_does_not_end_in_time_is_left_to_the_journal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = ShutdownSettings(finish_seconds=0.1)
    begun = asyncio.get_running_loop().time()
    await drain(Health(), settings, refuse=list, idle=lambda: False)
    assert asyncio.get_running_loop().time() - begun < 2
    assert caplog.messages == ["stopping after 0.1 s; what is open is in the journal"]


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.DiskFullError,
        asyncpg.TooManyConnectionsError,
        asyncpg.OutOfMemoryError,
        asyncpg.ReadOnlySQLTransactionError,
        asyncpg.DeadlockDetectedError,
        asyncpg.QueryCanceledError,
    ],
)
async def test_a_server_that_cannot_serve_now_is_waited_for_and_nothing_is_given_up(
    error: type[Exception],
) -> None:
    tries, done, failed = [], [], []

    async def write(batch: Any) -> list[str]:
        tries.append(list(batch))
        if len(tries) < 3:
            raise error("later")
        return ["written"] * len(batch)

    writer: GroupWriter[str, str] = GroupWriter(
        write,
        lambda item, result: done.append((item, result)),
        lambda item, why: failed.append((item, why)),
        batch_max=10,
        queue_max=10,
        say=lambda _: None,
    )
    writer.put("one")
    writer.put("two")
    task = asyncio.create_task(writer.run())
    while not done:
        await asyncio.sleep(0.01)
        assert writer.lag > 0 or done
    task.cancel()
    assert (tries, failed) == ([["one", "two"]] * 3, [])
    assert (done, writer.retries) == ([("one", "written"), ("two", "written")], 2)
