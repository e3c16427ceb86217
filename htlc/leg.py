"""What is known about one leg: folded from its ledger's answers, and only ever growing."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from htlc.agreement import AgreedLeg
from htlc.contract import LASTING, Answer, Refusal, Status
from htlc.units import Instant, Value


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


LOCKED: Final = LegStatus.LOCKED
EXECUTED: Final = LegStatus.EXECUTED
UNSEEN: Final = LegStatus.UNSEEN
ABSENT: Final = LegStatus.ABSENT
"""Asked for some fifty times in the life of a settlement. Python 3.11 takes ten times as long to
read a member through its enumeration as to compare it."""

FINISHED = (LegStatus.CANCELLED, LegStatus.REFUNDED, LegStatus.UNLOCKED, LegStatus.FOREIGN)
"""Ended without execution; none of these can become anything else (rule 3). A tuple, because a
member of an enumeration is found in it by identity, and hashed by Python code."""

ENDED = (EXECUTED, *FINISHED)

GOING: Final = (LOCKED, UNSEEN, ABSENT)
"""Not ended. What is asked for most comes first: a tuple is searched from there."""


class LegState(Value, frozen=True, kw_only=True, omit_defaults=True):
    """What the ledger of a leg has told: `at` is the latest ledger time it was read at, `key` the
    preimage that ended it, `refusal` a lasting refusal of its lock. Persisted in `Learned`."""

    status: LegStatus = LegStatus.UNSEEN
    at: Instant = Instant(0)
    ended_at: Instant | None = None
    key: bytes | None = None
    refusal: Refusal | None = None


def learn(leg: LegState, agreed: AgreedLeg, answer: Answer) -> LegState:
    """Fold one answer into what is known of a leg.

    Facts only grow: an answer that was overtaken on its way (older than what is known) changes
    nothing, and one that is not final is no fact at all."""
    if not answer.final or leg.status not in GOING:
        return leg
    if answer.refusal is not None and answer.refusal is Refusal.OVERLOADED:
        return leg  # an overloaded ledger has not looked: it does not say that there is no contract
    htlc = answer.htlc
    if htlc is None:
        return leg if leg.status is LOCKED else _absent(leg, agreed, answer)
    at = answer.at if answer.at > leg.at else leg.at
    if htlc.terms != agreed.terms:
        return LegState(status=LegStatus.FOREIGN, at=at, refusal=Refusal.CONFLICT)
    if htlc.status is _CONTRACT_LOCKED:
        status = LOCKED
    elif htlc.status is _CONTRACT_EXECUTED:
        status = EXECUTED
    else:
        status = LegStatus.REFUNDED if htlc.key is None else LegStatus.CANCELLED
    return LegState(status=status, at=at, ended_at=htlc.ended_at, key=htlc.key)


def _absent(leg: LegState, agreed: AgreedLeg, answer: Answer) -> LegState:
    """There is no contract: from `lock_by` on there never will be."""
    refusal = answer.refusal if answer.refusal in LASTING else leg.refusal
    at = max(leg.at, answer.at)
    if answer.at >= agreed.terms.lock_by:
        return LegState(status=LegStatus.UNLOCKED, at=at, refusal=refusal)
    return LegState(status=LegStatus.ABSENT, at=at, refusal=refusal)


_CONTRACT_LOCKED: Final = Status.LOCKED
_CONTRACT_EXECUTED: Final = Status.EXECUTED


def ends(legs: Iterable[LegState]) -> tuple[int, int, int]:
    """How many legs are executed, how many have finished without, and how many have not ended."""
    executed = finished = going = 0
    for leg in legs:
        if leg.status in GOING:
            going += 1
        elif leg.status is EXECUTED:
            executed += 1
        else:
            finished += 1
    return executed, finished, going
