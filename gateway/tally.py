"""What a replica's settlements came to: counted as they go, read by the metrics."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Final

from htlc.leg import LegStatus
from htlc.settlement import Phase, Settlement
from htlc.swap import Swap
from htlc.units import LedgerId
from ledgers.distribution import Distribution

GOING_ON: Final = tuple(phase for phase in Phase if phase not in (Phase.SETTLED, Phase.CANCELLED))
"""The phases that a settlement is in for a while; the others are its ends."""


class Tally:
    """Counts settlements by kind, protocol and end. `kinds` says what each ledger keeps
    (securities or currency)."""

    def __init__(self, kinds: Mapping[LedgerId, str]) -> None:
        self._kinds = kinds
        self.opened: Counter[tuple[str, str]] = Counter()  # kind, protocol
        self.ended: Counter[tuple[str, str, str, str]] = Counter()  # … outcome, reason
        self.durations: defaultdict[tuple[str, str], Distribution] = defaultdict(Distribution)
        self.phases = {phase: Distribution() for phase in GOING_ON}
        self.turns = Distribution()  # seconds from due to decided
        self.conflicts = 0  # entries whose place another replica had taken
        self.relinquished = 0  # settlements that another replica had taken over
        self.taken_over = 0

    def open(self, state: Settlement) -> None:
        """A settlement was opened: its agreement is in the journal."""
        self.opened[self.kind(state.swap), state.protocol] += 1

    def left(self, phase: Phase, state: Settlement, seconds: float) -> None:
        """A settlement has left a phase."""
        if phase in self.phases:
            self.phases[phase].observe(seconds)
        if phase is Phase.PROPOSED and state.agreement is not None:
            self.open(state)

    def end(self, state: Settlement, seconds: float) -> None:
        """A settlement has ended, durably, so long after intake."""
        kind, outcome = self.kind(state.swap), outcome_of(state)
        protocol = state.protocol if state.agreement is not None else "none"
        reason = state.decided.reason if state.decided is not None else "NONE"
        self.ended[kind, protocol, outcome, reason] += 1
        self.durations[kind, outcome].observe(seconds)

    def kind(self, swap: Swap) -> str:
        """Delivery versus payment, payment versus payment (CPMI), or other."""
        kept = sorted(self._kinds.get(leg.ledger, "") for leg in swap.legs)
        if kept == ["currency", "securities"]:
            return "dvp"
        return "pvp" if kept == ["currency", "currency"] else "other"


def outcome_of(state: Settlement) -> str:
    """SETTLED, CANCELLED, or REJECTED where nothing was ever locked."""
    return "REJECTED" if state.never_locked else str(state.phase)


def locked(state: Settlement) -> tuple[int, ...]:
    """The legs that are found locked, and have not ended."""
    return tuple(n for n, leg in enumerate(state.legs) if leg.status is LegStatus.LOCKED)
