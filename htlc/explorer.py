"""Every life that a settlement can have, in small: an exhaustive search over the real core.

Theory of operation
-------------------
A `World` is one journal, one replica's memory, the contracts and clocks of all ledgers, and the
set of messages ever sent. From each world the search takes every step that can come next:

  a command of `decide` is carried out        a replica may do only some, then stop
  a message sent once is delivered            any number of times, in any order, however late
  a ledger refuses a lock for want of balance and may still accept a duplicate of it later
  the replica hears what a contract is        or never does: an answer lost is a step not taken
  the replica dies                            memory is gone; the journal is folded again
  a ledger's clock reaches its next instant   clocks are independent: any drift, any outage
  an authority orders a cancellation
  a party shows the secret that it holds
  the journal is restored from a copy that lacks its last records (once, if asked for)

One replica stands for any number of them: what a second one could do is what the first one, having
forgotten everything and sent everything before, could do; and a journal takes one decision.

`heal` is the other half: from any world, with nothing failing any more, what happens? A settlement
that does not end from there traps somebody's assets.

The diagrams of the README are drawn from the same search (`diagram`), so they show what the code
does and not what somebody remembers of it.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from htlc import contract
from htlc.agreement import Agreement, Role
from htlc.clocks import Clock
from htlc.commands import Command, Lock, Look, Open, Record, Refund, Unlock
from htlc.contract import Answer, Htlc, Refusal
from htlc.coordinator import decide, evolve, propose
from htlc.events import (
    Answered,
    CancelRequested,
    Consented,
    Decided,
    Event,
    Opened,
    Proposed,
    Restored,
)
from htlc.settlement import Phase, Settlement
from htlc.swap import Swap
from htlc.units import Instant, MemberId

HEALED_WITHIN = 60
"""Steps in which a settlement must end once nothing fails: some ten per leg and clock instant."""

AUTHORITY = MemberId("AUTHORITY")


class World(NamedTuple):
    """One situation. Numbers stand for interned objects, so that worlds compare fast."""

    memory: int  # what the replica knows: a `Settlement`
    journal: int  # the events that are durable
    contracts: tuple[int, ...]  # what the ledgers hold, per leg: a `Htlc`, or 0 for nothing
    times: tuple[int, ...]  # per leg, which of its ledger's instants has come
    sent: frozenset[tuple[int, str]]  # per leg, the operations that may still arrive


class Step(NamedTuple):
    """How a world came to be: what happened, in words, and from where."""

    what: str
    before: World


class Edge(NamedTuple):
    """A change of phase that the search has seen."""

    before: Phase
    what: str
    after: Phase


Keys = Callable[[int, Role], bytes]
"""What opens the lock of a leg, by its number and the key's role."""


