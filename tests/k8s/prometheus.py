"""A real Prometheus over a running system: started, asked for its alerts, stopped."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from k8s.monitoring.writing import groups
from tests.system.machine import Machine

SCRAPE = "3s"
"""Instead of 15 s. While a database hangs a process gives out its metrics after 2 s."""

EVALUATE = "1s"

PATIENCE = "2s"
"""In place of every rule's `for`: a test has no minutes."""


EXPECTED = {
    "LockstepDeadMansSwitch",
    # How quick everything was, over minutes to an hour: on a starved machine it was not.
    "LockstepEventLoopLag",
    "LockstepIntakeErrorBudgetBurn",
    "LockstepSettlementErrorBudgetBurn",
}
"""Alerts that may fire over a sound system."""


def _sound(firing: set[tuple[str, str]]) -> bool:
    return {("LockstepDeadMansSwitch", "")} <= firing and {name for name, _ in firing} <= EXPECTED


class Prometheus:
    """One that runs."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url, self._session = url, session

    async def get(self, path: str, **params: str) -> Any:
        async with self._session.get(f"{self._url}{path}", params=params) as response:
            answer = await response.json()
        assert answer["status"] == "success", answer
        return answer["data"]

    async def up(self) -> int:
        """How many processes were scraped."""
        found = await self.get("/api/v1/query", query="sum(up)")
        return int(found["result"][0]["value"][1]) if found["result"] else 0

    async def names(self) -> set[str]:
        """Every metric there is."""
        return set(await self.get("/api/v1/label/__name__/values"))

    async def firing(self) -> set[tuple[str, str]]:
        """Alerts that fire: name, and the ledger or job they are about."""
        alerts = (await self.get("/api/v1/alerts"))["alerts"]
        return {
            (a["labels"]["alertname"], a["labels"].get("ledger", a["labels"].get("job", "")))
            for a in alerts
            if a["state"] == "firing"
        }

    async def until(self, *wanted: tuple[str, str], within: float = 120.0) -> None:
        """Wait until these alerts fire."""
        await self._until(lambda firing: set(wanted) <= firing, within)

    async def over(self, *alerts: tuple[str, str], within: float = 120.0) -> None:
        """Wait until these alerts fire no more."""
        await self._until(lambda firing: not set(alerts) & firing, within)

    async def quiet(self, within: float = 120.0) -> None:
        """Wait until nothing fires but what always does, or tells of a slow machine."""
        await self._until(_sound, within)

    async def _until(self, met: Any, within: float) -> None:
        deadline = time.monotonic() + within
        while not met(firing := await self.firing()):
            assert time.monotonic() < deadline, firing
            await asyncio.sleep(0.25)


def _configuration(running: Machine, folder: Path) -> Path:
    shortened = groups()
    for group in shortened:
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = PATIENCE
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": shortened}))
    targets: dict[str, list[str]] = {"gateway": [], "ledger": []}
    for name, url in running.ready["metrics"].items():
        job = "gateway" if name.startswith("gateway") else "ledger"
        targets[job].append(url.removeprefix("http://"))
    whole = {
        "global": {
            "scrape_interval": SCRAPE,
            "scrape_timeout": SCRAPE,
            "evaluation_interval": "1s",
        },
        "rule_files": [str(folder / "rules.yaml")],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": those}]}
            for job, those in targets.items()
        ],
    }
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump(whole))
    return file


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as made:
        port: int = made.getsockname()[1]
    return port


@contextlib.asynccontextmanager
async def prometheus(
    running: Machine, folder: Path, session: aiohttp.ClientSession
) -> AsyncIterator[Prometheus]:
    """Scrapes every process of a running `up` each second, with our rules."""
    port = _free_port()
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={_configuration(running, folder)}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    try:
        made = Prometheus(f"http://127.0.0.1:{port}", session)
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(aiohttp.ClientError, AssertionError):
                if await made.up() == len(running.ready["metrics"]):
                    break
            assert process.returncode is None and time.monotonic() < deadline
            await asyncio.sleep(0.2)
        yield made
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
