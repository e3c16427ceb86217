"""The settlement protocol: everything that decides lives in this file, and nothing else does.

Theory of operation
-------------------
`evolve` folds one event into a settlement. There are two kinds of transition:

  event-triggered   an event says so: OPENED, COMMIT, CANCEL
  state-triggered   what is known says so: "every leg executed, therefore SETTLED"; `_led_on`
                    names the phase that follows, from which no further one does

`decide` says what is owed at an instant. It is level-triggered: it looks at the state, not at what
was asked before, so it can be called at any time, any number of times, by any number of replicas.
That makes recovery the same as normal progress: fold the journal, ask `decide`.

Three things keep a settlement whole, whatever crashes and however long:

  1. A decision is recorded before anything that depends on it is sent, and a journal holds at
     most one of COMMIT and CANCEL.
  2. Only final answers of ledgers are facts. UNKNOWN opens no key.
  3. Which key may be shown when (`keys.may_show`) depends on the lock protocol:
       two_key   the execution key after COMMIT, the cancellation key after CANCEL
       anchored  COMMIT opens the anchor only; the followers do what the anchor finally did
       htlc      after COMMIT, with the margin left, the first leg; once one leg is executed, all

The clocks are the ledgers' own, estimated between answers. An estimate may only delay the first
showing of a key, or bring on CANCEL; giving up a claim needs the ledger's own answer.
"""

from collections.abc import Iterator, Sequence
from typing import Final, assert_never

from msgspec.structs import replace

from htlc.agreement import EXECUTION, AgreedLeg, Agreement, Role
from htlc.clocks import Clock, Clocks, passed, rests, wake_at
from htlc.commands import Command, Lock, Look, Open, Record, Refund, Unlock
from htlc.events import (
    COMMIT,
    Answered,
    CancelRequested,
    Consented,
    Decided,
    Decision,
    Event,
    Learned,
    Opened,
    Proposed,
    Reason,
    Restored,
    SecretHanded,
)
from htlc.keys import may_show
from htlc.leg import (
    ABSENT,
    EXECUTED,
    FINISHED,
    GOING,
    LOCKED,
    UNSEEN,
    LegState,
    LegStatus,
    ends,
    learn,
)
from htlc.settlement import (
    BROKEN,
    CANCELLED,
    EXECUTING,
    LOCKING,
    PROPOSED,
    SETTLED,
    UNWINDING,
    Phase,
    Settlement,
)
from htlc.swap import ANCHORED, TWO_KEY
from htlc.units import Instant

__all__ = ["Clock", "Clocks", "decide", "evolve", "propose", "rests", "wake_at"]


# --------------------------------------------------------------------------- events in


def propose(event: Proposed) -> Settlement:
    """The first event of every settlement."""
    return Settlement(swap=event.swap, consents=frozenset(event.consents))


def evolve(state: Settlement, event: Event) -> Settlement:
    """Fold one event. Events come in journal order; facts may come late, doubled, or overtaken."""
    # The frequent ones first: a class that does not match costs as much as the matching work.
    match event:
        case Answered():
            n, agreed = event.leg, state.agreement
            assert agreed is not None, "ledgers are asked when it is open"
            learned = learn(state.legs[n], agreed.legs[n], event.answer)
            return state if learned is state.legs[n] else _with_leg(state, agreed, n, learned)
        case Decided():
            return _decided(state, event)
        case Learned():
            return _learned(state, event)
        case Proposed():
            raise AssertionError("a settlement is proposed once, by `propose`")
        case Consented():
            return replace(state, consents=state.consents | {event.member})
        case Opened():
            assert state.phase is PROPOSED, "a settlement is opened once"
            legs = (_UNHEARD,) * len(event.agreement.legs)
            return replace(state, phase=LOCKING, agreement=event.agreement, legs=legs)
        case CancelRequested():
            return replace(
                state,
                cancel_by=state.cancel_by | {event.by},
                cancel_ordered=state.cancel_ordered or event.ordered,
            )
        case SecretHanded():
            return replace(state, secret_handed=True)
        case Restored():
            return _restored(state)
        case _:
            assert_never(event)


_UNHEARD: Final = LegState()
"""What is known of every leg at first."""


