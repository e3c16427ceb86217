"""A simulated world: ledgers, replicas of a gateway, a network and people, set up by code, driven
by one event heap, with a plan of faults. `run` plays it and says what happened.

Time is virtual, in a unit of the caller's (nanoseconds in scenarios, ticks in random lives),
counted from 0; nodes' clocks show `epoch` more. README.md has an example.
"""

import hashlib
import heapq
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from gateway.simulation.actions import Actions
from gateway.simulation.clock import SkewedClock
from gateway.simulation.faults import At, Fault, Moment, Plan, Resolve, Scripted, When
from gateway.simulation.journal import Journal
from gateway.simulation.judge import Judge
from gateway.simulation.ledger import Ledger
from gateway.simulation.network import FOREVER, Network
from gateway.simulation.post import Post
from gateway.simulation.replica import Pace, Replica, Task
from gateway.simulation.run import Balances, Run, balances, end
from gateway.simulation.trace import Happened, What
from gateway.vault import Vault
from htlc.agreement import Agreement, LedgerProfile, Limits, Role
from htlc.contract import Htlc
from htlc.events import Event, Opened, Proposed
from htlc.hashlock import HashFunction
from htlc.invariants import Shown
from htlc.schedule import Latency
from htlc.settlement import Settlement
from htlc.swap import Leg, LockProtocol, Party, PartySecret, Swap
from htlc.units import (
    MILLISECOND,
    SECOND,
    AccountId,
    AssetId,
    Duration,
    Instant,
    LedgerId,
    LegId,
    MemberId,
    SettlementId,
    seconds,
)
from ledgers.port import LockKind

EPOCH: Final = Instant(1_767_225_600 * SECOND)
"""2026-01-01T00:00:00Z: what a right clock shows at virtual time 0, when times are nanoseconds."""

BOTH: Final = (LockKind.TWO_KEY, LockKind.HTLC)
TWO_KEY: Final = (LockKind.TWO_KEY,)
HTLC_ONLY: Final = (LockKind.HTLC,)

LATENCY: Final = Latency(
    finality=Duration(0), lookup=seconds(1), delivery=seconds(5), skew=seconds(1)
)
"""What the gateway's configuration says of the shipped ledgers (`gateway.config`)."""

LIMITS: Final = Limits(
    lock_within=seconds(20), commit_within=seconds(60), recovery=seconds(600), backstop=None
)
"""The defaults of `gateway.config`."""

PACE: Final = Pace(
    journey_min=1 * MILLISECOND,
    journey=50 * MILLISECOND,
    look_first=100 * MILLISECOND,
    look=400 * MILLISECOND,
)
"""A continental network; twice a look and two journeys stay within the `lookup` above."""

UNWINDING: Final = 120 * SECOND
"""How long after its due time, and after the last fault, a lock may take to be opened."""

DEAD_AFTER: Final = 24 * 3600 * SECOND
"""A run that has not ended by itself is stopped after a day."""


def party(name: str) -> Party:
    """A member and its account, the same on every ledger."""
    return Party(member=MemberId(name), account=AccountId(name.lower()))


