"""The life of processes, with real ones: an end in good order, restarts under load, replicas
that are frozen or killed, and databases that are cut off, killed, full, or out of connections.

All tests share one `up`; at its end every trade of all of them is accounted for. For a longer
campaign set LOCKSTEP_LIFE_ROUNDS (rounds of restarts and of freezing; 1 by default).
"""

import asyncio
import contextlib
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from gateway.telemetry import metrics
from tests.system.load import EURO, REGISTRY
from tests.system.outage import connections_used_up, cut, disk_full, frozen, postmaster
from tests.system.replica import Replica, begin, configuration, end, replica
from tests.system.site import WORKERS, Site, site, traffic

ROUNDS = int(os.environ.get("LOCKSTEP_LIFE_ROUNDS", "1"))

DRAIN_SECONDS_MAX = 30.0
"""From SIGTERM to the end of the process: announced for 1.5 s, at most 3 s for what is open, and
some for the last answers. Kubernetes gives 30 s by default."""

HAND_OVER_SECONDS_MAX = 60.0
"""Three seconds until a replica counts as gone, one heartbeat, and the work itself: five or so on a
quiet machine. Without a hand-over they would lapse, after two minutes in this world."""

CUT_SECONDS_MAX = 30.0
"""Until a trade settles after every connection to a database was cut: some pauses of 50 to 100 ms
and the work itself; 0.2 s on a quiet machine. What waited for a time-out would wait a minute."""

RESTART_SECONDS_MAX = 60.0
"""The same after PostgreSQL itself was killed: it has to be noticed, started and to recover; 2 s on
a quiet machine."""

NOTICED_SECONDS_MAX = 45.0
"""Until a probe tells that a database takes no writes: 3 s, and the machine may be busy."""

SCRAPE_SECONDS_MAX = 10.0
"""How long Prometheus waits for an answer by default. One that waited for the database would have
none at all: it hangs."""

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600 + 60 * ROUNDS),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here() -> AsyncIterator[Site]:
    with tempfile.TemporaryDirectory(prefix="lockstep-") as home:
        Path(home).chmod(0o711)
        async with site(Path(home) / "data") as made:
            yield made


async def test_every_metric_is_there_and_every_probe_says_why(here: Site) -> None:
    load = here.load()
    await load.trade(by_message=False)
    await load.trade(by_message=True)
    await load.settled()
    load.note()
    seen: set[str] = set()
    for url in here.running.ready["metrics"].values():
        async with here.session.get(f"{url}/metrics") as response:
            lines = (await response.text()).splitlines()
        seen |= {line.split()[2] for line in lines if line.startswith("# TYPE lockstep_")}
        assert (await here.get(f"{url}/livez"))[1]["alive"]
        assert (await here.get(f"{url}/startupz")) == (200, {"started": True})
        status, ready = await here.get(f"{url}/readyz")
        assert (status, ready["ready"]) == (200, True)
        assert ready["conditions"]["database"] == {"ok": True}
    others = ("lockstep_registry_", "lockstep_supervisor_")
    ours = {name for name in metrics.ALL if not name.startswith(others)}
    assert seen == ours, "all that is in the table but a network of registries', and nothing else"
    url = here.running.ready["metrics"]["gateway"]
    labels = 'kind="dvp",outcome="SETTLED",protocol="two_key",reason="ALL_LOCKED"'
    assert await here.metric(url, f"lockstep_settlements_total{{{labels}}}") >= 2
    assert await here.metric(url, "lockstep_settlements_one_legged") == 0
    height = 'lockstep_ledger_block_height{ledger="euro"}'
    assert await here.metric(here.running.ready["metrics"][EURO], height) > 0


async def test_sigterm_drains(here: Site) -> None:
    async with replica(here.data, "gateway-d", "announce_seconds = 1.5") as leaving:
        load = here.load(leaving.url, here.running.url)
        async with traffic(load):
            stream = asyncio.create_task(last_of_stream(here, leaving))
            await asyncio.sleep(1.0)
            euro = here.running.pid_of(EURO)
            assert euro is not None
            os.kill(euro, signal.SIGSTOP)  # trades stay open, so that there is something to finish
            begun = time.monotonic()
            try:
                os.kill(leaving.pid, signal.SIGTERM)
                refused = await refusal(here, leaving)
            finally:
                os.kill(euro, signal.SIGCONT)
            assert await asyncio.wait_for(leaving.process.wait(), DRAIN_SECONDS_MAX) == 0
            print(f"drained and gone in {time.monotonic() - begun:.2f} s")
            assert await asyncio.wait_for(stream, 30), "the stream ended at the end of an event"
        assert refused, "what came after the announcement was told to come again"