def _decided(state: Settlement, event: Decided) -> Settlement:
    assert state.decided is None, "one decision per settlement"
    if state.phase is PROPOSED:
        assert event.decision is Decision.CANCEL, "nothing is committed before it is open"
        return replace(state, decided=event, phase=Phase.CANCELLED)
    assert state.phase is LOCKING, "decided while locking"
    phase = EXECUTING if event.decision is COMMIT else UNWINDING
    return replace(state, decided=event, phase=_led_on(phase, state.agreed, state.legs))


def _restored(state: Settlement) -> Settlement:
    """Only what is undecided is concerned: a decision that is there stands. That a leg was absent
    was read before the restore: its lock, and a COMMIT, may be among the lost records."""
    if state.decided is not None:
        return state
    legs = (_UNHEARD if leg.status is ABSENT else leg for leg in state.legs)
    return replace(state, restored=True, legs=tuple(legs))


def _learned(state: Settlement, event: Learned) -> Settlement:
    """A fact from the journal is as good as the answer it was folded from; what has since ended,
    or was read at a later time, is known better already."""
    known = state.legs[event.leg]
    if known.status not in GOING or known.at > event.known.at:
        return state
    if known.status is LOCKED and event.known.status in GOING:
        return state  # a clock that goes in blocks tells "absent" and "locked" at the same time
    return _with_leg(state, state.agreed, event.leg, event.known)


def _with_leg(state: Settlement, agreed: Agreement, n: int, leg: LegState) -> Settlement:
    changed = list(state.legs)
    changed[n] = leg
    legs, phase = tuple(changed), state.phase
    if phase is EXECUTING or phase is UNWINDING:
        phase = _led_on(phase, agreed, legs)
    return replace(state, legs=legs, phase=phase)


def _led_on(phase: Phase, agreed: Agreement, legs: tuple[LegState, ...]) -> Phase:
    """The phase that what is known of the legs leads to, from EXECUTING or UNWINDING.

    Whatever the journal holds, the first leg to end says which way the others go: a key that is
    out is followed, and cancelled under COMMIT is legal where a clock can take legs back.
    (`two_key` without one: operators resolved a restored settlement wrongly.)"""
    executed, finished, going = ends(legs)
    if executed and finished:
        return BROKEN
    if not going:
        return SETTLED if executed else CANCELLED
    if agreed.anchor is not None:  # it alone leads
        executed, finished, _ = ends((legs[agreed.anchor],))
    if executed:
        return EXECUTING
    return UNWINDING if finished else phase


# --------------------------------------------------------------------------- commands out


def decide(state: Settlement, now: Clocks) -> tuple[Command, ...]:
    """Everything owed at this instant."""
    phase = state.phase
    if phase is LOCKING:
        return tuple(_locking(state, now))
    if phase is EXECUTING:
        return tuple(_executions(state, now))
    if phase is SETTLED or phase is CANCELLED:
        return ()
    if phase is UNWINDING:
        return tuple(_unwinding(state, now))
    if phase is PROPOSED:
        return tuple(_proposed(state, now))
    if phase is BROKEN:
        # Save what can be saved: forward where the key that decides is out, else back.
        return tuple((_executions if state.key_is_out else _unwinding)(state, now))
    assert_never(phase)


def _proposed(state: Settlement, now: Clocks) -> Iterator[Command]:
    if state.cancel_accepted:
        yield _record(Decision.CANCEL, Reason.CANCEL_ACCEPTED)
    elif state.swap.commit_by is not None and passed(
        now, state.swap.legs[0].ledger, state.swap.commit_by
    ):
        yield _record(Decision.CANCEL, Reason.COMMIT_BY_PASSED)
    elif state.consents >= state.swap.payers:
        yield Open()


def _locking(state: Settlement, now: Clocks) -> Sequence[Command]:
    """The first arrow that fits is taken; until one does, ask for what is missing."""
    missing, amiss = _unlocked(state.legs)
    if (decided := _decision(state, now, missing, amiss=amiss)) is not None:
        return (Record(event=decided),)
    agreed = state.agreed
    if state.restored and agreed.protocol is not ANCHORED:
        return [Look(leg=n) for n in range(len(state.legs))]
    if agreed.holder is not None:
        missing = _one_by_one(agreed, missing)
    asked: list[Command] = [Lock(leg=n) for n in missing]
    for n, leg in enumerate(agreed.legs):  # whose time is not known since the start: ask first
        if leg.ledger not in now and n not in missing and _is_timed(state, n):
            asked.append(Look(leg=n))
    return asked


