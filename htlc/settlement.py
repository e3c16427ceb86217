"""The state of one settlement: what is folded from its events, and the questions asked of it."""

from enum import StrEnum

import msgspec

from htlc.agreement import AgreedLeg, Agreement
from htlc.contract import LASTING, Answer, Htlc, Refusal, Status
from htlc.events import Decided, Decision
from htlc.swap import LockProtocol, Swap
from htlc.units import Instant, MemberId


class Phase(StrEnum):
    """Where a settlement is. SETTLED and CANCELLED are ends; BROKEN pages, and keeps working."""

    PROPOSED = "PROPOSED"  # waits for the consent of every payer
    LOCKING = "LOCKING"  # open: locks are asked for, nothing is decided
    EXECUTING = "EXECUTING"  # COMMIT, or a key already out: legs go to their payees
    UNWINDING = "UNWINDING"  # CANCEL, or an anchor lost: legs go back to their payers
    SETTLED = "SETTLED"  # every leg executed, final
    CANCELLED = "CANCELLED"  # every leg finished without execution, final
    BROKEN = "BROKEN"  # legs ended differently: the announced residual risk came true


class LegStatus(StrEnum):
    """What is known about one leg. Only final answers count."""

    UNSEEN = "UNSEEN"  # nothing heard yet
    ABSENT = "ABSENT"  # no contract, but a lock may still arrive: `lock_by` lies ahead
    LOCKED = "LOCKED"
    EXECUTED = "EXECUTED"
    CANCELLED = "CANCELLED"  # opened back with the cancellation key
    REFUNDED = "REFUNDED"  # gone back by the clock
    UNLOCKED = "UNLOCKED"  # finished unlocked: no contract, and none can be made any more
    FOREIGN = "FOREIGN"  # the id holds a contract on other terms: not our leg


FINISHED = frozenset(
    {LegStatus.CANCELLED, LegStatus.REFUNDED, LegStatus.UNLOCKED, LegStatus.FOREIGN}
)
"""Ended without execution; none of these can become anything else (rule 3)."""

ENDED = FINISHED | {LegStatus.EXECUTED}


class LegState(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger of a leg has told: `at` is the latest ledger time it was read at, `key` the
    preimage that ended it, `refusal` a lasting refusal of its lock."""

    status: LegStatus = LegStatus.UNSEEN
    at: Instant = Instant(0)
    ended_at: Instant | None = None
    key: bytes | None = None
    refusal: Refusal | None = None


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
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
    def decision(self) -> Decision | None:
        return self.decided.decision if self.decided else None

    @property
    def cancel_accepted(self) -> bool:
        """Every party asked for it, an authority ordered it, or it was never more than proposed."""
        if self.phase is Phase.PROPOSED:
            return bool(self.cancel_by) or self.cancel_ordered
        return self.cancel_ordered or self.cancel_by >= self.swap.parties

    @property
    def all_locked(self) -> bool:
        return all(leg.status is LegStatus.LOCKED for leg in self.legs)

    @property
    def any_executed(self) -> bool:
        return any(leg.status is LegStatus.EXECUTED for leg in self.legs)

    @property
    def any_finished(self) -> bool:
        return any(leg.status in FINISHED for leg in self.legs)

    @property
    def any_refunded(self) -> bool:
        return any(leg.status is LegStatus.REFUNDED for leg in self.legs)

    @property
    def expiring(self) -> bool:
        """Whether the clock can take legs back after COMMIT: `htlc`, or a backstop."""
        return self.protocol is LockProtocol.HTLC or self.agreed.backstop

    @property
    def anchor(self) -> LegState | None:
        index = self.agreed.anchor
        return None if index is None else self.legs[index]

    @property
    def anchor_executed(self) -> bool:
        return self.anchor is not None and self.anchor.status is LegStatus.EXECUTED

    @property
    def anchor_lost(self) -> bool:
        """Finally cancelled, refunded, finished unlocked, or on other terms (rule 7)."""
        return self.anchor is not None and self.anchor.status in FINISHED

    @property
    def key_is_out(self) -> bool:
        """Whether the execution key of all legs (`anchored`: of the anchor, which frees the
        followers) is known to have opened a lock: from then on everything due is due at once."""
        return self.anchor_executed if self.anchor is not None else self.any_executed

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
            self.phase is Phase.LOCKING
            and self.restored
            and self.protocol is LockProtocol.TWO_KEY
            and not self.agreed.backstop
            and self.all_locked
        )

    @property
    def ended(self) -> bool:
        return self.phase in (Phase.SETTLED, Phase.CANCELLED)

    @property
    def never_locked(self) -> bool:
        """Reported as REJECTED: an end at which no leg of ours ever held a lock."""
        return self.phase is Phase.CANCELLED and all(
            leg.status in (LegStatus.UNSEEN, LegStatus.UNLOCKED, LegStatus.FOREIGN)
            for leg in self.legs
        )

    @property
    def refused_leg(self) -> int | None:
        """The first leg whose lock its ledger has lastingly refused."""
        return next(
            (
                n
                for n, leg in enumerate(self.legs)
                if leg.refusal is not None and leg.status is not LegStatus.LOCKED
            ),
            None,
        )


def learn(leg: LegState, agreed: AgreedLeg, answer: Answer) -> LegState:
    """Fold one answer into what is known of a leg.

    Facts only grow: an answer that was overtaken on its way (older than what is known) changes
    nothing, and one that is not final is no fact at all."""
    if not answer.final or leg.status in ENDED:
        return leg
    if answer.htlc is not None:
        return _learn_contract(leg, agreed, answer, answer.htlc)
    if leg.status is LegStatus.LOCKED:
        return leg
    refusal = answer.refusal if answer.refusal in LASTING else leg.refusal
    at = max(leg.at, answer.at)
    if answer.at >= agreed.terms.lock_by:
        return LegState(status=LegStatus.UNLOCKED, at=at, refusal=refusal)
    return LegState(status=LegStatus.ABSENT, at=at, refusal=refusal)


def _learn_contract(leg: LegState, agreed: AgreedLeg, answer: Answer, htlc: Htlc) -> LegState:
    at = max(leg.at, answer.at)
    if htlc.terms != agreed.terms:
        return LegState(status=LegStatus.FOREIGN, at=at, refusal=Refusal.CONFLICT)
    return LegState(status=_status(htlc), at=at, ended_at=htlc.ended_at, key=htlc.key)


def _status(htlc: Htlc) -> LegStatus:
    match htlc.status:
        case Status.LOCKED:
            return LegStatus.LOCKED
        case Status.EXECUTED:
            return LegStatus.EXECUTED
        case Status.CANCELLED:
            return LegStatus.REFUNDED if htlc.key is None else LegStatus.CANCELLED
