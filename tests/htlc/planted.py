"""Errors that somebody could make, each as a function that plants it; `test_teeth` says how soon
each is caught."""

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

import gateway.simulation.ledger
import gateway.simulation.replica
import gateway.vault
from gateway.simulation.journal import Journal
from gateway.simulation.post import Post
from gateway.simulation.replica import Replica
from gateway.swaps import SwapOrigin
from htlc import clocks, contract, coordinator, keys, leg, schedule
from htlc.agreement import Agreement, Pair, Role
from htlc.clocks import Clock, Clocks
from htlc.commands import Command, Unlock
from htlc.contract import Answer
from htlc.events import Decided, Decision
from htlc.leg import LegState, LegStatus
from htlc.schedule import Schedule
from htlc.settlement import Phase, Settlement
from htlc.units import Duration, Instant
from ledgers import block, book, merkle
from ledgers.book import Effect, Kind

Plant = pytest.MonkeyPatch

# ------------------------------------------------------------------ each caught by random lives


def equal_expiries(plant: Plant) -> None:
    drawn = schedule.draw

    def equal(*args: Any, **kwargs: Any) -> Schedule:
        plan = drawn(*args, **kwargs)
        return replace(plan, expires_at=(min(plan.expires_at),) * len(plan.expires_at))

    plant.setattr(schedule, "draw", equal)
    plant.setattr(schedule, "faults", lambda *_, **__: ())


def a_window_one_outage_too_short(plant: Plant) -> None:
    window = schedule.window
    plant.setattr(schedule, "window", lambda i, j, recovery: window(i, j, Duration(0)))


def executions_before_the_decision(plant: Plant) -> None:
    locking = coordinator._locking

    def eager(state: Settlement, now: Clocks) -> Iterator[Command]:
        yield from locking(state, now)
        for n, known in enumerate(state.legs):
            if known.status is LegStatus.LOCKED:
                yield Unlock(leg=n, role=Role.EXECUTION)

    plant.setattr(coordinator, "_locking", eager)


def both_keys_of_a_pair(plant: Plant) -> None:
    executions = coordinator._executions

    def both(state: Settlement, now: Clocks) -> Iterator[Command]:
        yield from executions(state, now)
        for n, known in enumerate(state.legs):
            if known.status is LegStatus.LOCKED:
                yield Unlock(leg=n, role=Role.CANCELLATION)

    plant.setattr(coordinator, "_executions", both)


def a_vault_that_does_not_ask(plant: Plant) -> None:
    plant.setattr(gateway.vault, "may_show", lambda *_: True)


def one_hash_on_anchor_and_followers(plant: Plant) -> None:
    """The anchor's public key would open the followers: whoever sees it decides alone."""
    derive = gateway.vault.Vault._derive

    def same(self: Any, *context: str) -> bytes:
        return derive(self, *(Pair.LEGS if part == Pair.ANCHOR else part for part in context))

    plant.setattr(gateway.vault.Vault, "_derive", same)


def followers_before_the_anchor(plant: Plant) -> None:
    plant.setattr(Agreement, "revealers", property(lambda self: tuple(range(len(self.legs)))))
    plant.setattr(keys, "_may_execute", lambda state, *_: state.decision is Decision.COMMIT)


def silence_taken_for_absence(plant: Plant) -> None:
    deliver = Post._deliver

    def absent(self: Post, replica: Replica, life: int, name: Any, tasks: Any) -> None:
        ledger = self.world.ledgers[name]
        if not ledger.up and tasks:
            told = Answer(at=ledger.read(self.world.now))
            replica.hear(life, name, [(task, told) for task in tasks])
        deliver(self, replica, life, name, tasks)

    plant.setattr(Post, "_deliver", absent)


def answers_called_final_too_early(plant: Plant) -> None:
    plant.setattr(gateway.simulation.ledger.Ledger, "_is_final", lambda *_: True)


def a_refusal_taken_for_a_failure(plant: Plant) -> None:
    learn = leg.learn

    def deaf(known: LegState, agreed: Any, answer: Answer) -> LegState:
        return known if answer.refusal else learn(known, agreed, answer)

    plant.setattr(coordinator, "learn", deaf)


def no_lock_by(plant: Plant) -> None:
    """A ledger that takes a lock however late: absence is never final, and yet believed."""
    plant.setattr(contract, "lock", lambda terms, at: right_lock(terms, Instant(0)))


right_lock = contract.lock


def two_decisions(plant: Plant) -> None:
    plant.setattr(gateway.simulation.journal, "_decides", lambda _: False)
    append = Journal.append

    def anywhere(self: Journal, id: Any, sequence: int, events: Any, **rest: Any) -> bool:
        if any(isinstance(event, Decided) for event in events):
            sequence = len(self.entries[id]) + 1
        return append(self, id, sequence, events, **rest)

    plant.setattr(Journal, "append", anywhere)
    plant.setattr(coordinator, "_decided", either_way)


def either_way(state: Settlement, event: Decided) -> Settlement:
    """Without its assertion: the first line of defence is the journal."""
    phase = Phase.EXECUTING if event.decision is Decision.COMMIT else Phase.UNWINDING
    return replace(state, decided=event, phase=phase)