def _unlocked(legs: Sequence[LegState]) -> tuple[list[int], bool]:
    """The legs that are to be locked; and whether there is one that is neither that nor locked:
    executed, finished, or lastingly refused."""
    missing, amiss = [], False
    for n, leg in enumerate(legs):
        if leg.status is LOCKED:
            continue
        if leg.status in _LOCKABLE and leg.refusal is None:
            missing.append(n)
        else:
            amiss = True
    return missing, amiss


_LOCKABLE: Final = (UNSEEN, ABSENT)


def _one_by_one(agreed: Agreement, missing: list[int]) -> list[int]:
    """The legs to ask for now where a party holds the secret: the anchor after all followers
    (rule 8), `htlc` legs in descending order of expiry (rule 12)."""
    if agreed.protocol is ANCHORED:
        return [n for n in missing if n != agreed.anchor] or missing
    return sorted(missing, key=lambda n: agreed.legs[n].terms.expires_at or 0)[-1:]


def _is_timed(state: Settlement, n: int) -> bool:
    """Whether the time of leg `n`'s ledger matters: leg 0's, by which `commit_by` passes, and once
    all are locked those whose margin is to be left."""
    if n == 0 or not state.all_locked:
        return n == 0
    agreed = state.agreed
    return n in agreed.revealers and agreed.legs[n].terms.expires_at is not None


def _decision(state: Settlement, now: Clocks, missing: list[int], *, amiss: bool) -> Decided | None:
    agreed = state.agreed
    if amiss and state.key_is_out:
        return Decided(decision=COMMIT, reason=Reason.EXECUTED_ON_LEDGER)
    if state.restored and agreed.protocol is not ANCHORED:
        return _restored_decision(state)
    late = passed(now, agreed.legs[0].ledger, agreed.commit_by)
    cancelled = state.cancel_accepted
    if late is False and not (missing or amiss or cancelled) and _margin_left(agreed, now):
        return _ALL_LOCKED
    if amiss and (decided := _fallen(state)) is not None:
        return decided
    if late:
        return Decided(decision=Decision.CANCEL, reason=Reason.COMMIT_BY_PASSED)
    if cancelled:
        return Decided(decision=Decision.CANCEL, reason=Reason.CANCEL_ACCEPTED)
    return None


_ALL_LOCKED: Final = Decided(decision=COMMIT, reason=Reason.ALL_LOCKED)


def _fallen(state: Settlement) -> Decided | None:
    """The cancellation that a leg calls for which cannot be locked any more: one whose lock its
    ledger has lastingly refused is named before one that has finished."""
    finished = None
    for n, leg in enumerate(state.legs):
        if leg.refusal is not None and leg.status is not LOCKED:
            return Decided(
                decision=Decision.CANCEL,
                reason=Reason.REFUSED,
                leg=state.agreed.legs[n].terms.leg,
                refusal=leg.refusal,
            )
        if leg.status in FINISHED:
            finished = Decided(decision=Decision.CANCEL, reason=Reason.LEG_FINISHED)
    return finished


def _restored_decision(state: Settlement) -> Decided | None:
    """Rule 17, for what was open and undecided: a COMMIT may have been lost, so nothing that a
    lost COMMIT would contradict is done. `None` with all legs locked is FROZEN."""
    cancel = Decided(decision=Decision.CANCEL, reason=Reason.RESTORED)
    if state.expiring:
        return cancel  # no first reveal; an executed leg is still followed
    # A COMMIT needed every leg finally locked, and a ledger never forgets: with one leg absent
    # there was none. A cancellation key on a ledger says that CANCEL was the decision.
    if state.any_finished or any(leg.status is ABSENT for leg in state.legs):
        return cancel
    return None


