"""What the journal writes, as the columns that its statements take: a list for each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway import records
from htlc.units import SettlementId

if TYPE_CHECKING:
    from gateway.journal import Entry, Notice, Opening


def party_columns(openings: "Sequence[Opening]") -> tuple[Sequence[object], ...]:
    """The parties of settlements as columns: member, settlement."""
    return (
        [member for opening in openings for member in opening.members],
        [opening.entry.settlement for opening in openings for _ in opening.members],
    )


def entry_columns(entries: "Sequence[Entry]") -> tuple[Sequence[object], ...]:
    """Entries as columns of `journal`: settlement, sequence, decision, phase, events."""
    return (
        [entry.settlement for entry in entries],
        [entry.sequence for entry in entries],
        [entry.decision for entry in entries],
        [entry.phase for entry in entries],
        records.texts([entry.events for entry in entries]),
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
    return list(counts), list(counts.values()), members, numbers, *others


def notice_columns(
    notices: "Sequence[Notice]", causes: Sequence[SettlementId | None]
) -> tuple[Sequence[object], ...]:
    """Notices as the columns of the query `items`; each with the settlement whose entry it is."""
    return *_columns(notices), causes


def _columns(notices: "Sequence[Notice]") -> tuple[Sequence[object], ...]:
    """Notices as columns of `mailbox`: member, id, definition, related, created_at, settlement,
    content."""
    return (
        [notice.member for notice in notices],
        [notice.id for notice in notices],
        [notice.definition for notice in notices],
        [notice.related for notice in notices],
        [notice.created_at for notice in notices],
        [notice.settlement for notice in notices],
        [notice.content for notice in notices],
    )
