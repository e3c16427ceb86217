"""A replica of the gateway in the test world, and the journal that the replicas share."""

from collections.abc import Callable, Sequence
from typing import Protocol

from htlc.agreement import Agreement, Role
from htlc.commands import Command, Lock, Look, Open, Record, Refund, Unlock
from htlc.contract import Answer
from htlc.coordinator import Clock, decide, evolve, propose
from htlc.events import (
    Answered,
    Decided,
    Event,
    Opened,
    Proposed,
)
from htlc.invariants import Shown
from htlc.keys import may_show
from htlc.schedule import Latency
from htlc.settlement import Settlement
from htlc.units import Duration, Instant, LedgerId
from tests.htlc.samples import SECRET, Keys

DELAY_MAX = 4
"""Ticks that a message is on its way when the network is well: how much an estimated clock lags."""


class Surroundings(Protocol):
    """What a replica needs of the world around it."""

    now: int
    agreement: Agreement
    latency: Latency
    journal: "Journal"
    shown: list[Shown]
    keys: Keys

    def at(self, delay: int, happen: Callable[[], None]) -> None: ...
    def poll(self, replica: "Replica") -> None: ...
    def dies(self, replica: "Replica", *, deciding: bool = False) -> bool: ...
    def send(
        self, replica: "Replica", life: int, command: "ToLedger", key: bytes | None
    ) -> None: ...


ToLedger = Lock | Unlock | Refund | Look


class Journal:
    """The durable events of one settlement; at most one decision, each at its place."""

    def __init__(self, *events: Event) -> None:
        self.events = list(events)

    def append(self, sequence: int, event: Event) -> bool:
        if sequence != len(self.events):
            return False
        if isinstance(event, Decided) and any(isinstance(e, Decided) for e in self.events):
            return False
        self.events.append(event)
        return True


def fold(events: Sequence[Event]) -> Settlement:
    first, *rest = events
    assert isinstance(first, Proposed)
    state = propose(first)
    for event in rest:
        state = evolve(state, event)
    return state


class Replica:
    """One process of the gateway: memory, the ledgers' clocks, and the loop of a runner."""

    def __init__(self, world: Surroundings) -> None:
        self.world = world
        self.up = True
        self.life = 0  # answers to an earlier life of this replica reach nobody
        self.state = fold(world.journal.events)
        self.sequence = len(world.journal.events)
        self.heard: dict[LedgerId, tuple[Instant, int]] = {}
        self.facts: dict[int, Answer] = {}
        self.asked: set[Command] = set()

    def die(self, outage: int) -> None:
        """Memory is gone. It comes back, and goes on from the journal."""
        self.up = False
        self.life += 1
        self.world.at(outage, self.start)

    def start(self) -> None:
        self.up = True
        self.heard, self.facts, self.asked = {}, {}, set()
        self.reload()
        self.world.poll(self)

    def reload(self) -> None:
        self.state = fold(self.world.journal.events)
        self.sequence = len(self.world.journal.events)
        for leg, answer in self.facts.items() if self.state.agreement else ():
            self.state = evolve(self.state, Answered(leg=leg, answer=answer))

    def poll(self) -> None:
        if self.up:
            self.asked.clear()
            self.step()

    def clocks(self) -> dict[LedgerId, Clock]:
        skew = Duration(self.world.latency.skew + DELAY_MAX)
        return {
            name: Clock(at=Instant(at + self.world.now - heard), skew=skew)
            for name, (at, heard) in self.heard.items()
        }

    def step(self) -> None:
        """Decide and perform until nothing new is owed."""
        while self.up:
            new = [c for c in decide(self.state, self.clocks()) if c not in self.asked]
            if not new:
                return
            for command in new:
                self.asked.add(command)
                if not self.perform(command):
                    break

    def perform(self, command: Command) -> bool:
        """Whether to go on with the commands that were decided together with this one."""
        match command:
            case Record():
                self.append(command.event)
                return False
            case Open():
                self.append(Opened(agreement=self.world.agreement))
                return False
            case _:
                self.send(command)
                return self.up

    def append(self, event: Event) -> None:
        if self.world.journal.append(self.sequence, event):
            self.sequence += 1
            if isinstance(event, Decided) and self.world.dies(self, deciding=True):
                return
            self.state = evolve(self.state, event)
        else:
            self.reload()
        self.asked.clear()

    def send(self, command: ToLedger) -> None:
        key = self._key(command) if isinstance(command, Unlock) else None
        self.world.send(self, self.life, command, key)
        if isinstance(command, Unlock):
            self.world.dies(self)

    def _key(self, command: Unlock) -> bytes:
        if command.key is not None:
            return command.key
        assert may_show(self.state, command.leg, command.role), "the vault refuses"
        self.world.shown.append(
            Shown(leg=command.leg, role=command.role, records=len(self.world.journal.events))
        )
        agreed = self.state.agreed.legs[command.leg]
        held = self.world.agreement.holder is not None and agreed.terms.execution_lock.opens(SECRET)
        if held and command.role is Role.EXECUTION:
            assert self.state.secret_handed, "the vault has not got it"
            return SECRET
        return self.world.keys.keys[agreed.pair, command.role]

    def hear(self, life: int, leg: int, answer: Answer) -> None:
        if not self.up or life != self.life:
            return
        ledger = self.world.agreement.legs[leg].ledger
        if ledger not in self.heard or answer.at >= self.heard[ledger][0]:
            self.heard[ledger] = (answer.at, self.world.now)
        if answer.final:
            self.facts[leg] = answer
        self.state = evolve(self.state, Answered(leg=leg, answer=answer))
        self.step()
