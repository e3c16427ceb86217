"""What the journal writes, as the columns that its statements take (`gateway.sql.column`)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.sql import SEPARATOR, column
from htlc.units import SettlementId

if TYPE_CHECKING:
    from gateway.journal import Entry, Notice, Opening

_lines: Final = msgspec.json.Encoder().encode_lines


def party_columns(openings: "Sequence[Opening]") -> tuple[str, str]:
    """The parties of settlements as columns: member, settlement."""
    return (
        column([member for opening in openings for member in opening.members]),
        column([opening.entry.settlement for opening in openings for _ in opening.members]),
    )


def entry_columns(entries: "Sequence[Entry]") -> tuple[str, ...]:
    """Entries as columns of `journal`: settlement, sequence, decision, phase, events."""
    return (
        column([entry.settlement for entry in entries]),
        column([entry.sequence for entry in entries]),
        column([entry.decision for entry in entries]),
        column([entry.phase for entry in entries]),
        # A line each, and no JSON holds a line feed or a separator (RFC 8259, section 7).
        _lines([entry.events for entry in entries]).decode()[:-1].replace("\n", SEPARATOR),
    )


def posting(notices: "Sequence[Notice]") -> tuple[Sequence[object], ...]:
    """Notices as the query `posting` takes them: members, how many there are for each, and the
    notices as columns, with their numbers among those."""
    counts: dict[str, int] = {}
    numbers = []
    for notice in notices:
        number = counts[notice.member] = counts.get(notice.member, 0) + 1
        numbers.append(number)
    members, *others = _columns(notices)
    return list(counts), list(counts.values()), members, column(numbers), *others


def notice_columns(
    notices: "Sequence[Notice]", causes: Sequence[SettlementId | None]
) -> tuple[Sequence[object], ...]:
    """Notices as the columns of the query `items`; each with the settlement whose entry it is."""
    return *_columns(notices), column(causes)


def _columns(notices: "Sequence[Notice]") -> tuple[str, ...]:
    """Notices as columns of `mailbox`: member, id, definition, related, created_at, settlement,
    content."""
    return (
        column([notice.member for notice in notices]),
        column([notice.id for notice in notices]),
        column([notice.definition for notice in notices]),
        column([notice.related for notice in notices]),
        column([notice.created_at for notice in notices]),
        column([notice.settlement for notice in notices]),
        column([notice.content for notice in notices]),
    )
