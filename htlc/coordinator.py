"""The settlement protocol: everything that decides lives in this file, and nothing else does.

Theory of operation
-------------------
`evolve` folds one event into a settlement. There are two kinds of transition:

  event-triggered   an event says so: OPENED, COMMIT, CANCEL
  state-triggered   what is known says so: "every leg executed, therefore SETTLED"; `_advance`
                    applies these until none fits

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

from htlc.agreement import EXECUTION, Role
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
from htlc.leg import ABSENT, ENDED, EXECUTED, FINISHED, LOCKED, UNSEEN, LegState, LegStatus, learn
from htlc.settlement import EXECUTING, LOCKING, PROPOSED, UNWINDING, Phase, Settlement
from htlc.swap import ANCHORED
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
            known = state.legs[event.leg]
            learned = learn(known, state.agreed.legs[event.leg], event.answer)
            return state if learned is known else _advance(_with_leg(state, event.leg, learned))
        case Decided():
            return _advance(_decided(state, event))
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
    return replace(state, decided=event, phase=phase)


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
    if known.status in ENDED or known.at > event.known.at:
        return state
    if known.status is LOCKED and event.known.status not in ENDED:
        return state  # a clock that goes in blocks tells "absent" and "locked" at the same time
    return _advance(_with_leg(state, event.leg, event.known))


def _with_leg(state: Settlement, n: int, leg: LegState) -> Settlement:
    legs = list(state.legs)
    legs[n] = leg
    return replace(state, legs=tuple(legs))


def _advance(state: Settlement) -> Settlement:
    """Apply the state-triggered transitions until none fits."""
    while state.phase in _GOING and (phase := _next_phase(state)) is not state.phase:
        state = replace(state, phase=phase)
    return state


_GOING: Final = (EXECUTING, UNWINDING)
"""The phases from which what is known of the legs leads on."""


def _next_phase(state: Settlement) -> Phase:
    executed, finished = _ended(state)
    if state.phase is EXECUTING and not finished and executed < len(state.legs):
        return state.phase  # on its way
    if executed and finished:
        return Phase.BROKEN
    if executed == len(state.legs):
        return Phase.SETTLED
    if finished == len(state.legs):
        return Phase.CANCELLED
    if state.phase is EXECUTING and _turned_back(state):
        return UNWINDING
    if state.phase is UNWINDING and state.key_is_out:  # followed whatever the journal holds
        return EXECUTING
    return state.phase


def _ended(state: Settlement) -> tuple[int, int]:
    """How many legs are executed, and how many have finished without."""
    executed = finished = 0
    for leg in state.legs:
        if leg.status is EXECUTED:
            executed += 1
        elif leg.status in FINISHED:
            finished += 1
    return executed, finished


def _turned_back(state: Settlement) -> bool:
    """COMMIT, and yet it cannot be carried out: cancelled under COMMIT is legal where a clock can
    take legs back. (`two_key` without one: operators resolved a restored settlement wrongly.)"""
    if state.protocol is ANCHORED:
        return state.anchor_lost
    return state.any_finished and not state.any_executed


# --------------------------------------------------------------------------- commands out


def decide(state: Settlement, now: Clocks) -> tuple[Command, ...]:
    """Everything owed at this instant."""
    phase = state.phase
    if phase is LOCKING:
        return tuple(_locking(state, now))
    if phase is EXECUTING:
        return tuple(_executions(state, now))
    match phase:
        case Phase.SETTLED | Phase.CANCELLED:
            return ()
        case Phase.UNWINDING:
            return tuple(_unwinding(state, now))
        case Phase.PROPOSED:
            return tuple(_proposed(state, now))
        case Phase.BROKEN:
            # Save what can be saved: forward where the key that decides is out, else back.
            return tuple((_executions if state.key_is_out else _unwinding)(state, now))
        case _:
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
    if (decided := _decision(state, now)) is not None:
        return (Record(event=decided),)
    if state.restored and state.protocol is not ANCHORED:
        return [Look(leg=n) for n in range(len(state.legs))]
    missing = _lockable(state)
    unheard = [n for n in _timed(state) if state.agreed.legs[n].ledger not in now]
    asked: list[Command] = [Lock(leg=n) for n in missing]
    return asked + [Look(leg=n) for n in unheard if n not in missing]


def _timed(state: Settlement) -> Sequence[int]:
    """The legs whose ledger's time matters: leg 0's, by which `commit_by` passes, and once all are
    locked those whose margin is to be left. Where it is not known since the start: ask first."""
    if not state.all_locked:
        return (0,)
    agreed = state.agreed
    expiring = (n for n in agreed.revealers if agreed.legs[n].terms.expires_at is not None)
    return sorted({0, *expiring})


def _decision(state: Settlement, now: Clocks) -> Decided | None:
    if state.key_is_out:
        return Decided(decision=COMMIT, reason=Reason.EXECUTED_ON_LEDGER)
    if state.restored and state.protocol is not ANCHORED:
        return _restored_decision(state)
    agreed = state.agreed
    late = passed(now, agreed.legs[0].ledger, agreed.commit_by)
    if (
        late is False
        and state.all_locked
        and not state.cancel_accepted
        and _margin_left(state, now)
    ):
        return _ALL_LOCKED
    return _cancellation(state, late=late is True)


_ALL_LOCKED: Final = Decided(decision=COMMIT, reason=Reason.ALL_LOCKED)


def _cancellation(state: Settlement, *, late: bool) -> Decided | None:
    refused = state.refused_leg
    if refused is not None:
        return Decided(
            decision=Decision.CANCEL,
            reason=Reason.REFUSED,
            leg=state.agreed.legs[refused].terms.leg,
            refusal=state.legs[refused].refusal,
        )
    if state.any_finished:
        return Decided(decision=Decision.CANCEL, reason=Reason.LEG_FINISHED)
    if late:
        return Decided(decision=Decision.CANCEL, reason=Reason.COMMIT_BY_PASSED)
    if state.cancel_accepted:
        return Decided(decision=Decision.CANCEL, reason=Reason.CANCEL_ACCEPTED)
    return None


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


_LOCKABLE: Final = (UNSEEN, ABSENT)


def _lockable(state: Settlement) -> list[int]:
    """The legs to ask for now. Where a party holds the secret they go one by one: the anchor after
    all followers (rule 8), `htlc` legs in descending order of expiry (rule 12)."""
    missing = [
        n for n, leg in enumerate(state.legs) if leg.status in _LOCKABLE and leg.refusal is None
    ]
    if state.agreed.holder is None:
        return missing
    if state.protocol is ANCHORED:
        return [n for n in missing if n != state.agreed.anchor] or missing
    if not missing:
        return []
    return [max(missing, key=lambda n: state.agreed.legs[n].terms.expires_at or 0)]


def _executions(state: Settlement, now: Clocks) -> Sequence[Command]:
    """After COMMIT, or once a key is out.

    Rule 10: before a key is shown for the first time no leg is known to be finished and the margin
    is left, for a claim that is refused has shown the key all the same. Once it is out, every
    other leg is due at once, each until its own expiry."""
    due: tuple[int, ...] = ()
    legs = state.legs
    if state.key_is_out:
        due = tuple(range(len(legs)))
    elif not state.any_finished and _margin_left(state, now):
        due = state.agreed.revealers
    owed = [_expired(state, n) or _claim(state, n) for n in due if legs[n].status not in ENDED]
    if len(due) < len(legs):
        owed += _watch(state, now, skip=due)
    return owed


def _claim(state: Settlement, n: int) -> Command:
    """Execute leg `n`, or watch for its key where a party holds it and has not shown it."""
    key = _seen_key(state, n, EXECUTED) if state.any_executed else None
    if key is None:
        held = state.agreed.holder is not None and n in _party_locked(state)
        if held and not state.secret_handed:
            return Look(leg=n)
        assert may_show(state, n, EXECUTION), "decided, and not yet allowed"
    return Unlock(leg=n, role=EXECUTION, key=key)


def _seen_key(state: Settlement, n: int, ended: LegStatus) -> bytes | None:
    """The key of leg `n`'s pair that a ledger has shown when it ended a leg so: it is public."""
    agreed = state.agreed.legs
    for m, leg in enumerate(state.legs):
        if leg.status is ended and agreed[m].pair is agreed[n].pair:
            return leg.key
    return None