class Explorer:
    """The worlds of one agreed swap. `keys` open the locks; `restores` allows one restore."""

    def __init__(
        self, swap: Swap, agreement: Agreement, keys: Keys, *, restores: bool = False
    ) -> None:
        self.agreement = agreement
        self._keys = keys
        self._restores = restores
        self._consents = [Consented(member=member) for member in sorted(swap.payers)]
        self._memories: list[Settlement] = []
        self._memory_ids: dict[tuple[object, ...], int] = {}
        self._journals: list[tuple[Event, ...]] = []
        self._journal_ids: dict[tuple[object, ...], int] = {}
        self._decided: dict[tuple[int, tuple[int, ...]], tuple[Command, ...]] = {}
        self._contracts: list[Htlc | None] = [None]
        self._applied: dict[tuple[int, int, str, int], int] = {}
        self._heard: dict[tuple[int, int, int, int, Refusal | None], int] = {}
        self._folded: dict[int, int] = {}
        self.instants = tuple(self._instants(n) for n in range(len(agreement.legs)))
        self._reached: dict[World, Step | None] = {}
        self._healed: dict[World, World] = {}
        self.edges: set[Edge] = set()
        proposed = Proposed(swap=swap)
        self.start = World(
            memory=self._remember(propose(proposed)),
            journal=self._write((proposed,)),
            contracts=(0,) * len(agreement.legs),
            times=(0,) * len(agreement.legs),
            sent=frozenset(),
        )

    # ------------------------------------------------------------------ what there is

    def _instants(self, n: int) -> tuple[Instant, ...]:
        """The times of leg `n`'s ledger at which something changes, and one before all of them."""
        terms = self.agreement.legs[n].terms
        times = {terms.lock_by, self.agreement.commit_by}
        if terms.expires_at is not None:
            margin = self.agreement.legs[n].margin
            times |= {terms.expires_at, Instant(terms.expires_at - margin)}
        return (Instant(min(times) - 1), *sorted(times))

    def state(self, world: World) -> Settlement:
        return self._memories[world.memory]

    def events(self, world: World) -> tuple[Event, ...]:
        return self._journals[world.journal]

    def _remember(self, state: Settlement) -> int:
        known = (
            state.phase,
            state.legs,
            state.decision,
            state.consents,
            state.cancel_ordered,
            state.restored,
        )
        if known not in self._memory_ids:
            self._memory_ids[known] = len(self._memories)
            self._memories.append(state)
        return self._memory_ids[known]

    def _write(self, events: tuple[Event, ...]) -> int:
        """Two journals that differ only in the reason of their decision are one."""
        known = tuple(
            event.decision if isinstance(event, Decided) else type(event) for event in events
        )
        if known not in self._journal_ids:
            self._journal_ids[known] = len(self._journals)
            self._journals.append(events)
        return self._journal_ids[known]

    def _fold(self, journal: int) -> int:
        if journal not in self._folded:
            first, *rest = self._journals[journal]
            assert isinstance(first, Proposed)
            state = propose(first)
            for event in rest:
                state = evolve(state, event)
            self._folded[journal] = self._remember(state)
        return self._folded[journal]

    # ------------------------------------------------------------------ what can come next

    def steps(self, world: World) -> Iterator[tuple[str, World]]:
        """Every step that can be taken, in words, and the world after it."""
        yield from (self._carried_out(world, command) for command in self.owed(world))
        yield from self._requests(world)
        for n in range(len(world.contracts)):
            yield from self._ledger(world, n)
            yield from self._answers(world, n)
        yield "the replica dies", world._replace(memory=self._fold(world.journal))
        if self._restores:
            yield from self._restored(world)

    def owed(self, world: World) -> tuple[Command, ...]:
        """What `decide` says. A ledger is unheard until it has answered since the last death."""
        state = self.state(world)
        times = tuple(
            time if state.agreement is None or state.legs[n].at else -1
            for n, time in enumerate(world.times)
        )
        if (world.memory, times) not in self._decided:
            now = {
                leg.ledger: Clock(at=self.instants[n][time])
                for n, (leg, time) in enumerate(zip(self.agreement.legs, times, strict=True))
                if time >= 0
            }
            self._decided[world.memory, times] = decide(state, now)
        return self._decided[world.memory, times]

    def _carried_out(self, world: World, command: Command) -> tuple[str, World]:
        match command:
            case Open():
                return "opened", self._append(world, Opened(agreement=self.agreement))
            case Record():
                words = f"{command.event.decision} ({command.event.reason})"
                return words, self._append(world, command.event)
            case Lock() | Unlock() | Refund():
                sent = world.sent | {(command.leg, _verb(command))}
                return f"{_verb(command)} {command.leg} is sent", world._replace(sent=sent)
            case Look():
                return "", world  # it changes nothing, and its answer can come at any time

    def _append(self, world: World, *events: Event) -> World:
        """Durable, then folded."""
        state = self.state(world)
        for event in events:
            state = evolve(state, event)
        journal = self._write((*self._journals[world.journal], *events))
        return world._replace(journal=journal, memory=self._remember(state))

    def _requests(self, world: World) -> Iterator[tuple[str, World]]:
        state = self.state(world)
        if state.phase is Phase.PROPOSED and not state.consents:
            yield "all payers consent", self._append(world, *self._consents)
        if state.phase in (Phase.PROPOSED, Phase.LOCKING) and not state.cancel_ordered:
            request = CancelRequested(by=AUTHORITY, ordered=True)
            yield "a cancellation is ordered", self._append(world, request)

    def _ledger(self, world: World, n: int) -> Iterator[tuple[str, World]]:
        """A message arrives, the clock goes on, or the party that holds the secret shows it."""
        for leg, verb in world.sent:
            if leg == n:
                yield from self._arrives(world, n, verb)
        if n in self._held:
            yield from self._arrives(world, n, "execute")
        if world.times[n] + 1 < len(self.instants[n]):
            times = (*world.times[:n], world.times[n] + 1, *world.times[n + 1 :])
            yield f"clock {n} goes on", world._replace(times=times)

    @property
    def _held(self) -> tuple[int, ...]:
        """The legs that a party can execute by itself; the others once their key is public."""
        return () if self.agreement.holder is None else self.agreement.revealers

    def _arrives(self, world: World, n: int, verb: str) -> Iterator[tuple[str, World]]:
        after = self._apply(n, world.contracts[n], verb, world.times[n])
        if after != world.contracts[n]:
            contracts = (*world.contracts[:n], after, *world.contracts[n + 1 :])
            yield f"{verb} {n} arrives", world._replace(contracts=contracts)

    def _apply(self, n: int, contract: int, verb: str, time: int) -> int:
        """The contract after an operation, as `htlc.contract` has it."""
        known = (n, contract, verb, time)
        if known not in self._applied:
            made = self._operate(n, self._contracts[contract], verb, self.instants[n][time])
            self._applied[known] = contract if isinstance(made, Refusal) else self._hold(made)
        return self._applied[known]

    def _operate(self, n: int, held: Htlc | None, verb: str, at: Instant) -> Htlc | Refusal:
        terms = self.agreement.legs[n].terms
        if held is None:
            return contract.lock(terms, at) if verb == "lock" else Refusal.UNKNOWN_CONTRACT
        match verb:
            case "execute":
                return contract.execute(held, self._keys(n, Role.EXECUTION), at)
            case "cancel":
                return contract.cancel(held, self._keys(n, Role.CANCELLATION), at)
            case "refund":
                return contract.refund(held, at)
            case _:
                return held  # a lock that is there already is found as it is

    def _hold(self, made: Htlc) -> int:
        """Contracts that differ only in the times of what happened to them are one."""
        timeless = Htlc(terms=made.terms, status=made.status, locked_at=Instant(0), key=made.key)
        if timeless not in self._contracts:
            self._contracts.append(timeless)
        return self._contracts.index(timeless)

    def held(self, world: World) -> tuple[Htlc | None, ...]:
        """What the ledgers hold, per leg."""
        return tuple(self._contracts[held] for held in world.contracts)

    def _answers(self, world: World, n: int) -> Iterator[tuple[str, World]]:
        state = self.state(world)
        if state.agreement is None or state.ended:
            return
        yield f"the replica hears of {n}", self._hear(world, n, None)
        if (n, "lock") in world.sent and not world.contracts[n]:
            yield (
                f"the replica hears that lock {n} is refused",
                self._hear(world, n, Refusal.INSUFFICIENT_BALANCE),
            )

    def _hear(self, world: World, n: int, refusal: Refusal | None) -> World:
        held, time = world.contracts[n], world.times[n]
        known = (world.memory, n, held, time, refusal)
        if known not in self._heard:
            at, contract = self.instants[n][time], self._contracts[held]
            answer = Answer(at=at, htlc=contract, refusal=refusal)
            state = evolve(self.state(world), Answered(leg=n, answer=answer))
            self._heard[known] = self._remember(state)
        return world._replace(memory=self._heard[known])

    def _restored(self, world: World) -> Iterator[tuple[str, World]]:
        """Any number of the last records is gone, but not the opening; a new epoch begins."""
        events = self._journals[world.journal]
        opened = [n for n, event in enumerate(events) if isinstance(event, Opened)]
        if not opened or any(isinstance(event, Restored) for event in events):
            return
        for kept in range(opened[0] + 1, len(events) + 1):
            journal = self._write((*events[:kept], Restored(epoch=2)))
            yield "restored", world._replace(journal=journal, memory=self._fold(journal))

    # ------------------------------------------------------------------ the search

    def explore(self) -> Iterator[World]:
        """Every world that can come about, nearest first."""
        self._reached = {self.start: None}
        frontier = [self.start]
        while frontier:
            yield from frontier
            following: list[World] = []
            for world in frontier:
                for what, after in self.steps(world):
                    if after not in self._reached:
                        self._reached[after] = Step(what=what, before=world)
                        following.append(after)
                    self._note(world, what, after)
            frontier = following

    def trace(self, world: World) -> list[str]:
        """A shortest way to a world that has been explored: what happened, step by step."""
        told = []
        while (step := self._reached[world]) is not None:
            told.append(step.what)
            world = step.before
        return told[::-1]

    def _note(self, world: World, what: str, after: World) -> None:
        """Take note of a change of phase. Forgetting is none."""
        if world.memory == after.memory or what in ("the replica dies", "restored"):
            return
        before, then = self.state(world), self.state(after)
        if before.phase is not then.phase:
            written = world.journal != after.journal
            what = what if written else self._fact(before, then)
            self.edges.add(Edge(before.phase, what, then.phase))

    def _fact(self, before: Settlement, after: Settlement) -> str:
        """What was heard, in words."""
        n = next(n for n, leg in enumerate(after.legs) if leg != before.legs[n])
        anchored = self.agreement.anchor is not None
        leg = ("anchor" if n == self.agreement.anchor else "follower") if anchored else "leg"
        return f"{leg} {after.legs[n].status}"

    def heal(self, world: World) -> World:
        """What becomes of a world if from now on nothing fails: each round everything owed is
        done, delivered and answered; when that changes nothing any more, the clocks go on."""
        passed: list[World] = []
        while world not in self._healed:
            passed.append(world)
            assert len(passed) < HEALED_WITHIN, f"no end in sight: {self.state(world)}"
            after = self._round(world)
            after = after if after != world else self._later(world)
            if after == world:
                self._healed[world] = world
            world = after
        self._healed.update(dict.fromkeys(passed, self._healed[world]))
        return self._healed[world]

    def _later(self, world: World) -> World:
        clocks = zip(world.times, self.instants, strict=True)
        times = (min(time + 1, len(instants) - 1) for time, instants in clocks)
        return world._replace(times=tuple(times))

    def _round(self, world: World) -> World:
        for command in self.owed(world):
            _, world = self._carried_out(world, command)
        for n in range(len(world.contracts)):
            for leg, verb in sorted(world.sent):
                if leg == n:
                    world = next((after for _, after in self._arrives(world, n, verb)), world)
            if (state := self.state(world)).agreement is not None and not state.ended:
                world = self._hear(world, n, None)
        return world


def _verb(command: Lock | Unlock | Refund) -> str:
    match command:
        case Lock():
            return "lock"
        case Refund():
            return "refund"
        case Unlock():
            return "execute" if command.role is Role.EXECUTION else "cancel"
