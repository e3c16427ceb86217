"""Requests of users on settlements that this replica does not run: written into the journal, where
the replica that runs them finds them."""

from collections.abc import Callable
from typing import Final

from gateway.journal import Entry, Journal
from htlc.coordinator import evolve
from htlc.events import Decided, Event
from htlc.settlement import Settlement
from htlc.units import SettlementId

CONFLICTS_MAX: Final = 20
"""Times a request from another replica is tried again before its caller is told to come back."""

ASK_AGAIN: Final = "DPRG the settlement is changing hands; ask again"
"""The code of the denial (in process), and why."""


async def request(
    journal: Journal,
    id: SettlementId,
    event: Event,
    check: Callable[[Settlement], str | None],
) -> str | None:
    """Append the event unless `check` refuses (its text). Raises KeyError for an unknown id."""
    for _ in range(CONFLICTS_MAX):
        loaded = (await journal.load([id]))[id]
        if (refused := check(loaded.state)) is not None or loaded.replica is None:
            return refused
        after = evolve(loaded.state, event)
        entry = Entry(
            settlement=id,
            sequence=loaded.sequence + 1,
            events=(event,),
            phase=after.phase,
            decision=event.decision if isinstance(event, Decided) else None,
        )
        if (await journal.append([entry]))[0]:
            await journal.notify(id)
            return None
    return ASK_AGAIN
