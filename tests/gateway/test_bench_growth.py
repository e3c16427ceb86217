"""A system that the bench has grown: an audit of everything finds nothing wrong with it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from gateway.bench import growth, throwaway
from gateway.bench.growth import Growth, grow
from gateway.bench.plan import Shape
from gateway.bench.rounds import Meter, load_generator
from gateway.bench.system import System
from gateway.embedded import temporary_directory
from gateway.machine.up import Options, running


@pytest.fixture
def data() -> Iterator[Path]:
    path = temporary_directory()
    yield path
    shutil.rmtree(path)


async def counts(dsn: str, *tables: str) -> list[int]:
    connection = await asyncpg.connect(dsn)
    try:
        return [await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables]
    finally:
        await connection.close()


@pytest.mark.system
@pytest.mark.timeout(240)  # three PostgreSQL servers to start and stop, whatever else runs
async def test_an_audit_of_a_grown_system_finds_nothing(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throwaway, "SECURITIES", 4)
    monkeypatch.setattr(throwaway, "ACCOUNTS", 4)
    monkeypatch.setattr(growth, "ORIGINALS", 100)
    said: list[str] = []
    world = throwaway.write(data / "bench.toml", Shape.DVP)
    async with running(Options(data=data, world=str(world)), said.append):
        system = System(data)
        site = await system.site(Shape.DVP, None)
        async with load_generator(site) as generator:
            meter = Meter(generator, system.databases, await system.processes(), None)
            wanted = Growth(settled=500, accounts=1200, open=200)
            grown = await grow(system, site, meter, wanted, said.append)
        audit = subprocess.run(
            [sys.executable, "-m", "gateway.cli", "audit", "--data", str(data), "--json"],
            capture_output=True,
            text=True,
        )
        assert audit.returncode == 0, audit.stdout + audit.stderr
        found = json.loads(audit.stdout)
        settled = await counts(system.databases.gateway, "settlement", "instruction", "inbound")
        ledgers = [
            await counts(dsn, "contracts", "accounts") for dsn in system.databases.ledgers.values()
        ]
    assert found["findings"] == []
    assert (grown.settled, settled) == (500, [700, 500, 500])
    assert all(contracts == 500 and accounts > 1200 for contracts, accounts in ledgers)
    assert grown.mib_per_100k_open is not None and grown.mib_per_100k_open > 0
