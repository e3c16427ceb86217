"""Fixtures that every package's tests may use."""

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest

from tests import postgres

_databases = itertools.count()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The socket directory of a PostgreSQL server that lives as long as the test session."""
    with postgres.server() as socket_directory:
        yield socket_directory


@pytest.fixture
async def dsn(postgres_server: str) -> AsyncIterator[str]:
    """A fresh, empty database."""
    name = f"test_{next(_databases)}"
    async with postgres.database(postgres_server, name) as found:
        yield found
