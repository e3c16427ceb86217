"""What PostgreSQL's client library takes for an array and for a row of one, asked at less cost.

asyncpg asks three abstract classes about each element of each array: whether it could be an array
in an array. That is a Python function each time, and was 40 % of what it took a registry to encode
what it writes. The types that are passed in fact are known; they are asked for first, and an
abstract class only about others. This sets names of the library that are not public: its version is
pinned (`pyproject.toml`), and the test fails with one that has no such names.
"""

from collections.abc import Iterable, Sized
from typing import Any, Final

from asyncpg.protocol import protocol

_names: Any = protocol

CONTAINERS: Final = (list, tuple, str, bytes)
"""What stands in arrays as lists: rows, texts, keys. Texts from lists the library tells itself."""


def quicken() -> None:
    """For all connections of this process. A mapping that is no dict is then no row any more."""
    _names.IterableABC = (*CONTAINERS, Iterable)
    _names.SizedABC = (*CONTAINERS, Sized)
    _names.MappingABC = dict
