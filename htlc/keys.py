"""The discipline of keys: which preimage may be shown when (rules 6 to 8).

`coordinator.decide` asks before it commands, and the vault asks again before it derives a key: a
mistake in either alone opens nothing.
"""

from htlc.agreement import EXECUTION, Agreement, Role
from htlc.events import COMMIT, Decision
from htlc.settlement import Settlement
from htlc.swap import ANCHORED


def may_show(state: Settlement, leg: int, role: Role) -> bool:
    """Whether the key of `role` for leg number `leg` may leave the vault."""
    agreed = state.agreement
    if agreed is None:
        return False
    if role is EXECUTION:
        return _may_execute(state, agreed, leg)
    return _may_cancel(state, agreed, leg)


def _may_execute(state: Settlement, agreed: Agreement, leg: int) -> bool:
    """COMMIT opens every leg; `anchored`: the anchor only, whose execution opens the followers.
    Where a clock can win the race, an executed leg is followed whatever the journal holds."""
    if agreed.protocol is ANCHORED and leg != agreed.anchor:
        return state.anchor_executed
    decided = state.decided
    if decided is not None and decided.decision is COMMIT:
        return True
    return state.expiring and state.key_is_out


def _may_cancel(state: Settlement, agreed: Agreement, leg: int) -> bool:
    """CANCEL opens every leg back; `anchored`: the anchor only, whose loss opens the followers,
    under whichever decision is journalled."""
    if agreed.legs[leg].terms.cancellation_lock is None:
        return False
    if agreed.protocol is ANCHORED and leg != agreed.anchor:
        return state.anchor_lost and state.decided is not None
    if state.restored and agreed.backstop:
        return False  # a lost COMMIT may have sent executions on their way: the clock opens it
    return state.decision is Decision.CANCEL
