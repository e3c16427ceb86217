"""The discipline of keys: which preimage may be shown when (rules 6 to 8).

`coordinator.decide` asks before it commands, and the vault asks again before it derives a key: a
mistake in either alone opens nothing.
"""

from htlc.agreement import EXECUTION, Role
from htlc.events import COMMIT, Decision
from htlc.settlement import Settlement
from htlc.swap import ANCHORED, LockProtocol


def may_show(state: Settlement, leg: int, role: Role) -> bool:
    """Whether the key of `role` for leg number `leg` may leave the vault."""
    if state.agreement is None:
        return False
    if role is EXECUTION:
        return _may_execute(state, leg)
    return _may_cancel(state, leg)


def _may_execute(state: Settlement, leg: int) -> bool:
    """COMMIT opens every leg; `anchored`: the anchor only, whose execution opens the followers.
    Where a clock can win the race, an executed leg is followed whatever the journal holds."""
    agreed = state.agreed
    if agreed.protocol is ANCHORED and leg != agreed.anchor:
        return state.anchor_executed
    return state.decision is COMMIT or (state.expiring and state.key_is_out)


def _may_cancel(state: Settlement, leg: int) -> bool:
    """CANCEL opens every leg back; `anchored`: the anchor only, whose loss opens the followers,
    under whichever decision is journalled."""
    if state.agreed.legs[leg].terms.cancellation_lock is None:
        return False
    if state.protocol is LockProtocol.ANCHORED and leg != state.agreed.anchor:
        return state.anchor_lost and state.decided is not None
    if state.restored and state.agreed.backstop:
        return False  # a lost COMMIT may have sent executions on their way: the clock opens it
    return state.decision is Decision.CANCEL