async def refusal(here: Site, leaving: Replica) -> bool:
    """Watch a gateway stop: not ready first, then 503 to what is new, with when to come again."""
    token = here.running.token("ALSTDEF0XXX")
    not_ready = False
    while True:
        try:
            status, ready = await here.get(f"{leaving.metrics}/readyz")
            not_ready = not_ready or status == 503
            if status == 503:
                assert ready["conditions"]["not draining"]["why"] == "it has been told to stop"
            async with here.session.post(
                f"{leaving.url}/v1/settlements",
                json=PROPOSAL,
                headers={"Authorization": f"Bearer {token}"},
            ) as response:
                problem = await response.json()
        except aiohttp.ClientError:
            return False  # gone before it refused anything
        if response.status == 503:
            assert not_ready, "whoever balances load is told before any client"
            assert response.headers["Retry-After"] == "1"
            assert (problem["type"], problem["code"]) == ("urn:lockstep:problem:busy", "XBSY")
            return True
        assert response.status == 422, problem
        await asyncio.sleep(0.01)


PROPOSAL = {
    "id": "00000000-0000-4000-8000-000000000001",
    "legs": [
        {
            "leg": name,
            "ledger": EURO,
            "asset": "EUR",
            "quantity": "1.00",
            "payer": {"member": "ALSTDEF0XXX", "account": "none"},
            "payee": {"member": "RHEIDEF0XXX", "account": "none"},
        }
        for name in ("A", "B")
    ],
}
"""Never sound (nobody has these accounts): tells only whether anything is taken in."""


async def last_of_stream(here: Site, leaving: Replica) -> bool:
    """Read a mailbox's stream to its end; whether it ended as a whole, between two events."""
    token = here.running.token("ALSTDEF0XXX")
    async with here.session.get(
        f"{leaving.url}/v1/messages/stream", headers={"Authorization": f"Bearer {token}"}
    ) as response:
        assert response.status == 200
        return (await response.read()).endswith(b"\n\n")  # raises if it was cut


async def test_replicas_restart_in_turn_and_no_trade_fails(here: Site) -> None:
    names = ("gateway-e", "gateway-f", "gateway-g")
    configs = [configuration(here.data, name, further="announce_seconds = 0.2") for name in names]
    running = list(await asyncio.gather(*(begin(config) for config in configs)))
    try:
        load = here.load(*(line["url"] for _, line in running))
        # A restarted replica keeps its address, as behind a service of Kubernetes.
        for n, (name, (_, line)) in enumerate(zip(names, running, strict=True)):
            addresses = (_address(line["url"]), _address(line["metrics"]))
            configs[n] = configuration(here.data, name, listen=addresses)
        async with traffic(load):
            for n in [*range(len(names))] * ROUNDS:
                await asyncio.sleep(0.3)
                process, _ = running[n]
                os.kill(process.pid, signal.SIGTERM)
                assert await asyncio.wait_for(process.wait(), DRAIN_SECONDS_MAX) == 0
                running[n] = await begin(configs[n])
        check = here.load()
        check.sent = load.sent
        told = await check.settled(HAND_OVER_SECONDS_MAX)
        print(f"{len(load.sent)} trades, {load.repeated} repeats, {ROUNDS * 3} restarts")
        assert sum(tally["state CANCELLED"] for tally in told.values()) == 0
        assert len(load.sent) > WORKERS, "there was traffic all the time"
    finally:
        for process, _ in running:
            await end(process)


def _address(url: str) -> str:
    return url.removeprefix("http://")


async def test_a_frozen_and_a_killed_replica_are_taken_over_and_the_woken_does_no_harm(
    here: Site,
) -> None:
    euro = here.running.pid_of(EURO)
    assert euro is not None
    for _ in range(ROUNDS):
        async with (
            replica(here.data, "gateway-b") as frozen,
            replica(here.data, "gateway-c") as killed,
        ):
            load = here.load(frozen.url, killed.url)
            await asyncio.gather(*(load.trade(by_message=False) for _ in range(4)))
            await load.settled()
            os.kill(euro, signal.SIGSTOP)  # no cash leg is locked: everything stays open
            await asyncio.gather(*(load.trade(by_message=n % 2 == 0) for n in range(60)))
            os.kill(frozen.pid, signal.SIGSTOP)
            os.kill(killed.pid, signal.SIGKILL)
            os.kill(euro, signal.SIGCONT)
            begun = time.monotonic()
            check = here.load()
            check.sent = load.sent
            await check.settled(HAND_OVER_SECONDS_MAX)
            print(f"60 settlements of two replicas handed over in {time.monotonic() - begun:.1f} s")
            os.kill(frozen.pid, signal.SIGCONT)
            await relinquished(here, frozen)
            woken = here.load(frozen.url)
            await here.settles(woken)
            woken.note()
            load.note()