def sent_before_it_is_durable(plant: Plant) -> None:
    """Acts on a decision, and writes it a little later, if it still can."""
    append = Replica._append

    def careless(self: Replica, id: Any, case: Any, events: Any) -> bool:
        if not any(isinstance(event, Decided) for event in events):
            return append(self, id, case, events)
        life = self.life
        for event in events:
            case.state = coordinator.evolve(case.state, event)
        case.asked.clear()

        def write() -> None:
            if life == self.life and id in self.cases:
                sequence = len(self.world.journal.entries[id]) + 1
                self.world.journal.append(id, sequence, events, epoch=self.epoch)

        self.world.at(15, write)
        return True

    plant.setattr(Replica, "_append", careless)


def an_old_epoch_goes_on(plant: Plant) -> None:
    """A restored journal takes what a replica from before the restore decides."""
    append = Journal.append

    def timeless(self: Journal, id: Any, sequence: int, events: Any, **rest: Any) -> bool:
        return append(self, id, sequence, events, **(rest | {"epoch": self.epoch}))

    plant.setattr(Journal, "append", timeless)
    plant.setattr(coordinator, "_restored", lambda state: state)


def no_margin(plant: Plant) -> None:
    plant.setattr(coordinator, "_margin_left", lambda *_: True)


def a_cancellation_accepted_after_commit(plant: Plant) -> None:
    executions = coordinator._executions

    def late(state: Settlement, now: Clocks) -> Iterator[Command]:
        if state.cancel_accepted:
            for n, known in enumerate(state.legs):
                if known.status is LegStatus.LOCKED:
                    yield Unlock(leg=n, role=Role.CANCELLATION)
        else:
            yield from executions(state, now)

    plant.setattr(coordinator, "_executions", late)
    plant.setattr(gateway.vault, "may_show", lambda *_: True)


def a_cancellation_overlooked(plant: Plant) -> None:
    plant.setattr(Settlement, "cancel_accepted", property(lambda _: False))


def the_wall_clock_for_the_ledgers_time(plant: Plant) -> None:
    """The gateway decides by its own clock, of which nobody promised anything: it is behind."""

    def behind(state: Settlement, now: Clocks) -> tuple[Command, ...]:
        own = {name: Clock(at=Instant(clock.at - 400)) for name, clock in now.items()}
        return coordinator.decide(state, own)

    plant.setattr(gateway.simulation.replica, "decide", behind)


def an_estimate_that_gives_up_a_claim(plant: Plant) -> None:
    """Rule 10: only the ledger's own answer may."""
    executions = coordinator._executions

    def hasty(state: Settlement, now: Clocks) -> Iterator[Command]:
        for command in executions(state, now):
            if isinstance(command, Unlock):
                agreed = state.agreed.legs[command.leg]
                expires_at = agreed.terms.expires_at or Instant(1 << 62)
                if clocks.passed(now, agreed.ledger, Instant(expires_at - 300)):
                    continue
            yield command

    plant.setattr(coordinator, "_executions", hasty)


# ------------------------------------------------------------------ ledgers, mailbox, blocks


def a_replay_applied_twice(plant: Plant) -> None:
    def forgetful(known: Any, operation: Any, at: Any) -> Any:
        fresh = replace(known, status=contract.Status.LOCKED, key=None, ended_at=None)
        return right_ended(fresh, operation, at)

    plant.setattr(book, "_ended", forgetful)


right_ended = book._ended


def a_batch_told_one_off(plant: Plant) -> None:
    apply_all = book.apply_all

    def shifted(*args: Any) -> tuple[list[Answer], list[Effect]]:
        answers, effects = apply_all(*args)
        return answers[-1:] + answers[:-1], effects

    plant.setattr(gateway.simulation.ledger, "apply_all", shifted)


def a_payout_to_whoever_asks(plant: Plant) -> None:
    right = book._contract_effect

    def wrong(kind: Kind, htlc: Any, by: Any, at: Any) -> Effect:
        effect = right(kind, htlc, by, at)
        return replace(effect, credit=htlc.terms.payee) if kind is Kind.CANCEL else effect

    plant.setattr(book, "_contract_effect", wrong)


def a_notice_sent_twice(plant: Plant) -> None:
    advise = SwapOrigin.advise

    def again(self: SwapOrigin, before: Settlement, after: Settlement) -> Any:
        advice = advise(self, before, after)
        return replace(advice, notices=advice.notices * 2)

    plant.setattr(SwapOrigin, "advise", again)


def a_notice_before_the_end_is_durable(plant: Plant) -> None:
    """Told by whoever knows, not by the journal: two replicas both tell it."""
    append = Journal.append

    def loose(self: Journal, id: Any, sequence: int, events: Any, **rest: Any) -> bool:
        done = append(self, id, sequence, events, **rest)
        if not done and rest.get("notices"):
            self._notices[id, -sequence] = tuple(rest["notices"])
        return done

    plant.setattr(Journal, "append", loose)


def leaves_in_another_order(plant: Plant) -> None:
    root = merkle.root
    plant.setattr(merkle, "root", lambda hashes: root(sorted(hashes)))


def a_node_that_passes_for_a_leaf(plant: Plant) -> None:
    plant.setattr(merkle, "LEAF_PREFIX", merkle.NODE_PREFIX)


def a_leaf_without_its_side(plant: Plant) -> None:
    plant.setattr(block, "SIDES", dict.fromkeys(book.SIDES, book.SIDES[Kind.LOCK]))
