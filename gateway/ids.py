"""Identifiers that this gateway makes."""

import os
import time
from collections.abc import Iterator
from typing import Final

_VERSION_7: Final = 0x7 << 76
_VARIANT: Final = 0x2 << 62
_RANDOM_BITS: Final = 74
"""RFC 9562 section 5.7: 48 bits of milliseconds, 12 + 62 random ones, version and variant."""


def as_version_4(id: str) -> str:
    """An id of ours where a standard wants a random UUID (UETR, `SwpId`): the same but for the
    digit of the version, so that people and programs find the one by the other."""
    return f"{id[:14]}4{id[15:]}"


def new_id() -> str:
    """A UUIDv7: unique everywhere, and sorted by time in every index that it stands in."""
    millis = time.time_ns() // 1_000_000
    random = int.from_bytes(_random_bytes()) & ((1 << _RANDOM_BITS) - 1)
    value = millis << 80 | _VERSION_7 | (random >> 62) << 64 | _VARIANT | random & ((1 << 62) - 1)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_RANDOM_BYTES: Final = 10

_STOCK_BYTES: Final = 400 * _RANDOM_BYTES
"""Random bytes that are fetched at once: a system call for each id is a third of its cost, and
makes the process wait for its turn. We never fork a process that goes on with the same stock."""

_stock: Iterator[bytes] = iter(())


def _random_bytes() -> bytes:
    global _stock
    drawn = next(_stock, None)
    if drawn is None:
        fetched = os.urandom(_STOCK_BYTES)
        parts = range(0, _STOCK_BYTES, _RANDOM_BYTES)
        _stock = iter([fetched[at : at + _RANDOM_BYTES] for at in parts])
        drawn = next(_stock)
    return drawn