class World:
    """Set it up, `run` it once."""

    def __init__(
        self,
        *,
        seed: int = 0,
        replicas: int = 1,
        limits: Limits = LIMITS,
        pace: Pace = PACE,
        epoch: int = EPOCH,
        plan: Plan = (),
        heals_at: int | None = None,
        unwinding: int = UNWINDING,
        ends_at: int = DEAD_AFTER,
    ) -> None:
        self.seed = seed
        self.limits = limits
        self.pace = pace
        self.epoch = epoch
        self.heals_at = heals_at
        self.unwinding = unwinding
        self.ends_at = ends_at
        self.now = 0
        self.healed_at: int | None = None
        self.trace: list[Happened] = []
        self.journal = Journal()
        self.vault = Vault(hashlib.sha256(f"vault {seed}".encode()).digest())
        self.ledgers: dict[LedgerId, Ledger] = {}
        self.profiles: dict[LedgerId, Callable[[Instant], LedgerProfile]] = {}
        self.skews: dict[LedgerId, Duration] = {}
        self.agreements: dict[SettlementId, Agreement] = {}
        self.shown: dict[SettlementId, list[Shown]] = {}
        self.network = Network(self, seed)
        self.post = Post(self)
        self.judge = Judge(self)
        self.actions = Actions(self)
        self.replicas = [
            Replica(self, f"gateway-{n}", SkewedClock(0)) for n in range(1, replicas + 1)
        ]
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._before: Balances = ()
        self._waiting: list[tuple[Scripted, When, int]] = []
        for scripted in plan:
            self._schedule(scripted)

    # ------------------------------------------------------------------ setting it up

    def ledger(
        self,
        name: str,
        *,
        latency: Latency = LATENCY,
        kinds: tuple[LockKind, ...] = BOTH,
        function: HashFunction | None = None,
        offset: int = 0,
        drift: int = 0,
    ) -> LedgerId:
        """A ledger; its clock is off by `offset` and drifts by so many parts per million."""
        id = LedgerId(name)
        clock = SkewedClock(self.epoch, offset, drift)
        function = function or HashFunction()
        made = Ledger(id, latency, kinds, function, clock, self._told, self.judge.touched_books)
        self.ledgers[id], self.profiles[id] = made, made.profile
        self.skews[id] = Duration(latency.skew + self.pace.journey)
        return id

    def account(self, ledger: str, member: MemberId) -> AccountId:
        """A member's account, opened if need be, with a mandate for the gateway."""
        account = party(member).account
        self.ledgers[LedgerId(ledger)].open_account(account, member)
        return account

    def hold(self, ledger: str, member: str, asset: str, quantity: int) -> None:
        """Give a member something to pay with."""
        account = self.account(ledger, MemberId(member))
        self.ledgers[LedgerId(ledger)].issue(account, AssetId(asset), quantity, self.now)

    def propose(
        self,
        legs: Sequence[Leg],
        *,
        protocol: LockProtocol | None = None,
        holder: str | None = None,
        commit_by: int | None = None,
        at: int = 0,
    ) -> SettlementId:
        """A swap that all payers have agreed to, proposed at a virtual time. `holder` holds its
        secret; `commit_by` is a virtual time too (on the clock of the first leg's ledger)."""
        id = SettlementId(f"{self.seed:08x}-0000-4000-8000-{len(self.shown):012x}")
        self.shown[id] = []
        function = HashFunction()
        secret = PartySecret(
            holder=MemberId(holder or ""),
            function=function,
            digest=function.digest(self.secret(id)),
        )
        swap = Swap(
            id=id,
            legs=tuple(legs),
            protocol=protocol,
            commit_by=None if commit_by is None else Instant(self.epoch + commit_by),
            secret=secret if holder else None,
        )
        for leg in legs:
            self.account(leg.ledger, leg.payer.member)
            self.account(leg.ledger, leg.payee.member)
            self.ledgers[leg.ledger].issue(leg.payee.account, leg.asset, 0, self.now)
        self.at(at, partial(self._propose, swap))
        return id

    def on(self, moment: Moment, fault: Fault, *, once: bool = True) -> None:
        """Add a fault to the plan."""
        self._schedule(Scripted(moment=moment, fault=fault, once=once))

    def secret(self, id: SettlementId) -> bytes:
        """The preimage that a party holds."""
        return hashlib.sha256(f"secret {self.seed} {id}".encode()).digest()

    def replica(self, name: str) -> Replica:
        return next(replica for replica in self.replicas if replica.name == name)

    def _propose(self, swap: Swap) -> None:
        self.journal.open(Proposed(swap=swap, consents=tuple(sorted(swap.payers))))
        self.happen("gateway", What.PROPOSED, swap.id)
        for replica in self.replicas:
            replica.take_on(swap.id)

    # ------------------------------------------------------------------ time, moments, the trace

    def at(self, delay: int, do: Callable[[], None]) -> None:
        """Do something later."""
        self._count += 1
        heapq.heappush(self._queue, (self.now + delay, self._count, do))

    def happen(
        self,
        node: str,
        what: What,
        settlement: SettlementId | None = None,
        leg: LegId | None = None,
        detail: str = "",
        *,
        material: bool = True,
    ) -> None:
        """Write into the trace; faults that wait for it come at once. `material`: it may break an
        invariant (a contract, a record, a key; a message alone cannot)."""
        entry = Happened(self.now, node, what, settlement, leg, detail)
        self.trace.append(entry)
        if material and settlement is not None:
            self.judge.touched.add(settlement)
            if what is What.OPENED:
                self._note_agreement(settlement)
        if self._waiting:
            self._fit(entry)

    def _note_agreement(self, id: SettlementId) -> None:
        opened = next(e for e in self.journal.events(id) if isinstance(e, Opened))
        self.agreements[id] = opened.agreement

    def _schedule(self, scripted: Scripted) -> None:
        moment = scripted.moment
        if isinstance(moment, At):
            self.at(moment.time - self.now, partial(self._strike, scripted.fault, None))
        else:
            self._waiting.append((scripted, moment, moment.nth))

    def _fit(self, entry: Happened) -> None:
        what = entry.what
        due = [item for item in self._waiting if item[1].what is what and item[1].fits(entry)]
        for scripted, moment, left in due:
            place = self._waiting.index((scripted, moment, left))
            if left > 1:
                self._waiting[place] = (scripted, moment, left - 1)
                continue
            if scripted.once:
                del self._waiting[place]
            if moment.later:
                self.at(moment.later, partial(self._strike, scripted.fault, entry))
            else:
                self._strike(scripted.fault, entry)

    def _strike(self, fault: Fault, entry: Happened | None) -> None:
        if self.healed_at is None or isinstance(fault, Resolve):
            self.actions.do(fault, entry)

    # ------------------------------------------------------------------ for replicas and people

    def send(self, replica: Replica, ledger: LedgerId, tasks: tuple[Task, ...]) -> None:
        """One message to a ledger."""
        self.post.send(replica, ledger, tasks)

    def _told(self, ledger: str, what: What, held: Htlc | None, detail: str) -> None:
        """A ledger's pen."""
        if held is None:
            self.happen(ledger, what, None, None, detail)
        else:
            self.happen(ledger, what, held.terms.settlement, held.terms.leg, detail)

    def show(self, state: Settlement, leg: int, role: Role) -> None:
        """A key leaves the vault: noted for the judge."""
        id = state.swap.id
        records = len(self.journal.events(id))
        shown = Shown(leg=leg, role=role, records=records)
        if shown not in self.shown[id]:  # sent again and again in an outage, it is shown once
            self.shown[id].append(shown)
        name = state.agreed.legs[leg].terms.leg
        self.happen("vault", What.KEY_SHOWN, id, name, str(role))

    def append(self, id: SettlementId, event: Event) -> None:
        """A request of somebody's, written into the journal; replicas are told."""
        sequence = len(self.journal.entries[id]) + 1
        self.journal.append(id, sequence, (event,), epoch=self.journal.epoch)
        self.judge.touched.add(id)
        for replica in self.replicas:
            self.at(0, partial(replica.changed_elsewhere, id))

    def ledger_is_back(self, ledger: Ledger, life: int) -> None:
        if ledger.life == life and not ledger.up:
            ledger.up = True
            self.happen(ledger.name, What.STARTED)

    def journal_is_back(self) -> None:
        if not self.journal.up:
            self.journal.up = True
            self.happen("journal", What.STARTED)

    def contracts(self, id: SettlementId) -> tuple[Htlc | None, ...]:
        """What the ledgers hold for the legs of a settlement that is open."""
        agreement = self.agreements.get(id)
        legs = agreement.legs if agreement else ()
        return tuple(self.ledgers[leg.ledger].book.contracts.get(leg.terms.id) for leg in legs)

    # ------------------------------------------------------------------ the run

    def run(self) -> Run:
        """Play until nothing is on its way and nobody has anything left to do."""
        self.begin()
        while self.step():
            pass
        return self.finish()

    def begin(self) -> None:
        """What was set up so far is how it was before."""
        self._before = balances(self.ledgers.values())
        if self.heals_at is not None:
            self.at(self.heals_at, self.heal)

    def step(self) -> bool:
        """Play the next event; False if there is none."""
        if not self._queue or self._queue[0][0] > self.ends_at:
            return False
        self.now, _, do = heapq.heappop(self._queue)
        do()
        if self.judge.touched or self.judge.touched_books:
            self.judge.look()
        return True

    def finish(self) -> Run:
        """The judge's last word, and what came of it all."""
        self._end()
        ends = tuple(
            end(self.journal.load(id)[0], self.agreements.get(id), self.contracts(id))
            for id in self.journal.entries
        )
        return Run(
            seed=self.seed,
            trace=tuple(self.trace),
            before=self._before,
            after=balances(self.ledgers.values()),
            ends=ends,
            violations=tuple(self.judge.violations),
            ended_at=self.trace[-1].at if self.trace else 0,
        )

    def heal(self) -> None:
        """The faults stop: whatever is down comes back, and from here on everything must end."""
        self.healed_at = self.now
        self.network.heal()
        self.journal_is_back()
        for ledger in self.ledgers.values():
            self.ledger_is_back(ledger, ledger.life)
        for replica in self.replicas:
            if not replica.up:
                replica.die(0)

    def _all_up(self) -> bool:
        cut = any(until > self.now for until in self.network.cuts.values())
        ledgers_up = all(ledger.up for ledger in self.ledgers.values())
        replicas_up = all(replica.up for replica in self.replicas)
        return self.journal.up and ledgers_up and replicas_up and not cut

    def _end(self) -> None:
        """The last word of the judge, when every clock has passed what was promised."""
        if self.healed_at is None and self._all_up():
            disturbed = (e.at for e in self.trace if e.what in (What.FAULT, What.STARTED))
            self.healed_at = max(disturbed, default=0)
        if self._queue:
            self.now = self.ends_at
        else:
            self.now += FOREVER  # nobody has anything left to do, however long one waits
        self.judge.at_the_end()
