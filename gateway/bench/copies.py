"""Rows as a system has written them, made again and again with new ids.

A table's rows are taken in PostgreSQL's text format for COPY and cut where an id stands, in
whatever column, JSON or message. A copy is the same text with ids of its own; so it is as long, and
stands in every index as the original does. A copy costs a join of byte strings, not a look at each
row.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from gateway.ids import as_version_4, new_id
from htlc.agreement import htlc_id
from htlc.units import LegId, SettlementId

_DASHED: Final = rb"[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
_PLAIN: Final = rb"(?<![0-9a-f])[0-9a-f]{12}[47][0-9a-f]{19}(?![0-9a-f])"
_PLACE: Final = re.compile(rb"(" + _DASHED + rb"|" + _PLAIN + rb"|@[a-zA-Z0-9]+:[0-9]+@)")
"""A UUID of ours, as text or without its dashes (that is how ids of messages are written); or a
number that is counted on from copy to copy."""

Names = Mapping[bytes, bytes]
"""What stands in each place of one copy."""


class Rows:
    """Text that can be made again with other ids."""

    def __init__(self, text: bytes) -> None:
        self._parts = _PLACE.split(text)

    @property
    def places(self) -> set[bytes]:
        """The ids and numbers in it."""
        return set(self._parts[1::2])

    def copy(self, names: Names) -> bytes:
        return b"".join([names.get(part, part) for part in self._parts])


class Renaming:
    """New ids for everything that was written under the old ones."""

    def __init__(self, places: Iterable[bytes], contracts: Iterable[tuple[str, str, str]]) -> None:
        """`contracts`: the id of each lock, its settlement and its leg."""
        ids = {place for place in places if not place.startswith(b"@")}
        self._contracts = [
            (id.encode(), settlement.encode(), LegId(leg)) for id, settlement, leg in contracts
        ]
        locks = {id for id, _, _ in self._contracts}
        # One id may stand there in several forms: with or without dashes, as of version 4 (UETR).
        self._forms: dict[bytes, list[bytes]] = {}
        for id in sorted(ids - locks):
            self._forms.setdefault(_normal(id), []).append(id)

    def names(self) -> dict[bytes, bytes]:
        """A new id for each old one, in the same order."""
        found = {}
        for normal, forms in self._forms.items():
            id = new_id()
            found[normal] = id.encode()
            for form in forms:
                found[form] = _as(form, id)
        for lock, settlement, leg in self._contracts:
            its = SettlementId(found[_normal(settlement)].decode())
            found[lock] = htlc_id(its, leg).encode()
        return found


def _normal(id: bytes) -> bytes:
    plain = id.replace(b"-", b"")
    return plain[:12] + b"7" + plain[13:]


def _as(form: bytes, id: str) -> bytes:
    """An id in the form in which the old one stands."""
    dashed = b"-" in form
    version_4 = form[14 if dashed else 12 : 15 if dashed else 13] == b"4"
    text = as_version_4(id) if version_4 else id
    return (text if dashed else text.replace("-", "")).encode()
