"""Fixtures of the gateway's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests import postgres
from tests.gateway.systems import System, system


@pytest.fixture
async def dsns(postgres_server: str) -> dict[str, str]:
    """Three empty databases: two ledgers and a gateway."""
    return {
        name: await postgres.empty_database(postgres_server, f"system_{name}")
        for name in ("registry", "bank", "gateway")
    }


@pytest.fixture
async def running(dsns: dict[str, str], tmp_path: Path) -> AsyncIterator[System]:
    """A system with its gateway running."""
    async with system(dsns, tmp_path) as made, made.gateway():
        yield made
