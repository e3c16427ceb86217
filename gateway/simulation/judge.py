"""The judge of a simulated world: asks the invariants (`htlc.invariants`) after every event that
changed a ledger, the journal, or what the vault has shown, and once more when the run is over.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from gateway import records
from gateway.simulation.journal import Journal
from gateway.simulation.ledger import Ledger
from gateway.simulation.run import balances, is_frozen
from gateway.simulation.trace import What
from gateway.swaps import SettlementNotice
from htlc import invariants
from htlc.agreement import Agreement
from htlc.contract import Htlc, Status
from htlc.events import CancelRequested, Decided, Decision, Event, Restored
from htlc.invariants import Effect, FinalNotice, Shown, Violation
from htlc.settlement import Phase, Settlement
from htlc.units import AccountId, AssetId, Duration, LedgerId, SettlementId

_notice = msgspec.json.Decoder(SettlementNotice)


class Surroundings(Protocol):
    """What the judge looks at."""

    now: int
    journal: Journal
    ledgers: dict[LedgerId, Ledger]
    agreements: dict[SettlementId, Agreement]
    shown: dict[SettlementId, list[Shown]]
    unwinding: int
    healed_at: int | None

    def contracts(self, id: SettlementId) -> tuple[Htlc | None, ...]: ...
    def happen(
        self,
        node: str,
        what: What,
        settlement: SettlementId | None = None,
        *,
        detail: str = "",
    ) -> None: ...


class Judge:
    """Collects violations, each once."""

    def __init__(self, world: Surroundings) -> None:
        self.world = world
        self.violations: list[Violation] = []
        self.touched: set[SettlementId] = set()
        self.touched_books: set[LedgerId] = set()
        self._judged: Counter[SettlementId] = Counter()  # of the keys shown, so many

    def look(self) -> None:
        """After an event: everything that it may have touched."""
        for id in sorted(self.touched):
            self._keep(self._settlement(id))
        self.touched.clear()
        for name in sorted(self.touched_books):
            self._keep(self._books(self.world.ledgers[name]))
        self.touched_books.clear()

    def at_the_end(self) -> None:
        """What only a whole run shows."""
        states = [self.world.journal.load(id)[0] for id in self.world.journal.entries]
        for state in states:
            self._keep(self._whole(state))
        for ledger in self.world.ledgers.values():
            done = (p.effect for p in ledger.log)
            effects = (Effect(ledger=ledger.name, id=e.id, kind=e.kind) for e in done)
            self._keep(iter(invariants.once(effects)))
            self._keep(_paid_as_fixed(ledger))
        self._keep(self._notices([state for state in states if state.ended]))

    def _keep(self, found: Iterator[Violation]) -> None:
        for violation in found:
            if violation not in self.violations:
                self.violations.append(violation)
                self.world.happen("judge", What.VIOLATION, detail=violation.what)

    # ------------------------------------------------------------------ one settlement

    def _settlement(self, id: SettlementId) -> Iterator[Violation]:
        agreement = self.world.agreements.get(id)
        if agreement is None:
            return
        contracts = self.world.contracts(id)
        yield from invariants.one_end(agreement, contracts)
        yield from invariants.all_were_locked(agreement, contracts)
        yield from invariants.keys_apart(agreement, contracts)
        events = self.world.journal.events(id)
        if not any(isinstance(event, Restored) for event in events):
            shown = self.world.shown[id][self._judged[id] :]
            self._judged[id] += len(shown)
            yield from invariants.keys_follow_decisions(agreement, events, shown)
            yield from _cancel_first(agreement, events)
        yield from invariants.journal_in_order(events)

    def _whole(self, state: Settlement) -> Iterator[Violation]:
        id = state.swap.id
        events = self.world.journal.events(id)
        yield from _as_told(state, self.world.contracts(id))
        if records.events(*records.texts([events])) != events:
            yield Violation(invariant=6, what=f"{id}: a journal read back tells something else")
        if state.phase is not Phase.BROKEN and self._well_for_long():
            yield from self._resolved(state)

    def _well_for_long(self) -> bool:
        """Whether nothing has been wrong for as long as unwinding may take."""
        since = self.world.healed_at
        return since is not None and self.world.now >= since + self.world.unwinding

    def _resolved(self, state: Settlement) -> Iterator[Violation]:
        """5 and 6: no lock is left, and whoever waits for an end is told one."""
        world, agreement = self.world, self.world.agreements.get(state.swap.id)
        if agreement is None or is_frozen(state, world.contracts(state.swap.id)):
            return
        now = [world.ledgers[leg.ledger].read(world.now) for leg in agreement.legs]
        contracts, unwinding = world.contracts(state.swap.id), Duration(world.unwinding)
        yield from invariants.resolved_in_time(agreement, contracts, now, unwinding)
        if not state.ended:
            what = f"{state.swap.id}: has no end, and never will: {state.phase}"
            yield Violation(invariant=6, what=what)

    # ------------------------------------------------------------------ ledgers, mailboxes

    def _books(self, ledger: Ledger) -> Iterator[Violation]:
        holdings = balances((ledger,))
        contracts = [(ledger.name, held) for held in ledger.book.contracts.values() if held]
        yield from invariants.conserved(holdings)
        yield from invariants.locked_is_backed(holdings, contracts)
        for _, held in contracts:
            if held.terms.settlement not in self.world.agreements:
                what = f"{ledger.name} holds a lock of {held.terms.settlement}, which is not open"
                yield Violation(invariant=6, what=what)

    def _notices(self, ended: Sequence[Settlement]) -> Iterator[Violation]:
        """6. Every settlement that has ended has one final notice per party."""
        accepted = {
            FinalNotice(instruction=state.swap.id, party=party)
            for state in ended
            for party in state.swap.parties
        }
        given = [
            FinalNotice(instruction=told.settlement, party=notice.member)  # type: ignore[arg-type]
            for notice in self.world.journal.notices()
            if (told := _notice.decode(notice.content)).final
        ]
        yield from invariants.one_final_notice(accepted, given)


def _paid_as_fixed(ledger: Ledger) -> Iterator[Violation]:
    """2. What everybody holds follows from the contracts as they ended: the payee has what was
    executed, the payer what was not, whoever submitted it."""
    held: Counter[tuple[AccountId, AssetId]] = Counter()
    for effect in (posted.effect for posted in ledger.log if posted.effect.htlc is None):
        held[effect.debit, effect.asset] -= effect.quantity
        held[effect.credit, effect.asset] += effect.quantity
    for contract in filter(None, ledger.book.contracts.values()):
        if contract.status is Status.EXECUTED:
            terms = contract.terms
            held[terms.payer, terms.asset] -= terms.quantity
            held[terms.payee, terms.asset] += terms.quantity
    for (account, asset), balance in ledger.book.balances.items():
        if balance is not None:
            held[account, asset] -= balance.available + balance.locked
    for (account, asset), missing in held.items():
        if missing:
            what = f"{ledger.name}: {account} holds {-missing} {asset} that is not its own"
            yield Violation(invariant=2, what=what)


def _cancel_first(agreement: Agreement, events: tuple[Event, ...]) -> Iterator[Violation]:
    """3. A cancellation accepted before the decision is carried out (a party that holds the secret
    may use it all the same: there it is a wish)."""
    if agreement.holder is not None:
        return
    for event in events:
        if isinstance(event, CancelRequested) and event.ordered:
            break
        if isinstance(event, Decided):
            return
    else:
        return
    if any(isinstance(e, Decided) and e.decision is Decision.COMMIT for e in events):
        what = f"{agreement.settlement}: committed after a cancellation was accepted"
        yield Violation(invariant=3, what=what)


_TOLD: Mapping[Phase, frozenset[Status | None]] = {
    Phase.SETTLED: frozenset({Status.EXECUTED}),
    Phase.CANCELLED: frozenset({Status.CANCELLED, None}),
}


def _as_told(state: Settlement, contracts: tuple[Htlc | None, ...]) -> Iterator[Violation]:
    """6. What the journal says has ended is what the ledgers hold (rule 15)."""
    allowed = _TOLD.get(state.phase)
    if allowed is None:
        return
    for leg, held in zip(state.swap.legs, contracts, strict=False):
        if (held.status if held else None) not in allowed:
            what = f"{state.swap.id}: told {state.phase}, and leg {leg.leg} is not"
            yield Violation(invariant=6, what=what)
