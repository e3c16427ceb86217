"""A replica of the gateway in the simulated world: memory, the ledgers' clocks, and the loop of the
real runner (decide, perform, append, evolve) over the unmodified core and the real vault.

It holds no rule of settlement. What it does around the core is what `gateway.runner` does: facts
travel with records (`live.facts`, `live.must_save`), an entry whose place was taken is loaded and
decided again, a command that changed nothing is sent again after a growing pause.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import msgspec

from gateway.live import facts, must_save
from gateway.simulation.clock import SkewedClock
from gateway.simulation.journal import Journal
from gateway.simulation.trace import What
from gateway.swaps import SwapOrigin
from gateway.vault import Vault
from htlc import commands
from htlc.agreement import Agreement, LedgerProfile, Limits, Role, draw_up
from htlc.commands import Command, Lock, Look, Refund, Unlock
from htlc.contract import Answer
from htlc.coordinator import Clock, Clocks, decide, evolve
from htlc.events import Answered, Decided, Decision, Event, Opened, Reason
from htlc.settlement import Phase, Settlement
from htlc.units import Duration, HtlcId, Instant, LedgerId, LegId, SettlementId
from ledgers import port

FROZEN_PATIENCE: Final = 60
"""A frozen settlement waits for people: it is looked at so much less often."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast the world is when nothing is wrong, in its unit of time."""

    journey_min: int = 1
    journey: int = 4  # a message is at most this long on its way when the network is well
    look_first: int = 10  # a command that changed nothing is sent again after this, then later,
    look: int = 14  # at the latest after this (twice this and two journeys: a ledger's `lookup`)


class Task(msgspec.Struct, frozen=True):
    """One thing to ask a ledger; `operation` None is a look at the contract."""

    settlement: SettlementId
    leg: int
    leg_id: LegId
    name: str  # of the command, as the trace tells it
    contract: HtlcId
    operation: port.Operation | None


class Surroundings(Protocol):
    """What a replica needs of the world around it."""

    now: int
    pace: Pace
    limits: Limits
    journal: Journal
    vault: Vault
    profiles: dict[LedgerId, Callable[[Instant], LedgerProfile]]
    skews: dict[LedgerId, Duration]  # how far an estimate of a ledger's time may be off

    def secret(self, id: SettlementId) -> bytes: ...
    def happen(
        self,
        node: str,
        what: What,
        settlement: SettlementId | None = None,
        leg: LegId | None = None,
        detail: str = "",
    ) -> None: ...
    def at(self, delay: int, do: Callable[[], None]) -> None: ...
    def show(self, state: Settlement, leg: int, role: Role) -> None: ...
    def send(self, replica: "Replica", ledger: LedgerId, tasks: tuple[Task, ...]) -> None: ...


class Case:
    """One open settlement in a replica's memory. `saved` is its state as the journal has it."""

    __slots__ = ("asked", "pause", "saved", "sequence", "state", "turns")

    def __init__(self, state: Settlement, sequence: int, pause: int) -> None:
        self.state = self.saved = state
        self.sequence = sequence
        self.asked: set[Command] = set()
        self.pause = pause
        self.turns = 0  # tells a timer whether it is still the latest one


