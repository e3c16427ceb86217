"""`lockstep up --registries`: trades over the network, its log and a node killed, and a restart."""

import asyncio
import os
import signal
import sys
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from gateway.client import GatewayClient
from gateway.config import read
from gateway.icsd_node.client import RegistryClient
from gateway.icsd_node.settings import NodeProcess
from gateway.telemetry import metrics
from htlc.units import LedgerId
from ledgers.port import LedgerUnreachable
from protocols.iso20022 import envelope
from protocols.iso20022.envelope import Enveloped
from tests.system.machine import Machine, machine
from tests.system.test_up import call

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SELLER, BUYER, ISIN = "ALTYKZK0XXX", "SAMQUZ20XXX", "UZ0009990022"
HELD = 600_000


def account(running: Machine, member: str, ledger: str = "securities") -> str:
    [found] = running.people["members"][member]["accounts"][ledger]
    return str(found)


def side(running: Machine, member: str, ledger: str) -> dict[str, str]:
    return {"member": member, "account": account(running, member, ledger)}


def proposal(running: Machine, quantity: int) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "legs": [
            {
                "leg": "SECU",
                "ledger": "securities",
                "asset": ISIN,
                "quantity": str(quantity),
                "payer": side(running, SELLER, "securities"),
                "payee": side(running, BUYER, "securities"),
            },
            {
                "leg": "CASH",
                "ledger": "som",
                "asset": "UZS",
                "quantity": "1000.00",
                "payer": side(running, BUYER, "som"),
                "payee": side(running, SELLER, "som"),
            },
        ],
    }


async def settle(running: Machine, session: aiohttp.ClientSession, quantity: int) -> None:
    """A trade, from its proposal to its end."""
    gateway = GatewayClient(session, running.url, running.token(SELLER))
    async with asyncio.timeout(60):
        view = await gateway.propose(proposal(running, quantity))
        while view.state not in ("SETTLED", "CANCELLED"):
            await asyncio.sleep(0.05)
            view = await gateway.settlement(view.id)
    assert view.state == "SETTLED"


def node(running: Machine, session: aiohttp.ClientSession, data: Path, name: str) -> RegistryClient:
    settings = read(data / "services" / f"securities-{name.lower()}.toml", NodeProcess)
    return RegistryClient(
        session,
        running.ready["registries"]["securities"][name],
        running.operator("gateway"),
        LedgerId("securities"),
        settings.network().epoch,
    )


def kill(running: Machine, service: str) -> None:
    pid = running.pid_of(service)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


async def proof_status(running: Machine, session: aiohttp.ClientSession, member: str) -> int:
    """Of the question what the seller holds, asked by a member at the seller's registry."""
    url = running.ready["registries"]["securities"]["KZ"]
    headers = {"Authorization": f"Bearer {running.token(member)}"}
    path = f"/v1/registry/holdings/{account(running, SELLER)}/{ISIN}"
    async with session.get(url + path, headers=headers) as response:
        return response.status


async def an_altered_database_is_refused_and_mended(
    running: Machine, data: Path, kz: RegistryClient
) -> None:
    """The registry's own: changed behind its back, found at its next start, put right."""
    config = data / "services" / "securities-kz.toml"
    connection = await asyncpg.connect(read(config, NodeProcess).dsn)
    await connection.execute(
        "UPDATE balances SET available = available + 1 WHERE account = $1 AND asset = $2",
        account(running, SELLER),
        ISIN,
    )
    await connection.close()
    kill(running, "securities-kz")
    code, _, said = await call("registry", "repair", "--config", str(config))
    assert (code, "1 rows were not as certified" in said) == (0, True), said
    other = running.ready["registries"]["securities"]["UZ"]
    assert f"questions to {other}" in said, "asked the other registry, which `up` has written down"
    async with asyncio.timeout(60):
        while True:  # it comes back by itself
            try:
                await kz.final()
                return
            except LedgerUnreachable:
                await asyncio.sleep(0.1)


async def a_supervisor_finds_nothing_wrong(running: Machine, data: Path) -> None:
    """It follows both registries over HTTP, and does every block again."""
    token, genesis = data / "supervisor.token", data / "services" / "securities-kz.toml"
    token.write_text(running.operator("gateway"))
    urls = running.ready["registries"]["securities"].values()
    sources = [word for url in urls for word in ("--from", url)]
    known = ("--genesis", str(genesis), "--token-file", str(token))
    code, out, said = await call("registry", "watch", "--once", *known, *sources)
    assert (code, "0 things wrong" in out, ISIN in out) == (0, True, True), said
    await _it_is_watched_by_prometheus("registry", "watch", *known, *sources)
    holding = ("holding", account(running, SELLER), ISIN)
    code, out, said = await call("registry", "verify", *known, *sources, *holding)
    assert (code, f"of {ISIN}" in out, said.count("final, signed by")) == (0, True, 2), said


async def _it_is_watched_by_prometheus(*words: str) -> None:
    """As a process that goes on until SIGTERM."""
    watch = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli", *words, "--metrics-port", "0", "--every", "0.1"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert watch.stderr is not None
    try:
        said = (await watch.stderr.readline()).decode()
        url = said.removeprefix("metrics at ").strip()
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            while True:
                async with session.get(url) as response:
                    told = await response.text()
                if "lockstep_supervisor_wrong{" in told:
                    break
                await asyncio.sleep(0.1)
        assert 'lockstep_supervisor_wrong{kind="divergence"} 0.0' in told
        assert 'lockstep_build_info{component="supervisor"' in told
    finally:
        watch.terminate()
        _, rest = await watch.communicate()
    assert watch.returncode == 0, said + rest.decode()