def _party_locked(state: Settlement) -> tuple[int, ...]:
    """The legs that the party-held secret opens."""
    if state.protocol is ANCHORED:
        return state.agreed.revealers
    return tuple(range(len(state.legs)))


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


def _watch(state: Settlement, now: Clocks, skip: tuple[int, ...]) -> Iterator[Command]:
    """What others and time may bring: a lock that can expire is looked at (its key may appear, its
    refund may fall due), and so is a leg that is absent once nothing can be locked any more."""
    for n, leg in enumerate(state.legs):
        if leg.status in ENDED or n in skip:
            continue
        terms = state.agreed.legs[n].terms
        if (refund := _expired(state, n)) is not None:
            yield refund
        elif leg.status is ABSENT:
            if passed(now, state.agreed.legs[n].ledger, terms.lock_by) is not False:
                yield Look(leg=n)
        elif leg.status is UNSEEN or terms.expires_at is not None:
            yield Look(leg=n)


def _expired(state: Settlement, n: int) -> Refund | None:
    """Owed only when the ledger itself has answered LOCKED at or after the expiry (rule 10)."""
    leg, expires_at = state.legs[n], state.agreed.legs[n].terms.expires_at
    if expires_at is None or leg.status is not LOCKED or leg.at < expires_at:
        return None
    return Refund(leg=n)


def _margin_left(state: Settlement, now: Clocks) -> bool:
    """Whether every leg that shows the key first still has its margin, on its ledger's time."""
    agreed = state.agreed
    if not state.expiring and agreed.anchor is None:
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
