"""Fixtures of the gateway's tests."""

import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests import postgres
from tests.gateway.systems import System, system

_numbers = itertools.count()


@pytest.fixture
async def dsns(postgres_server: str) -> AsyncIterator[dict[str, str]]:
    """Three empty databases: two ledgers and a gateway."""
    number = next(_numbers)
    async with contextlib.AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(
                postgres.database(postgres_server, f"system_{number}_{name}")
            )
            for name in ("registry", "bank", "gateway")
        }


@pytest.fixture
async def running(dsns: dict[str, str], tmp_path: Path) -> AsyncIterator[System]:
    """A system with its gateway running."""
    async with system(dsns, tmp_path) as made, made.gateway():
        yield made
