"""Fixtures that every package's tests may use."""

from collections.abc import Iterator

import pytest

from tests import postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The socket directory of a PostgreSQL server that lives as long as the test session."""
    with postgres.server() as socket_directory:
        yield socket_directory


@pytest.fixture
async def dsn(postgres_server: str) -> str:
    """A database with nothing in it."""
    return await postgres.empty_database(postgres_server)
