"""The gateway's journal in the simulated world: the rules of `gateway.journal` without a database.

An entry is written at the last sequence + 1 of its settlement or not at all, a settlement takes one
decision (the unique index), an older epoch is refused, and notices lie in their mailboxes exactly
if their entry is written.
"""

from collections.abc import Iterator, Sequence
from itertools import chain

from gateway.journal import Notice
from htlc.coordinator import evolve, propose
from htlc.events import Decided, Event, Opened, Proposed, Restored
from htlc.settlement import Settlement
from htlc.units import SettlementId


class Journal:
    """Shared by all replicas; survives every crash, and loses records only in a `restore`."""

    def __init__(self) -> None:
        self.entries: dict[SettlementId, list[tuple[Event, ...]]] = {}
        self._notices: dict[tuple[SettlementId, int], tuple[Notice, ...]] = {}
        self.epoch = 1
        self.up = True
        self.lost: dict[SettlementId, tuple[Event, ...]] = {}

    def open(self, event: Proposed) -> None:
        """A new settlement, with its first entry."""
        assert event.swap.id not in self.entries, "an id names one settlement"
        self.entries[event.swap.id] = [(event,)]

    def append(
        self,
        id: SettlementId,
        sequence: int,
        events: tuple[Event, ...],
        *,
        epoch: int,
        notices: Sequence[Notice] = (),
    ) -> bool:
        """Durable when it returns True. False: the place is taken, or the epoch is over."""
        known = self.entries[id]
        if epoch != self.epoch or sequence != len(known) + 1:
            return False
        if _decides(events) and any(_decides(entry) for entry in known):
            return False
        known.append(events)
        if notices:
            self._notices[id, len(known)] = tuple(notices)
        return True

    def notices(self) -> Iterator[Notice]:
        """All mailboxes: what was written with entries that stand."""
        for written in self._notices.values():
            yield from written

    def events(self, id: SettlementId) -> tuple[Event, ...]:
        entries = self.entries[id]
        return tuple(chain.from_iterable(entries))

    def load(self, id: SettlementId) -> tuple[Settlement, int]:
        """The settlement as its journal tells it, and its last sequence."""
        return fold(self.events(id)), len(self.entries[id])

    def restore(self, lost: int) -> None:
        """Come back from a copy that lacks the last `lost` entries of each settlement, never its
        OPEN: a lock of an unknown settlement is found by other means (rule 17)."""
        self.epoch += 1
        for id, entries in self.entries.items():
            opened = [n for n, entry in enumerate(entries) if _opens(entry)]
            if not opened:
                continue
            keep = max(opened[0] + 1, len(entries) - lost)
            self.lost[id] = tuple(event for entry in entries[keep:] for event in entry)
            for n in range(keep, len(entries)):
                self._notices.pop((id, n + 1), None)  # one database: they come back together
            entries[keep:] = [(Restored(epoch=self.epoch),)]


def fold(events: Sequence[Event]) -> Settlement:
    """The state that a journal tells: recovery is this and nothing else."""
    first, *rest = events
    assert isinstance(first, Proposed), "a journal begins with a proposal"
    state = propose(first)
    for event in rest:
        state = evolve(state, event)
    return state


def _decides(events: Sequence[Event]) -> bool:
    return any(isinstance(event, Decided) for event in events)


def _opens(events: Sequence[Event]) -> bool:
    return any(isinstance(event, Opened) for event in events)
