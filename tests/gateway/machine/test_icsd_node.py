"""A node's process: what it makes sure of before it serves."""

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.config import ConfigurationError
from gateway.icsd_node.process import require_same_log


def settings(epoch: int) -> Any:
    return SimpleNamespace(log=SimpleNamespace(epoch=epoch))


def node(log: int) -> Any:
    return SimpleNamespace(head=SimpleNamespace(log=log))


def test_a_node_reads_on_in_the_log_that_its_book_stands_in() -> None:
    require_same_log(settings(2), node(2))
    with pytest.raises(ConfigurationError, match="stands in the log of epoch 2, not in that of 1"):
        require_same_log(settings(1), node(2))
