"""`lockstep up` as people use it: start, commands against it, kills, restart, stop."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.client import GatewayClient
from gateway.demo.expected import DAY
from gateway.machine import world
from gateway.machine.ledger_client import LedgerClient
from gateway.machine.processes import descendants
from ledgers.port import LedgerUnreachable
from tests.system.machine import START_SECONDS, Machine, machine

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

ISSUED = {"EUR": "440075000000"}
"""Of the currency in world `dvp`, in cents: eleven times 400 million and the small bank's."""


async def issued(running: Machine, ledger: str = "euro") -> dict[str, str]:
    """What was issued on a ledger; asks again while it is being started."""
    async with aiohttp.ClientSession() as session:
        client = LedgerClient(
            session, running.ready["ledgers"][ledger], running.operator("gateway")
        )
        while True:
            try:
                return {position.asset: position.issued for position in await client.conservation()}
            except LedgerUnreachable:
                await asyncio.sleep(0.1)


async def answers(running: Machine) -> bool:
    async with aiohttp.ClientSession() as session:
        client = GatewayClient(session, running.url, running.token("ALSTDEF0XXX"))
        return len((await client.ledgers()).ledgers) == 2


async def call(*arguments: str) -> tuple[int, str, str]:
    """The command in a process of its own: exit code, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway.cli",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def result(text: str) -> Any:
    return json.loads(text)


async def gone(pids: list[int]) -> None:
    """Wait until none of these processes is left."""
    async with asyncio.timeout(120):
        while any(Path(f"/proc/{pid}").exists() for pid in pids):
            await asyncio.sleep(0.05)


async def test_people_use_a_running_world(data: Path) -> None:
    async with machine(data, "--business-date", "2026-10-08") as running:
        ready = running.ready
        assert ready["event"] == "ready"
        assert set(ready["ledgers"]) == {"registry", "euro"}
        assert set(ready["metrics"]) == {"registry", "euro", "gateway"}
        assert Path(ready["members"]).stat().st_mode & 0o777 == 0o600
        assert await issued(running) == ISSUED
        async with aiohttp.ClientSession() as session:
            for url in ready["metrics"].values():
                for path in ("metrics", "livez", "startupz", "readyz"):
                    async with session.get(f"{url}/{path}") as response:
                        assert response.status == 200

        code, _, err = await call("up", "--data", str(data))
        assert code == 1
        assert f"in use by process {running.process.pid}; stop it, or give" in err

        where = ("--data", str(data), "--json")
        # The first message of each is one side of a trade; the other side stands in some batch.
        for folder in sorted(path for path in DAY.iterdir() if path.is_dir()):
            files = [str(path) for path in sorted(folder.glob("0*.xml"))]
            code, out, err = await call("send", *files, "--as", folder.name, *where)
            assert (code, err) == (0, "")
            assert all("id" in outcome for outcome in result(out))
        file = str(DAY / "RHEIDEF0XXX" / "81-schema.xml")
        code, out, _ = await call("send", file, "--as", "RHEIDEF0XXX", *where)
        assert (code, result(out)[0]["code"]) == (1, "XSDV")

        code, out, _ = await call("inbox", "--as", "RHEIDEF0XXX", *where)
        assert code == 0
        assert len(result(out)) > 40
        code, out, _ = await call("settlement", "list", "--as", "RHEIDEF0XXX", *where)
        newest = result(out)["settlements"][0]["id"]
        code, out, _ = await call("settlement", "show", newest, "--as", "gateway-operator", *where)
        assert (code, result(out)["id"]) == (0, newest)
        code, out, err = await call("settlement", "show", newest, "--as", "LAGAIE20XXX", *where)
        assert (code, out, err.count("\n")) == (1, "", 1), "not a party: as if it were not there"
    assert not (data / "running.json").exists()
    assert not list(data.rglob("*.pid")) + list(data.rglob("*lock*"))


async def begun(data: Path, *options: str) -> asyncio.subprocess.Process:
    """An `up` that is going to be killed: it need not end well."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli", "up", "--data", str(data), *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )


async def killed(process: asyncio.subprocess.Process) -> None:
    """SIGKILL; what it had started ends by itself."""
    family = descendants(process.pid)
    process.kill()
    await process.communicate()
    await gone(family)


async def test_what_is_killed_comes_back_behind_its_address(data: Path) -> None:
    async with machine(data) as running:
        for service in ("registry", "euro", "gateway"):
            pid = running.pid_of(service)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            assert await issued(running) == ISSUED
            assert await answers(running)


async def test_after_its_own_death_it_goes_on_with_the_same_data(data: Path) -> None:
    process = await begun(data)
    assert process.stdout is not None
    ready = json.loads(await asyncio.wait_for(process.stdout.readline(), START_SECONDS))
    before = json.loads(Path(ready["members"]).read_text())
    await killed(process)
    async with machine(data) as again:
        assert again.people == before, "secrets are made once"
        assert await issued(again) == ISSUED, "opening balances are issued once"
        assert await answers(again)
    code, _, err = await call("up", "--world", "pvp", "--data", str(data))
    assert code == 1
    assert "was made with another world" in err


async def test_a_death_while_opening_balances_are_issued_is_made_good(data: Path) -> None:
    process = await begun(data)
    assert process.stderr is not None
    while b"opening balances" not in (line := await process.stderr.readline()):
        assert line, "it has ended early"
    await asyncio.sleep(0.1)
    await killed(process)
    async with machine(data) as again:
        assert await issued(again) == ISSUED
        registry = await issued(again, "registry")
        assert len(registry) == 8
        assert set(registry.values()) == {"36000000000", "5400000"}


async def test_an_interrupted_start_leaves_nothing(data: Path) -> None:
    process = await begun(data)
    assert process.stderr is not None
    await process.stderr.readline()  # the databases are being made
    family = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), START_SECONDS)
    assert (process.returncode, out) == (0, b"")
    assert b"Traceback" not in err
    await gone(family)
    assert not (data / "running.json").exists()


async def test_two_gateways_may_serve_one_database(data: Path) -> None:
    text = (world.WORLDS / "pvp.toml").read_text()
    file = data.parent / "two.toml"
    file.write_text(text.replace("[gateway]\n", "[gateway]\nreplicas = 2\n"))
    async with machine(data, "--world", str(file)) as running:
        assert set(running.ready["metrics"]) == {"euro", "franc", "gateway", "gateway-2"}
        assert await answers(running)
        assert running.pid_of("gateway-2") is not None
