"""The table of metrics keeps to the conventions, and what is observed comes out as it went in."""

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from prometheus_client.parser import text_string_to_metric_families

from gateway.live import Live
from gateway.telemetry import census, metrics
from gateway.telemetry.lag import LoopLag
from gateway.telemetry.metrics import Kind
from gateway.telemetry.process import exposition
from gateway.telemetry.traffic import Traffic
from htlc.settlement import LegStatus
from htlc.units import LedgerId
from ledgers.distribution import Distribution
from tests.gateway.systems import SELLER, System, until
from tests.gateway.test_agreed_swaps import a_dvp, settle
from tests.htlc import samples

LABELS = {
    *("component", "version", "python", "condition", "state", "method", "route", "status"),
    *("level", "kind", "protocol", "outcome", "reason", "phase", "ledger", "age", "currency"),
    *(
        "operation",
        "refusal",
        "writer",
        "cause",
        "definition",
        "verdict",
        "code",
        "member",
        "registry",
        "table",
    ),
}
"""Each of them has few values, known from code or configuration. A new one needs that thought."""


def test_names_and_labels_follow_the_conventions() -> None:
    for name, definition in metrics.ALL.items():
        assert name.startswith("lockstep_")
        assert (definition.kind is Kind.COUNTER) == name.endswith("_total")
        assert not name.endswith(("_ms", "_milliseconds", "_count", "_sum", "_bucket"))
        assert set(definition.labels) <= LABELS, name
        assert definition.help.endswith((".", ".)")), name


def test_the_readme_names_every_metric() -> None:
    text = Path(metrics.__file__).with_name("README.md").read_text()
    named = {f"lockstep_{name}" for name in re.findall(r"`([a-z_]+)`", text)}
    assert set(metrics.ALL) <= named


def test_a_range_includes_its_upper_bound() -> None:
    seen = Distribution((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        seen.observe(value)
    assert list(seen.cumulative()) == [("1.0", 2), ("2.0", 4), ("+Inf", 5)]
    assert (seen.count, seen.sum) == (5, 14.0)


def test_the_claim_margin_is_what_is_left_before_the_first_claim() -> None:
    state = samples.committed(samples.htlc())
    (first,) = state.agreed.revealers
    leg = state.agreed.legs[first]
    assert leg.terms.expires_at is not None
    now = samples.clocks(state, leg.terms.expires_at - leg.margin - 6, skew=1)
    assert census.claim_margin(state, now) == 5, "less the skew"
    assert census.claim_margin(samples.executed(state, first), now) is None, "the key is out"


def test_two_keys_have_no_margin() -> None:
    for state in (samples.two_key(), samples.executed(samples.committed(samples.two_key()), 0)):
        now = samples.clocks(state, 2_000)
        assert census.claim_margin(state, now) is None


@pytest.mark.parametrize(
    ("seconds", "label"), [(0.0, "1s"), (1.0, "10s"), (59.9, "1m"), (60.0, "10m"), (600.0, "older")]
)
def test_ages_of_locks(seconds: float, label: str) -> None:
    assert census.age_of(seconds) == label


async def test_open_locks_and_the_money_in_them_are_counted(running: System) -> None:
    registry, swap, goes_on = running.ledgers["registry"], a_dvp(cash=12_345), asyncio.Event()
    submit = registry.submit

    async def later(*asked: Any) -> Any:
        await goes_on.wait()
        return await submit(*asked)

    registry.submit = later  # type: ignore[method-assign]
    await running.desk.take_settlements(SELLER, [(swap, b"d")])
    live: Live = running.engine.runner.lives[swap.id]
    await until(lambda: live.state.legs[1].status is LegStatus.LOCKED)
    taken = await census.take([live], running.engine.runner.clocks(), lambda _: None)
    goes_on.set()
    assert taken.due == 1
    assert taken.locks == {("bank", "1s"): 1}
    assert taken.value == {("bank", "EUR"): 12_345}
    assert 0 < taken.oldest_lock[LedgerId("bank")] < 10
    await until(lambda: not running.engine.runner.lives)


async def test_ends_are_counted_by_kind_protocol_outcome_and_reason(running: System) -> None:
    await settle(running, a_dvp())
    await settle(running, a_dvp(quantity=10**9))
    tally = running.engine.runner.tally
    await until(lambda: tally.ended.total() == 2)  # in the journal, a moment after it is shown
    assert tally.ended["dvp", "two_key", "SETTLED", "ALL_LOCKED"] == 1
    ((_, _, outcome, reason),) = [key for key in tally.ended if key[2] != "SETTLED"]
    assert (outcome, reason) in {("CANCELLED", "REFUSED"), ("REJECTED", "REFUSED")}
    assert tally.durations["dvp", "SETTLED"].count == 1


async def test_requests_are_counted_by_the_template_of_their_path() -> None:
    traffic = Traffic()

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=404 if request.match_info.get("id") == "none" else 200)

    app = web.Application(middlewares=[traffic.middleware()])
    app.router.add_get("/v1/things/{id}", answer)
    app.router.add_route("*", "/{path:.*}", answer)
    app.router.add_get("/metrics", exposition(_Only(traffic)))
    async with _serving(app) as url, ClientSession() as session:
        for path in ("/v1/things/1", "/v1/things/2", "/v1/things/none", "/wp-login.php?a=b"):
            await session.get(url + path)
        await session.request("PROPFIND", url + "/v1/things/1")
        async with session.get(url + "/metrics") as response:
            text = await response.text()
    found = {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "lockstep_http_requests_total"
    }
    assert found == {
        ("GET", "/v1/things/{id}", "200"): 2,
        ("GET", "/v1/things/{id}", "404"): 1,
        ("GET", "other", "200"): 1,
        ("other", "other", "200"): 1,
    }


class _Only:
    """A source of one thing."""

    def __init__(self, traffic: Traffic) -> None:
        self.collect = traffic.collect

    async def refresh(self) -> None:
        """Nothing to ask for."""


class _serving:  # noqa: N801 - used as a function
    """An application on a free port."""

    def __init__(self, app: web.Application) -> None:
        self._runner = web.AppRunner(app)

    async def __aenter__(self) -> str:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


async def test_a_blocked_event_loop_is_seen() -> None:
    lag = LoopLag()
    task = asyncio.create_task(lag.run())
    await asyncio.sleep(0.01)
    time.sleep(0.6)
    await asyncio.sleep(0.05)
    task.cancel()
    assert lag.seen.count >= 1
    assert lag.seen.sum > 0.25
