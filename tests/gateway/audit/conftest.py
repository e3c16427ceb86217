"""Fixtures of the audit's tests: one day, made once, renewed after each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.gateway.audit import day as days
from tests.gateway.audit.day import Copy, Day


@pytest.fixture(scope="session")
def day(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    home: Path = tmp_path_factory.mktemp("day")
    yield days.made(postgres_server, home)
    days.removed(postgres_server)


@pytest.fixture
async def copy(day: Day) -> AsyncIterator[Copy]:
    copy = Copy(day=day)
    yield copy
    await copy.renew()
