"""A small deterministic world: ledgers that are late, silent, poor or wrong about the time,
messages that are lost, doubled and delayed, replicas that die, a journal, a vault. Everything that
decides is the real core; everything that happens is drawn from one seeded generator.

Times are ticks of a true time that nobody in the world can read.
"""

import heapq
import random
from collections.abc import Callable
from functools import partial

import msgspec

from htlc import invariants
from htlc.agreement import Agreement, Limits, Role, draw_up
from htlc.commands import Unlock
from htlc.contract import Htlc, Refusal
from htlc.coordinator import decide
from htlc.events import (
    CancelRequested,
    Decided,
    Decision,
    Opened,
    Proposed,
    Reason,
    Restored,
    SecretHanded,
)
from htlc.invariants import Holding, Shown, Violation
from htlc.schedule import Latency
from htlc.settlement import Phase
from htlc.swap import LockProtocol, Swap
from htlc.units import AccountId, Duration, Instant, LedgerId, MemberId
from tests.htlc.samples import SECRET, Keys, changed
from tests.htlc.world_ledger import Ledger
from tests.htlc.world_replica import DELAY_MAX, Journal, Replica, ToLedger, fold

POLL = 10
"""Ticks after which a replica looks at its settlement again, whatever it has heard."""

ISSUER = AccountId("issuer")