def _executions(state: Settlement, now: Clocks) -> Sequence[Command]:
    """After COMMIT, or once a key is out.

    Rule 10: before a key is shown for the first time no leg is known to be finished and the margin
    is left, for a claim that is refused has shown the key all the same. Once it is out, every
    other leg is due at once, each until its own expiry."""
    agreed, legs = state.agreed, state.legs
    executed, finished, _ = ends(legs)
    due: Sequence[int] = ()
    if executed and state.key_is_out:
        due = range(len(legs))
    elif not finished and _margin_left(agreed, now):
        due = agreed.revealers
    owed = [_claim(state, agreed, n) for n in due if legs[n].status in GOING]
    if len(due) < len(legs):
        owed += _watch(state, now, skip=due)
    return owed


def _claim(state: Settlement, agreed: Agreement, n: int) -> Command:
    """Execute leg `n`, or watch for its key where a party holds it and has not shown it."""
    if _expired(state.legs[n], agreed.legs[n]):
        return Refund(leg=n)
    key = _seen_key(state, n, EXECUTED)
    if key is None:
        if agreed.holder is not None and n in _party_locked(agreed) and not state.secret_handed:
            return Look(leg=n)
        assert may_show(state, n, EXECUTION), "decided, and not yet allowed"
    return Unlock(leg=n, role=EXECUTION, key=key)


def _seen_key(state: Settlement, n: int, ended: LegStatus) -> bytes | None:
    """The key of leg `n`'s pair that a ledger has shown when it ended a leg so: it is public."""
    for m, leg in enumerate(state.legs):
        if leg.status is ended and state.agreed.legs[m].pair is state.agreed.legs[n].pair:
            return leg.key
    return None


def _party_locked(agreed: Agreement) -> Sequence[int]:
    """The legs that the party-held secret opens."""
    return agreed.revealers if agreed.protocol is ANCHORED else range(len(agreed.legs))


def _unwinding(state: Settlement, now: Clocks) -> Iterator[Command]:
    opened = tuple(
        Unlock(leg=n, role=Role.CANCELLATION, key=_public_way_back(state, n))
        for n, leg in enumerate(state.legs)
        if leg.status in (UNSEEN, LOCKED)
        and (may_show(state, n, Role.CANCELLATION) or _public_way_back(state, n))
    )
    yield from opened
    yield from _watch(state, now, skip=tuple(unlock.leg for unlock in opened))


def _public_way_back(state: Settlement, n: int) -> bytes | None:
    """The cancellation key that a ledger has shown. Not in `anchored`: there only the anchor
    says which way the followers go."""
    if state.protocol is ANCHORED:
        return None
    return _seen_key(state, n, LegStatus.CANCELLED)


def _watch(state: Settlement, now: Clocks, skip: Sequence[int]) -> Iterator[Command]:
    """What others and time may bring: a lock that can expire is looked at (its key may appear, its
    refund may fall due), and so is a leg that is absent once nothing can be locked any more."""
    for n, (leg, agreed) in enumerate(zip(state.legs, state.agreed.legs, strict=True)):
        if leg.status not in GOING or n in skip:
            continue
        if _expired(leg, agreed):
            yield Refund(leg=n)
        elif leg.status is ABSENT:
            if passed(now, agreed.ledger, agreed.terms.lock_by) is not False:
                yield Look(leg=n)
        elif leg.status is UNSEEN or agreed.terms.expires_at is not None:
            yield Look(leg=n)


def _expired(leg: LegState, agreed: AgreedLeg) -> bool:
    """Whether it is to go back by the clock: only when the ledger itself has answered LOCKED at or
    after the expiry (rule 10)."""
    expires_at = agreed.terms.expires_at
    return expires_at is not None and leg.status is LOCKED and leg.at >= expires_at


def _margin_left(agreed: Agreement, now: Clocks) -> bool:
    """Whether every leg that shows the key first still has its margin, on its ledger's time."""
    if agreed.protocol is TWO_KEY and not agreed.backstop:
        return True  # no clock takes a leg back
    for n in agreed.revealers:
        leg = agreed.legs[n]
        if leg.terms.expires_at is None:
            continue
        if passed(now, leg.ledger, Instant(leg.terms.expires_at - leg.margin)) is not False:
            return False
    return True


def _record(decision: Decision, reason: Reason) -> Record:
    return Record(event=Decided(decision=decision, reason=reason))
