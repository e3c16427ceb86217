"""What a replica's settlements came to: counted as they go, read by the metrics, told to a tracer.

Keys are plain texts: the members of an enumeration are hashed by Python code, for each settlement
several times.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Final

from gateway.telemetry import spans
from htlc.leg import LegStatus
from htlc.settlement import PROPOSED, Phase, Settlement
from htlc.swap import Swap
from htlc.units import LedgerId, SettlementId
from ledgers.distribution import Distribution
from ledgers.trace import Trace

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
        self.phases = {str(phase): Distribution() for phase in GOING_ON}
        self.turns = Distribution()  # seconds from due to decided
        self.conflicts = 0  # entries whose place another replica had taken
        self.relinquished = 0  # settlements that another replica had taken over
        self.taken_over = 0

    def open(self, state: Settlement) -> None:
        """A settlement was opened: its agreement is in the journal."""
        self.opened[self.kind(state.swap), str(state.agreed.protocol)] += 1

    def adopt(self, state: Settlement, created_at: int, trace: Trace | None) -> Trace | None:
        """A settlement has been taken on; the trace that what is done for it belongs to."""
        if spans.active is None:
            return trace
        return spans.active.settlement(state.swap.id, trace, created_at)

    def left(self, phase: Phase, state: Settlement, seconds: float) -> None:
        """A settlement has left a phase."""
        if spans.active is not None:
            spans.active.phase(state)
        if (seen := self.phases.get(str(phase))) is not None:
            seen.observe(seconds)
        if phase is PROPOSED and state.agreement is not None:
            self.open(state)

    def end(self, state: Settlement, seconds: float) -> None:
        """A settlement has ended, durably, so long after intake."""
        kind, outcome = self.kind(state.swap), outcome_of(state)
        if spans.active is not None:
            spans.active.settlement_over(state.swap.id, outcome)
        protocol = str(state.agreement.protocol) if state.agreement is not None else "none"
        reason = str(state.decided.reason) if state.decided is not None else "NONE"
        self.ended[kind, protocol, outcome, reason] += 1
        self.durations[kind, outcome].observe(seconds)

    def relinquish(self, id: SettlementId) -> None:
        """Another replica has a settlement now."""
        self.relinquished += 1
        if spans.active is not None:
            spans.active.settlement_over(id, "RELINQUISHED")

    def kind(self, swap: Swap) -> str:
        """Delivery versus payment, payment versus payment (CPMI), or other."""
        legs = swap.legs
        if len(legs) != 2:
            return "other"
        one, two = self._kinds.get(legs[0].ledger), self._kinds.get(legs[1].ledger)
        if one != two:
            return "dvp"
        return "pvp" if one == "currency" else "other"


def outcome_of(state: Settlement) -> str:
    """SETTLED, CANCELLED, or REJECTED where nothing was ever locked."""
    return "REJECTED" if state.never_locked else str(state.phase)


def locked(state: Settlement) -> tuple[int, ...]:
    """The legs that are found locked, and have not ended."""
    return tuple(n for n, leg in enumerate(state.legs) if leg.status is LegStatus.LOCKED)