DEAD_AFTER = 30_000
"""A life that has not ended by then never will."""


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong in one life. `heals_at`: from this tick on nothing does."""

    loss: float = 0.0
    losses_in_row_max: int = 1_000_000
    doubling: float = 0.0
    straggler: float = 0.0  # share of messages that come up to `straggle` ticks late
    straggle: int = 0
    crash: float = 0.0  # chance to die after a decision was written or a key was sent
    outage: int = 0  # the longest time a dead replica stays dead
    decision_outage: int = 0  # the same for a death between a decision and its first key
    late_claim: bool = False  # the holder of a secret claims in its last instants
    crashes_max: int = 1_000_000
    ledger_outages: float = 0.0  # chance that a ledger is down for a while
    ledger_outage: int = 1_500  # how long at most
    skew: int = 0
    poor: float = 0.0  # chance per leg that its payer has too little
    cancel: float = 0.0  # chance that a cancellation is ordered some time
    reorganised: float = 0.0  # chance that a change not yet final is undone
    restore: float = 0.0  # chance of one restore that loses records
    heals_at: int = 6_000


class World:
    """One life of one settlement."""

    def __init__(
        self,
        seed: int,
        swap: Swap,
        protocol: LockProtocol,
        *,
        faults: Faults,
        latency: Latency,
        limits: Limits,
        abilities: dict[LedgerId, str] | None = None,
        replicas: int = 1,
    ) -> None:
        self.rng = random.Random(seed)
        self.now = 1_000
        self.faults = faults
        self.skew, self.reorganised = faults.skew, faults.reorganised
        self.latency = latency
        self.healed = False
        self.queue: list[tuple[int, int, Callable[[], None]]] = []
        self.count = 0
        self.crashes = 0
        self.losses: dict[tuple[object, int, bool], int] = {}
        self.shown: list[Shown] = []
        self.keys = Keys(self.rng)
        self.ledgers = {
            leg.ledger: Ledger(self, leg.ledger, latency, (abilities or {}).get(leg.ledger, "both"))
            for leg in swap.legs
        }
        for leg in swap.legs:
            poor = self.rng.random() < faults.poor
            ledger = self.ledgers[leg.ledger]
            ledger.add(leg.payer.account, False, leg.quantity - poor)
            ledger.add(ISSUER, False, poor - leg.quantity)
        self.swap = swap = changed(swap, protocol=protocol)
        profiles = {name: ledger.profile() for name, ledger in self.ledgers.items()}
        drawn = draw_up(swap, profiles, limits, self.keys.lock)
        assert isinstance(drawn, Agreement), drawn
        self.agreement = drawn
        self.journal = Journal(Proposed(swap=swap, consents=tuple(sorted(swap.payers))))
        self.replicas = [Replica(self) for _ in range(replicas)]
        self._plan()

    # ------------------------------------------------------------------ time and messages

    def at(self, delay: int, happen: Callable[[], None]) -> None:
        self.count += 1
        heapq.heappush(self.queue, (self.now + delay, self.count, happen))

    def chance(self, probability: float) -> bool:
        return not self.healed and self.rng.random() < probability

    def carry(
        self, arrive: Callable[[], None], *, channel: tuple[object, int], back: bool = False
    ) -> None:
        """Bring one message across, or lose it, or bring it twice, or very late."""
        where = (*channel, back)
        in_row = self.losses.get(where, 0)
        if in_row < self.faults.losses_in_row_max and self.chance(self.faults.loss):
            self.losses[where] = in_row + 1
            return
        self.losses[where] = 0
        for _ in range(2 if self.chance(self.faults.doubling) else 1):
            late = self.chance(self.faults.straggler)
            self.at(self.rng.randint(1, self.faults.straggle if late else DELAY_MAX), arrive)

    def send(self, replica: Replica, life: int, command: ToLedger, key: bytes | None) -> None:
        channel = (replica, command.leg)
        self.carry(lambda: self.deliver(replica, life, command, key), channel=channel)

    def deliver(self, replica: Replica, life: int, command: ToLedger, key: bytes | None) -> None:
        n = command.leg
        agreed = self.agreement.legs[n]
        ledger = self.ledgers[agreed.ledger]
        if ledger.down():
            return
        answer = ledger.do(command, agreed.terms, key)
        if key is not None and answer.refusal is Refusal.EXPIRED:
            self.at(1, partial(self._steal, n, key))
        self.carry(lambda: replica.hear(life, n, answer), channel=(replica, n), back=True)

    def _steal(self, refused: int, key: bytes) -> None:
        """A claim that came too late has shown its key all the same: whoever is paid by the
        other legs uses it."""
        for n, agreed in enumerate(self.agreement.legs):
            if n != refused:
                self.ledgers[agreed.ledger].do(
                    Unlock(leg=n, role=Role.EXECUTION), agreed.terms, key
                )

    def dies(self, replica: Replica, *, deciding: bool = False) -> bool:
        """A crash aimed at the instants that matter: a decision durable, a key just sent."""
        if not self.chance(self.faults.crash):
            return False
        if deciding and self.faults.decision_outage:
            replica.die(self.rng.randint(1, self.faults.decision_outage))
            return True
        if self.crashes >= self.faults.crashes_max:
            return False
        self.crashes += 1
        replica.die(self.rng.randint(1, self.faults.outage))
        return True

    # ------------------------------------------------------------------ what else happens

    def _plan(self) -> None:
        for replica in self.replicas:
            self.at(self.rng.randint(0, POLL), partial(self.poll, replica))
        if self.rng.random() < self.faults.cancel:
            self.at(self.rng.randint(0, 60), self._cancel)
        if self.rng.random() < self.faults.restore:
            self.at(self.rng.randint(5, 120), self._restore)
        for ledger in self.ledgers.values():
            if self.rng.random() < self.faults.ledger_outages:
                self.at(self.rng.randint(0, 100), partial(self._silence, ledger))
        if self.agreement.holder is not None and self.faults.late_claim:
            self._plan_late_claim()
        elif self.agreement.holder is not None:
            self.at(self.rng.randint(0, 300), self._holder_acts)

    def _plan_late_claim(self) -> None:
        """The holder claims one of its last three ticks before the expiry, on its ledger's clock;
        replicas like to die just then."""
        n = min(self.agreement.revealers)
        agreed = self.agreement.legs[n]
        ledger = self.ledgers[agreed.ledger]
        assert agreed.terms.expires_at is not None
        last = agreed.terms.expires_at - ledger.now - self.rng.randint(1, 3)

        def claim() -> None:
            ledger.do(Unlock(leg=n, role=Role.EXECUTION), agreed.terms, SECRET)
            for replica in self.replicas:
                if replica.up:
                    self.dies(replica)

        self.at(last, claim)

    def poll(self, replica: Replica) -> None:
        if not replica.up:
            return  # it polls again when it is started
        replica.poll()
        if not self._over(replica):
            self.at(POLL, lambda: self.poll(replica))

    def _over(self, replica: Replica) -> bool:
        state = replica.state
        return replica.up and (
            state.ended or (state.phase is Phase.BROKEN and not decide(state, replica.clocks()))
        )

    def _cancel(self) -> None:
        request = CancelRequested(by=MemberId("AUTHORITY"), ordered=True)
        self.journal.append(len(self.journal.events), request)

    def _silence(self, ledger: Ledger) -> None:
        ledger.down_until = self.now + self.rng.randint(1, self.faults.ledger_outage)

    def _holder_acts(self) -> None:
        """The party claims, hands its secret to the vault, or withholds it for ever."""
        chosen = self.rng.choice(["claims", "hands", "withholds"])
        n = min(self.agreement.revealers)
        agreed = self.agreement.legs[n]
        ledger = self.ledgers[agreed.ledger]
        if chosen == "claims":
            if (held := ledger.held.get(agreed.terms.id)) is None or not ledger.answer(
                held.terms.id
            ).final:
                self.at(POLL, self._holder_acts)
                return
            ledger.do(Unlock(leg=n, role=Role.EXECUTION), agreed.terms, SECRET)
        elif chosen == "hands" and self.agreement.holder is not None:
            self.journal.append(len(self.journal.events), SecretHanded(by=self.agreement.holder))
            for replica in self.replicas:
                replica.reload()

    def _restore(self) -> None:
        """All replicas are gone; the journal comes back without its last records."""
        opened = [n for n, e in enumerate(self.journal.events) if isinstance(e, Opened)]
        if not opened:
            return
        lost = self.journal.events[opened[0] + 1 :]
        keep = self.rng.randint(0, len(lost))
        self.journal.events[opened[0] + 1 :] = [*lost[:keep], Restored(epoch=2)]
        committed = any(isinstance(e, Decided) and e.decision is Decision.COMMIT for e in lost)
        for replica in self.replicas:
            replica.up = False
            replica.life += 1
            self.at(self.rng.randint(1, 400), replica.start)
        self.at(self.faults.heals_at, lambda: self._resolve(committed))

    def _resolve(self, committed: bool) -> None:
        """What is still frozen, two operators resolve with the evidence, which is right here."""
        if fold(self.journal.events).decided is None:
            decision = Decision.COMMIT if committed else Decision.CANCEL
            event = Decided(decision=decision, reason=Reason.OPERATORS)
            self.journal.append(len(self.journal.events), event)
            for replica in self.replicas:
                if replica.up:
                    replica.reload()

    # ------------------------------------------------------------------ a whole life

    def run(self) -> "World":
        """Until nothing is on its way and no replica has anything left to do."""
        while self.queue:
            self.now, _, happen = heapq.heappop(self.queue)
            self.healed = self.now >= self.faults.heals_at
            assert self.now < DEAD_AFTER, f"no end: {self.replicas[0].state}"
            happen()
        return self

    @property
    def contracts(self) -> list[Htlc | None]:
        return [self.ledgers[leg.ledger].held.get(leg.terms.id) for leg in self.agreement.legs]

    @property
    def phases(self) -> set[Phase]:
        return {replica.state.phase for replica in self.replicas}

    def violations(self) -> tuple[Violation, ...]:
        """What the auditor would say of this life."""
        agreement, contracts = self.agreement, self.contracts
        restored = any(isinstance(e, Restored) for e in self.journal.events)
        latest = [Instant(self.ledgers[leg.ledger].now + 10**9) for leg in agreement.legs]
        return (
            *invariants.one_end(agreement, contracts),
            *invariants.conserved(self._holdings()),
            *invariants.locked_is_backed(
                self._holdings(),
                [(leg.ledger, c) for leg, c in zip(agreement.legs, contracts, strict=True) if c],
            ),
            *invariants.all_were_locked(agreement, contracts),
            *invariants.keys_apart(agreement, contracts),
            *(
                ()
                if restored
                else invariants.keys_follow_decisions(agreement, self.journal.events, self.shown)
            ),
            *invariants.resolved_in_time(agreement, contracts, latest, Duration(0)),
            *invariants.journal_in_order(self.journal.events),
        )

    def _holdings(self) -> list[Holding]:
        """One asset per ledger, issued once at the beginning."""
        return [
            Holding(
                ledger=name,
                asset=leg.asset,
                account=account,
                available=ledger.balances.get((account, False), 0),
                locked=ledger.balances.get((account, True), 0),
                counter=account == ISSUER,
            )
            for leg, ledger, name in (
                (leg, self.ledgers[leg.ledger], leg.ledger) for leg in self.swap.legs
            )
            for account in sorted({account for account, _ in ledger.balances})
        ]
