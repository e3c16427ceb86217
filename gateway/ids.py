"""Identifiers that this gateway makes."""

import os
import time
from collections.abc import Iterator
from typing import Final


def as_version_4(id: str) -> str:
    """An id of ours where a standard wants a random UUID (UETR, `SwpId`): the same but for the
    digit of the version, so that people and programs find the one by the other."""
    return f"{id[:14]}4{id[15:]}"


def new_id() -> str:
    """A UUIDv7 (RFC 9562, section 5.7): unique everywhere, and sorted by time in every index that
    it stands in. 48 bits of milliseconds, the version, 12 random bits, the variant, 62 random
    ones."""
    global _head
    tail = next(_tails, None) or _more()
    now = time.time_ns() // 1_000_000
    if now != _head[0]:  # ids are made by the dozen
        millis = f"{now:012x}"
        _head = (now, f"{millis[:8]}-{millis[8:]}-7")
    return _head[1] + tail


_head = (0, "")
"""The last millisecond in which an id was made, as ids begin."""

_STOCK: Final = 400
"""Ids whose random part is made at once: a system call for each is a third of its cost, and makes
the process wait for its turn. We never fork a process that goes on with the same stock."""

_DIGITS: Final = 20
"""Hexadecimal ones, drawn for each id: 74 bits are 19."""

_VARIANT: Final = {f"{digit:x}": f"{digit & 0x3 | 0x8:x}" for digit in range(16)}
"""The first two bits of this digit are 10 (RFC 9562, section 4.1), whatever was drawn."""

_tails: Iterator[str] = iter(())


def _more() -> str:
    """A new stock of random parts, and its first."""
    global _tails
    drawn = os.urandom(_STOCK * _DIGITS // 2).hex()
    parts = [drawn[at : at + _DIGITS] for at in range(0, len(drawn), _DIGITS)]
    _tails = iter([f"{d[:3]}-{_VARIANT[d[3]]}{d[4:7]}-{d[7:19]}" for d in parts])
    return next(_tails)