class Replica:
    """One process of the gateway. It dies, and comes back knowing what the journal knows."""

    def __init__(self, world: Surroundings, name: str, clock: SkewedClock) -> None:
        self.world = world
        self.name = name
        self.clock = clock  # monotonic: only differences are read
        self.up = True
        self.life = 0  # answers to an earlier life reach nobody
        self.epoch = world.journal.epoch
        self.cases: dict[SettlementId, Case] = {}
        self.heard: dict[LedgerId, tuple[Instant, int]] = {}
        self._clocks: tuple[int, Clocks] | None = None  # as of one time: asked again and again

    # ------------------------------------------------------------------ dying and coming back

    def die(self, outage: int) -> None:
        """Memory is gone. Dead again while it is down: the last death says when it is back."""
        self.up = False
        self.life += 1
        self.cases, self.heard, self._clocks = {}, {}, None
        self.world.at(outage, partial(self._start, self.life))

    def _start(self, life: int) -> None:
        if life != self.life:
            return
        if not self.world.journal.up:
            self.world.at(self.world.pace.look, partial(self._start, life))
            return
        self.up = True
        self.epoch = self.world.journal.epoch
        self.world.happen(self.name, What.STARTED)
        for id in self.world.journal.entries:
            self.take_on(id)

    def take_on(self, id: SettlementId) -> None:
        """Adopt a settlement: fold its journal, decide."""
        if not self.up or id in self.cases:
            return
        state, sequence = self.world.journal.load(id)
        if not state.ended:
            self.cases[id] = Case(state, sequence, self.world.pace.look_first)
            self._turn(id)

    # ------------------------------------------------------------------ the loop

    def _turn(self, id: SettlementId) -> None:
        """Decide and perform until nothing new is owed; then come back after a pause."""
        case, life = self.cases.get(id), self.life
        if case is None:
            return
        outbox: dict[LedgerId, list[Task]] = {}
        while self.up and life == self.life and self._step(id, case, outbox):
            pass
        for ledger, tasks in outbox.items():
            if life != self.life:
                return  # died between two messages
            self.world.send(self, ledger, tuple(tasks))
        if life == self.life and id in self.cases:
            case.turns += 1
            self.world.at(case.pause, partial(self._again, id, life, case.turns))

    def _again(self, id: SettlementId, life: int, turns: int) -> None:
        case = self.cases.get(id)
        if case is None or life != self.life or turns != case.turns:
            return
        if case.state.phase is Phase.BROKEN and not decide(case.state, self.clocks()):
            del self.cases[id]
            return  # what can be saved is saved
        patience = FROZEN_PATIENCE if case.state.frozen else 1
        case.pause = min(2 * case.pause, patience * self.world.pace.look)
        case.asked.clear()
        self._turn(id)

    def _step(self, id: SettlementId, case: Case, outbox: dict[LedgerId, list[Task]]) -> bool:
        """One look at what is owed; whether to look once more."""
        life = self.life
        new = [c for c in decide(case.state, self.clocks()) if c not in case.asked]
        for command in new:
            case.asked.add(command)
            match command:
                case commands.Record():
                    return self._append(id, case, (command.event,))
                case commands.Open():
                    return self._open(id, case)
                case _:
                    task = self._task(case, command)
                    if life != self.life:
                        return False  # died with a key in its hand
                    outbox.setdefault(case.state.agreed.legs[command.leg].ledger, []).append(task)
        if case.state is not case.saved and must_save(case.saved, case.state):
            return self._append(id, case, ())
        return False

    def clocks(self) -> Clocks:
        """The ledgers' times: the last answer, and our monotonic time since."""
        now = self.clock.read(self.world.now)
        if self._clocks is None or self._clocks[0] != now:
            clocks = {
                name: Clock(at=Instant(at + now - heard), skew=self.world.skews[name])
                for name, (at, heard) in self.heard.items()
            }
            self._clocks = (now, clocks)
        return self._clocks[1]

    # ------------------------------------------------------------------ the journal

    def _open(self, id: SettlementId, case: Case) -> bool:
        swap = case.state.swap
        if unheard := {leg.ledger for leg in swap.legs} - self.heard.keys():
            for ledger in sorted(unheard):
                self.world.send(self, ledger, ())  # a question for its description
            return False
        clocks = self.clocks()
        profiles = {
            leg.ledger: self.world.profiles[leg.ledger](clocks[leg.ledger].at) for leg in swap.legs
        }
        drawn = draw_up(swap, profiles, self.world.limits, partial(self.world.vault.lock, id))
        if isinstance(drawn, Agreement):
            return self._append(id, case, (Opened(agreement=drawn),))
        cancel = Decided(decision=Decision.CANCEL, reason=Reason.COMMIT_BY_PASSED)
        return self._append(id, case, (cancel,))

    def _append(self, id: SettlementId, case: Case, events: tuple[Event, ...]) -> bool:
        """Write events and the facts known since; whether this replica goes on with `id` now."""
        world, life = self.world, self.life
        if not world.journal.up:
            return False
        after = case.state
        for event in events:
            after = evolve(after, event)
        known = facts(case.saved, case.state) if case.saved.legs else ()
        origin = SwapOrigin(now=lambda: world.now, over=lambda _: None)
        notices = origin.advise(case.saved, after).notices
        written = (*known, *events)
        if not world.journal.append(
            id, case.sequence + 1, written, epoch=self.epoch, notices=notices
        ):
            self.reload(id)
            return id in self.cases
        case.sequence += 1
        case.saved = case.state = after
        case.asked.clear()
        self._written(id, after, written)
        for notice in notices:
            world.happen(notice.member, What.NOTICE, id, detail=str(after.phase))
        if self.life == life and after.ended:
            del self.cases[id]
        return self.life == life and not after.ended

    def _written(self, id: SettlementId, after: Settlement, events: tuple[Event, ...]) -> None:
        for event in events:
            match event:
                case Opened():
                    detail = str(event.agreement.protocol)
                    self.world.happen(self.name, What.OPENED, id, detail=detail)
                case Decided():
                    detail = f"{event.decision} {event.reason}"
                    self.world.happen(self.name, What.DECIDED, id, detail=detail)
                case _:
                    pass  # facts and requests are in the trace where they came from
        if after.ended or after.phase is Phase.BROKEN:
            self.world.happen(self.name, What.PHASE, id, detail=str(after.phase))

    def reload(self, id: SettlementId) -> None:
        """Read what others have written, keep the facts heard, decide anew."""
        case = self.cases[id]
        if self.epoch != self.world.journal.epoch:
            return  # of an older epoch: refused for ever, until it is started again
        state, sequence = self.world.journal.load(id)
        known = facts(state, case.state) if case.state.legs and state.legs else ()
        case.saved, case.sequence = state, sequence
        for fact in known:
            state = evolve(state, fact)
        case.state = state
        case.asked.clear()
        if case.saved.ended:
            del self.cases[id]

    def changed_elsewhere(self, id: SettlementId) -> None:
        """Somebody else has written into a journal of ours."""
        if self.up and id in self.cases and self.world.journal.up:
            self.reload(id)
            self._turn(id)

    # ------------------------------------------------------------------ ledgers

    def _task(self, case: Case, command: Lock | Unlock | Refund | Look) -> Task:
        terms = case.state.agreed.legs[command.leg].terms
        operation = self._operation(case.state, command)
        name = _named(command)
        return Task(case.state.swap.id, command.leg, terms.leg, name, terms.id, operation)

    def _operation(
        self, state: Settlement, command: Lock | Unlock | Refund | Look
    ) -> port.Operation | None:
        terms = state.agreed.legs[command.leg].terms
        match command:
            case Lock():
                return port.Lock(terms=terms)
            case Refund():
                return port.Refund(id=terms.id)
            case Unlock():
                key = self._key(state, command)
                if command.role is Role.EXECUTION:
                    return port.Execute(id=terms.id, key=key)
                return port.Cancel(id=terms.id, key=key)
            case Look():
                return None

    def _key(self, state: Settlement, command: Unlock) -> bytes:
        if command.key is not None:
            return command.key  # a ledger has shown it: public
        self.world.show(state, command.leg, command.role)
        held = state.agreed.holder is not None and command.leg in state.agreed.revealers
        if command.role is Role.EXECUTION and (held or _party_held(state)):
            assert state.secret_handed, "the vault has not got it"
            return self.world.secret(state.swap.id)
        return self.world.vault.key(state, command.leg, command.role)

    def read(self, ledger: LedgerId, at: Instant) -> None:
        """Take note of a ledger's time. It never goes back."""
        if ledger not in self.heard or at >= self.heard[ledger][0]:
            self.heard[ledger] = (at, self.clock.read(self.world.now))
            self._clocks = None

    def hear(self, life: int, ledger: LedgerId, told: list[tuple[Task, Answer]]) -> None:
        """The answers to one message, in the order of its tasks."""
        if life != self.life:
            return
        for task, answer in told:
            self.read(ledger, answer.at)
            case = self.cases.get(task.settlement)
            if case is None or case.state.agreement is None:
                continue
            known = case.state.legs[task.leg].status
            case.state = evolve(case.state, Answered(leg=task.leg, answer=answer))
            if case.state.legs[task.leg].status is not known:
                case.pause = self.world.pace.look_first
                case.asked.clear()
        for id in dict.fromkeys(task.settlement for task, _ in told):
            self._turn(id)

    def described(self, life: int, ledger: LedgerId, at: Instant) -> None:
        """The ledger has told what it is, and its time."""
        if life == self.life:
            self.read(ledger, at)
            for id in tuple(self.cases):
                case = self.cases.get(id)  # one turn may end a life, and with it all cases
                if case is not None and case.state.phase is Phase.PROPOSED:
                    case.asked.clear()
                    self._turn(id)


def _named(command: Lock | Unlock | Refund | Look) -> str:
    if isinstance(command, Unlock):
        return "Unlock execution" if command.role is Role.EXECUTION else "Unlock cancellation"
    return type(command).__name__


def _party_held(state: Settlement) -> bool:
    """`htlc` with a party's secret: the one hash stands on every leg."""
    return state.agreed.holder is not None and state.agreed.anchor is None
