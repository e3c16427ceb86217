"""The ledgers' own times as the gateway estimates them between answers, and when to ask again."""

from collections.abc import Mapping, Set
from typing import Final

from htlc.commands import Lock, Unlock
from htlc.leg import ABSENT, EXECUTED, LOCKED, UNSEEN, LegStatus
from htlc.settlement import CANCELLED, EXECUTING, LOCKING, PROPOSED, SETTLED, Settlement
from htlc.swap import TWO_KEY
from htlc.units import Duration, Instant, LedgerId, Value


class Clock(Value, frozen=True, kw_only=True):
    """A ledger's estimated time, and how far the estimate may be off, either way."""

    at: Instant
    skew: Duration = Duration(0)

    @property
    def latest(self) -> Instant:
        return Instant(self.at + self.skew)


Clocks = Mapping[LedgerId, Clock]
"""A ledger that has not been heard since the start has no entry: ask first."""


def passed(now: Clocks, ledger: LedgerId, instant: Instant) -> bool | None:
    """Whether a ledger's time may have reached `instant`; None if it is not known at all."""
    clock = now.get(ledger)
    return None if clock is None else clock.latest >= instant


def wake_at(state: Settlement) -> Instant | None:
    """The next instant at which time alone changes what is owed. Scheduling only."""
    phase, agreement = state.phase, state.agreement
    if agreement is None:
        return state.swap.commit_by if phase is PROPOSED else None
    if phase is LOCKING:
        return agreement.commit_by
    if phase is SETTLED or phase is CANCELLED:
        return None
    first = None
    for leg, agreed in zip(state.legs, agreement.legs, strict=True):
        at = None
        if leg.status is LOCKED:
            at = agreed.terms.expires_at  # from when on it can go back by the clock
        elif leg.status is ABSENT:
            at = agreed.terms.lock_by  # from when on it cannot be locked any more
        if at is not None and (first is None or at < first):
            first = at
    return first


_Move = tuple[str, tuple[LegStatus, ...], LegStatus]

_TO_LOCKED: Final[_Move] = (Lock.__name__, (UNSEEN, ABSENT), LOCKED)
_TO_EXECUTED: Final[_Move] = (Unlock.__name__, (LOCKED,), EXECUTED)
"""The command that moves a leg on, from what to what: while LOCKING, and while EXECUTING."""


def rests(state: Settlement, asked: Set[tuple[int, str]]) -> bool:
    """Whether nothing is owed until a ledger answers, or `wake_at`: every leg that has not got to
    where its phase leads is `asked` to (its number, and the command's name). Scheduling only.

    Told of `two_key` where no clock takes a leg back, and not after a restore: elsewhere one leg's
    answer may change what is owed of another, or of the journal, at once."""
    if state.phase is LOCKING:
        command, before, after = _TO_LOCKED
    elif state.phase is EXECUTING:
        command, before, after = _TO_EXECUTED
    else:
        return False
    if not asked:
        return False
    waiting = False
    for n, leg in enumerate(state.legs):
        if leg.status is after:
            continue
        if leg.status not in before or leg.refusal is not None or (n, command) not in asked:
            return False
        waiting = True
    if not waiting or state.restored or state.cancel_by or state.cancel_ordered:
        return False
    agreed = state.agreed
    return agreed.protocol is TWO_KEY and not agreed.backstop and agreed.holder is None
