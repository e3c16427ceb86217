"""The journal of one settlement, read back from its rows and folded. Pure."""

from collections.abc import Iterator, Sequence

import msgspec

from gateway.records import events as events_of
from htlc.agreement import Agreement
from htlc.coordinator import evolve, propose
from htlc.events import Decided, Event, Opened, Proposed
from htlc.invariants import journal_in_order
from htlc.settlement import Settlement
from ledgers.rows import Row


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of one settlement tell. `state` is None where they cannot be folded; `open`
    says whether a replica works on it."""

    settlement: str
    events: tuple[Event, ...] = ()
    state: Settlement | None = None
    faults: tuple[str, ...] = ()
    open: bool = False
    pair: str | None = None

    @property
    def agreement(self) -> Agreement | None:
        """Also of a journal that does not fold: its keys can still be judged."""
        return next((e.agreement for e in self.events if isinstance(e, Opened)), None)


def read(settlement: str, row: Row | None, rows: Sequence[Row], epoch: int) -> Journal:
    """Fold the `rows` of a journal, in their order; `row` is the settlement's own."""
    faults = [*_row_faults(rows, epoch)]
    events: list[Event] = []
    state: Settlement | None = None
    try:
        for line in rows:
            new = events_of(line["events"])
            faults += _decision_faults(line, new)
            for event in new:
                state = _fold(state, event)
                events.append(event)
            if state is not None and line["phase"] != state.phase:
                what = f"expected phase {state.phase} after its events, found {line['phase']}"
                faults.append(f"row {line['sequence']}: {what}")
    except (msgspec.DecodeError, AssertionError, IndexError) as error:
        state = None
        faults.append(f"expected events that fold: {str(error) or repr(error)}")
    faults += [f"expected otherwise: {v.what}" for v in journal_in_order(events)]
    faults += _owner_faults(row, state)
    return Journal(
        settlement=settlement,
        events=tuple(events),
        state=state,
        faults=tuple(faults),
        open=row is not None and row["replica"] is not None,
        pair=None if row is None or row["pair"] is None else str(row["pair"]),
    )


def _fold(state: Settlement | None, event: Event) -> Settlement:
    if state is not None:
        return evolve(state, event)
    assert isinstance(event, Proposed), "a journal begins with its proposal"
    return propose(event)


def _row_faults(rows: Sequence[Row], epoch: int) -> Iterator[str]:
    if not rows:
        yield "expected a journal, there is none"
    for expected, row in enumerate(rows, start=1):
        if row["sequence"] != expected:
            yield f"expected row {expected}, found {row['sequence']}: a row is missing"
            return
    epochs = [row["epoch"] for row in rows]
    if epochs != sorted(epochs) or any(not 1 <= found <= epoch for found in epochs):
        yield f"expected epochs that rise to {epoch} at most, found {epochs}"


def _decision_faults(row: Row, events: Sequence[Event]) -> Iterator[str]:
    """The decision stands in a column of its own, whose index lets in one per settlement."""
    decided = [event.decision.value for event in events if isinstance(event, Decided)]
    column = [row["decision"]] if row["decision"] is not None else []
    if decided != column:
        yield f"row {row['sequence']}: expected decision {column}, its events say {decided}"


def _owner_faults(row: Row | None, state: Settlement | None) -> Iterator[str]:
    if row is None:
        yield "expected its row in table settlement, there is none"
    elif state is not None and state.ended == (row["replica"] is not None):
        ended = "it has ended" if state.ended else "it has not ended"
        worked = "no replica" if row["replica"] is None else f"replica {row['replica']}"
        yield f"{ended}, and {worked} works on it"
