"""What came of a simulated run: the trace, balances before and after, how each settlement ended,
and every violation of what must always hold."""

from collections.abc import Iterable

import msgspec

from gateway.simulation.ledger import COUNTER, Ledger
from gateway.simulation.trace import Happened, fingerprint
from gateway.swaps import reported
from htlc.agreement import Agreement, PrincipalRisk
from htlc.contract import Htlc, Status
from htlc.events import Decision
from htlc.invariants import Holding, Violation
from htlc.settlement import Phase, Settlement
from htlc.swap import LockProtocol
from htlc.units import SettlementId

Balances = tuple[Holding, ...]


class End(msgspec.Struct, frozen=True, kw_only=True):
    """One settlement when the run was over: what its journal says, and its ledgers."""

    settlement: SettlementId
    state: str  # as users see it: SETTLED, CANCELLED, REJECTED, FROZEN, BROKEN, or a phase
    phase: Phase
    protocol: LockProtocol | None
    risk: PrincipalRisk | None
    decision: Decision | None
    legs: tuple[Htlc | None, ...]  # the contracts, in the order of the legs


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run. `ended_at` is virtual time."""

    seed: int
    trace: tuple[Happened, ...]
    before: Balances
    after: Balances
    ends: tuple[End, ...]
    violations: tuple[Violation, ...]
    ended_at: int

    @property
    def fingerprint(self) -> str:
        """Equal for equal seeds, in any process."""
        return fingerprint(self.trace)

    def end(self, settlement: SettlementId) -> End:
        return next(end for end in self.ends if end.settlement == settlement)


def balances(ledgers: Iterable[Ledger]) -> Balances:
    """Every balance of every ledger, counter-accounts included."""
    return tuple(
        Holding(
            ledger=ledger.name,
            asset=asset,
            account=account,
            available=balance.available,
            locked=balance.locked,
            counter=account == COUNTER,
        )
        for ledger in ledgers
        for (account, asset), balance in ledger.book.balances.items()
        if balance is not None
    )


def is_frozen(state: Settlement, legs: tuple[Htlc | None, ...]) -> bool:
    """Rule 17 as an observer of journal and ledgers sees it: restored, undecided, all legs locked.
    (A replica knows it of itself once it has looked: `Settlement.frozen`.)"""
    return (
        state.restored
        and state.decided is None
        and state.protocol is LockProtocol.TWO_KEY
        and not state.agreed.backstop
        and all(leg is not None and leg.status is Status.LOCKED for leg in legs)
    )


def end(state: Settlement, agreement: Agreement | None, legs: tuple[Htlc | None, ...]) -> End:
    return End(
        settlement=state.swap.id,
        state="FROZEN" if agreement and is_frozen(state, legs) else reported(state),
        phase=state.phase,
        protocol=agreement.protocol if agreement else None,
        risk=agreement.risk if agreement else None,
        decision=state.decision,
        legs=legs,
    )
