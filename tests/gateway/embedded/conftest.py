"""State directories for the tests, each looked at afterwards: nothing may be left."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.embedded import temporary_directory
from tests.gateway.embedded.looking import ROOT, assert_clean

collect_ignore = [] if ROOT else ["test_as_root.py"]


def pytest_report_collectionfinish() -> str:
    return "" if ROOT else "embedded: test_as_root.py is left out, because this user is not root"


@pytest.fixture
def directory() -> Iterator[Path]:
    """A new state directory."""
    made = temporary_directory()
    yield made
    assert_clean(made)
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """One state directory for the tests that need no first start of their own (0.5 s)."""
    made = temporary_directory()
    yield made
    shutil.rmtree(made)


@pytest.fixture
def used(shared: Path) -> Iterator[Path]:
    """The shared state directory, looked at after each test."""
    yield shared
    assert_clean(shared)
