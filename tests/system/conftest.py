"""Fixtures of the system tests."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def data() -> Iterator[Path]:
    """A data directory to be, below one that the databases' own user may enter (pytest's own
    temporary directory is closed to others)."""
    with tempfile.TemporaryDirectory(prefix="lockstep-") as home:
        Path(home).chmod(0o711)
        yield Path(home) / "data"