async def relinquished(here: Site, woken: Replica) -> None:
    """Wait until a replica that was frozen has seen that its work is done: it works on nothing."""
    async with asyncio.timeout(HAND_OVER_SECONDS_MAX):
        while True:
            gone = await here.metric(woken.metrics, "lockstep_settlements_relinquished_total")
            due = await here.metric(woken.metrics, "lockstep_journal_due")
            conflicts = await here.metric(woken.metrics, "lockstep_journal_conflicts_total")
            if not due and gone + conflicts:
                print(f"woken: {gone:.0f} relinquished, {conflicts:.0f} places found taken")
                return
            await asyncio.sleep(0.05)


async def test_connections_cut_and_databases_killed_are_survived(here: Site) -> None:
    load, probe = here.load(), here.load()
    async with traffic(load):
        for service in ("gateway", REGISTRY, EURO):
            assert await cut(here.dsn(service)) > 0
            took = await here.settles(probe)
            print(f"connections of {service} cut: a trade settles after {took:.2f} s")
            assert took < CUT_SECONDS_MAX
        for service, number in (("gateway", signal.SIGINT), (EURO, signal.SIGKILL)):
            os.kill(await postmaster(here.dsn(service)), number)
            took = await here.settles(probe)
            print(f"PostgreSQL of {service} ended by {number.name}: settles after {took:.2f} s")
            assert took < RESTART_SECONDS_MAX
    probe.note()


async def test_a_full_disk_is_refused_clearly_and_outlasted(here: Site) -> None:
    probe, url = here.load(), here.running.ready["metrics"]
    async with traffic(here.load()), disk_full(here.dsn("gateway")):
        ready = await here.until(f"{url['gateway']}/readyz", 503, NOTICED_SECONDS_MAX)
        assert ready["conditions"]["database"]["why"], "no heartbeat, or a batch that does not end"
        assert (await here.get(f"{url['gateway']}/livez"))[0] == 200
        await refused(here)  # a batch is late a moment after the heartbeat is, or before it
    print(f"room in the gateway's database: settles after {await here.settles(probe):.2f} s")
    async with disk_full(here.dsn(EURO)):
        await probe.trade(by_message=True)  # taken in: it waits for the ledger
        ready = await here.until(f"{url[EURO]}/readyz", 503, NOTICED_SECONDS_MAX)
        assert "No space left on device" in ready["conditions"]["database"]["why"]
        _, gateway = await here.get(f"{url['gateway']}/readyz")
        assert gateway["ready"]
        assert not gateway["remarks"]["ledger euro"]["ok"]
    await here.until(f"{url[EURO]}/readyz", 200, NOTICED_SECONDS_MAX)
    await probe.settled()
    probe.note()
    assert await here.metric(url["gateway"], "lockstep_settlements_quarantined") == 0


async def test_used_up_connections_are_refused_clearly_and_outlasted(here: Site) -> None:
    probe, url = here.load(), here.running.ready["metrics"]["gateway"]
    async with traffic(here.load()), connections_used_up(here.dsn("gateway")):
        await refused(here)
    print(f"connections free again: settles after {await here.settles(probe):.2f} s")
    probe.note()
    await here.until(f"{url}/readyz", 200, NOTICED_SECONDS_MAX)


async def test_a_hanging_database_hides_no_metric_and_delays_no_end(here: Site) -> None:
    async with replica(here.data, "gateway-h") as leaving, frozen(here.dsn("gateway")):
        ready = await here.until(f"{leaving.metrics}/readyz", 503, NOTICED_SECONDS_MAX)
        assert "no heartbeat" in ready["conditions"]["database"]["why"]
        begun = time.monotonic()
        assert await here.metric(leaving.metrics, "lockstep_database_up") == 0
        assert time.monotonic() - begun < SCRAPE_SECONDS_MAX
        os.kill(leaving.pid, signal.SIGTERM)
        assert await asyncio.wait_for(leaving.process.wait(), DRAIN_SECONDS_MAX) == 0
        print(f"scraped and gone in {time.monotonic() - begun:.1f} s")
    probe = here.load()
    print(f"the database goes on: settles after {await here.settles(probe):.2f} s")
    probe.note()


async def refused(here: Site) -> None:
    """Ask until the gateway has noticed; what it says then is what a client needs."""
    async with asyncio.timeout(NOTICED_SECONDS_MAX):
        while True:
            with contextlib.suppress(AssertionError):
                return await told_to_come_back(here)
            await asyncio.sleep(0.1)


async def told_to_come_back(here: Site) -> None:
    """New trades get a problem with 503 and when to come again, at once."""
    member = "ALSTDEF0XXX"
    async with here.session.post(
        f"{here.running.url}/v1/settlements",
        json=PROPOSAL,
        headers={"Authorization": f"Bearer {here.running.token(member)}"},
    ) as response:
        problem = await response.json()
    told = response.status, response.headers.get("Retry-After")
    assert told == (503, "1"), problem
    assert problem["type"] == "urn:lockstep:problem:busy"
