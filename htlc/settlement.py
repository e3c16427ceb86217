"""The state of one settlement: what is folded from its events, and the questions asked of it."""

from enum import StrEnum
from typing import Final

from htlc.agreement import Agreement, PrincipalRisk
from htlc.events import Decided, Decision, Reason
from htlc.leg import ENDED, EXECUTED, FINISHED, LOCKED, LegState, LegStatus, learn
from htlc.swap import HTLC, TWO_KEY, LockProtocol, Swap
from htlc.units import MemberId, Value

__all__ = ["ENDED", "FINISHED", "LegState", "LegStatus", "Phase", "Settlement", "learn"]


class Phase(StrEnum):
    """Where a settlement is. SETTLED and CANCELLED are ends; BROKEN pages, and keeps working."""

    PROPOSED = "PROPOSED"  # waits for the consent of every payer
    LOCKING = "LOCKING"  # open: locks are asked for, nothing is decided
    EXECUTING = "EXECUTING"  # COMMIT, or a key already out: legs go to their payees
    UNWINDING = "UNWINDING"  # CANCEL, or an anchor lost: legs go back to their payers
    SETTLED = "SETTLED"  # every leg executed, final
    CANCELLED = "CANCELLED"  # every leg finished without execution, final
    BROKEN = "BROKEN"  # legs ended differently: the announced residual risk came true


PROPOSED: Final = Phase.PROPOSED
LOCKING: Final = Phase.LOCKING
EXECUTING: Final = Phase.EXECUTING
UNWINDING: Final = Phase.UNWINDING
SETTLED: Final = Phase.SETTLED
CANCELLED: Final = Phase.CANCELLED
BROKEN: Final = Phase.BROKEN
"""For where they are asked for at every turn (the reason is told in `leg`)."""

_ENDS: Final = (SETTLED, CANCELLED)


class Settlement(Value, frozen=True, kw_only=True):
    """One attempt to settle one swap. Built by `coordinator.evolve` alone."""

    swap: Swap
    phase: Phase = Phase.PROPOSED
    consents: frozenset[MemberId] = frozenset()
    agreement: Agreement | None = None
    legs: tuple[LegState, ...] = ()
    decided: Decided | None = None
    cancel_by: frozenset[MemberId] = frozenset()
    cancel_ordered: bool = False
    secret_handed: bool = False
    restored: bool = False

    @property
    def agreed(self) -> Agreement:
        """The agreement of an open settlement."""
        assert self.agreement is not None, "only an open settlement has an agreement"
        return self.agreement

    @property
    def protocol(self) -> LockProtocol:
        return self.agreed.protocol

    @property
    def risk(self) -> PrincipalRisk:
        """Whether a party can lose the whole of its leg. What operators decided after a restore is
        as good as their evidence (rule 17)."""
        if self.decided is not None and self.decided.reason is Reason.OPERATORS:
            return PrincipalRisk.RESIDUAL
        return self.agreed.risk

    @property
    def decision(self) -> Decision | None:
        return self.decided.decision if self.decided else None

    @property
    def cancel_accepted(self) -> bool:
        """Every party asked for it, an authority ordered it, or it was never more than proposed."""
        if self.phase is PROPOSED:
            return bool(self.cancel_by) or self.cancel_ordered
        # Asked at every turn, and nearly always nobody has asked for it.
        return self.cancel_ordered or (bool(self.cancel_by) and self.cancel_by >= self.swap.parties)

    @property
    def all_locked(self) -> bool:
        for leg in self.legs:  # noqa: SIM110 - asked at every turn; a generator takes thrice as long
            if leg.status is not LOCKED:
                return False
        return True

    @property
    def any_executed(self) -> bool:
        for leg in self.legs:  # noqa: SIM110 - as above
            if leg.status is EXECUTED:
                return True
        return False

    @property
    def any_finished(self) -> bool:
        for leg in self.legs:  # noqa: SIM110 - as above
            if leg.status in FINISHED:
                return True
        return False

    @property
    def expiring(self) -> bool:
        """Whether the clock can take legs back after COMMIT: `htlc`, or a backstop."""
        agreed = self.agreed
        return agreed.protocol is HTLC or agreed.backstop

    @property
    def anchor(self) -> LegState | None:
        index = self.agreed.anchor
        return None if index is None else self.legs[index]

    @property
    def anchor_executed(self) -> bool:
        return self.anchor is not None and self.anchor.status is EXECUTED

    @property
    def anchor_lost(self) -> bool:
        """Finally cancelled, refunded, finished unlocked, or on other terms (rule 7)."""
        return self.anchor is not None and self.anchor.status in FINISHED

    @property
    def key_is_out(self) -> bool:
        """Whether the execution key of all legs (`anchored`: of the anchor, which frees the
        followers) is known to have opened a lock: from then on everything due is due at once."""
        return self.any_executed and (self.agreed.anchor is None or self.anchor_executed)

    @property
    def cancellable(self) -> bool:
        """Whether a cancellation can still be accepted. Where a party holds the secret it cannot
        from the first lock command on: that party may show it at any time."""
        if self.phase is Phase.PROPOSED:
            return True
        return self.phase is Phase.LOCKING and self.agreed.holder is None

    @property
    def frozen(self) -> bool:
        """Restored, undecided, all legs locked, no key seen: only evidence helps (rule 17)."""
        return (
            self.phase is LOCKING
            and self.restored
            and self.protocol is TWO_KEY
            and not self.agreed.backstop
            and self.all_locked
        )

    @property
    def ended(self) -> bool:
        return self.phase in _ENDS

    @property
    def never_locked(self) -> bool:
        """Reported as REJECTED: an end at which no leg of ours ever held a lock."""
        return self.phase is CANCELLED and all(
            leg.status in (LegStatus.UNSEEN, LegStatus.UNLOCKED, LegStatus.FOREIGN)
            for leg in self.legs
        )