async def a_custodian_instructs_its_registry(
    data: Path, session: aiohttp.ClientSession, running: Machine
) -> None:
    """With the command line, as the README shows it, and with the client library."""
    options = ("--as", SELLER, "--registry", "KZ", "--data", str(data))
    asked = ("--as", SELLER, "--to", BUYER, "--isin", ISIN, "--quantity", "7", "--data", str(data))
    deliver = data / "deliver.xml"
    deliver.write_bytes(await _output(*("-m", "gateway.demo.registry_message", *asked)))
    code, out, said = await call("send", str(deliver), *options)
    assert (code, "received as" in out) == (0, True), said
    kz = GatewayClient(
        session, running.ready["registries"]["securities"]["KZ"], running.token(SELLER)
    )
    async with asyncio.timeout(60):
        while not (page := await kz.inbox()).messages:
            await asyncio.sleep(0.05)
    [told] = page.messages
    assert (told.definition, told.related) == ("sese.025.001.11", _reference(deliver))
    await kz.acknowledge(told.cursor)
    code, out, said = await call("inbox", *options)
    assert (code, "settled free of payment" in out) == (0, True), said


async def _output(*arguments: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out


def _reference(file: Path) -> str | None:
    (item,) = envelope.split(file.read_bytes())
    assert isinstance(item, Enveloped)
    return item.header.business_message_id


OPENING = {
    "KZ0009990016": "40000000.00",
    "KZ0009990024": "600000",
    "UZ0009990014": "40000000.00",
    ISIN: str(HELD),
}
"""Of each member of the world."""


async def the_internal_book_is_reconciled(running: Machine, data: Path, sold: int) -> None:
    """That of KZ, as its own systems would have it; and one with a line that is wrong."""
    told = {SELLER: OPENING | {ISIN: str(HELD - sold)}, "ESILKZA0XXX": OPENING}
    lines = [
        f"{account(running, member)},{isin},{quantity}\n"
        for member, held in told.items()
        for isin, quantity in held.items()
    ]
    book, token = data / "book.csv", data / "supervisor.token"
    token.write_text(running.operator("gateway"))
    config = data / "services" / "securities-kz.toml"
    url = running.ready["registries"]["securities"]["KZ"]
    options = ("--config", str(config), "--from", url, "--token-file", str(token))
    book.write_text("account,isin,quantity\n" + "".join(lines))
    code, out, said = await call("registry", "reconcile", str(book), *options)
    assert (code, "Everything agrees" in said) == (0, True), (out, said)
    book.write_text("account,isin,quantity\n" + "".join(lines[1:]))
    code, out, said = await call("registry", "reconcile", str(book), *options)
    assert (code, "1 of 4 instruments do not agree" in said) == (1, True), (out, said)


async def test_two_registries_trade_through_kills_and_a_restart(data: Path) -> None:
    async with machine(data, "--registries", "2") as running, aiohttp.ClientSession() as session:
        await settle(running, session, 100)
        kill(running, "securities-log")
        await settle(running, session, 10)
        kill(running, "securities-uz")
        await settle(running, session, 1)
        await a_custodian_instructs_its_registry(data, session, running)
        kz, uz = (node(running, session, data, name) for name in ("KZ", "UZ"))
        sold = await uz.holding(account(running, SELLER), ISIN)
        bought = await kz.holding(account(running, BUYER), ISIN)
        assert (sold.balance.available, bought.balance.available) == (HELD - 118, HELD + 118)
        assert (await kz.issue(ISIN)).issued == 4 * HELD
        through = min(await kz.final(), await uz.final())
        assert await kz.chain(through) == await uz.chain(through)
        assert await proof_status(running, session, SELLER) == 200
        assert await proof_status(running, session, BUYER) == 401, "is no owner at this registry"
        await a_supervisor_finds_nothing_wrong(running, data)
        await the_internal_book_is_reconciled(running, data, sold=118)
        await an_altered_database_is_refused_and_mended(running, data, kz)
        async with session.get(running.ready["metrics"]["securities-kz"] + "/readyz") as response:
            assert response.status == 200, await response.text()
        async with session.get(running.ready["metrics"]["securities-kz"] + "/metrics") as response:
            told = await response.text()
            assert 'lockstep_registry_diverged{registry="KZ"} 0.0' in told
            own = {name for name in metrics.ALL if name.startswith("lockstep_registry_")}
            assert all(f"# TYPE {name} " in told for name in own)

    code, out, said = await call("audit", "--data", str(data))
    assert (code, "Nothing is wrong: 3 settlements" in out) == (0, True), said
    async with machine(data) as running, aiohttp.ClientSession() as session:
        assert list(running.ready["registries"]["securities"]) == ["KZ", "UZ"]
        kz = node(running, session, data, "KZ")
        assert await kz.final() >= through
        await settle(running, session, 9)
        bought = await kz.holding(account(running, BUYER), ISIN)
        assert bought.balance.available == HELD + 127
