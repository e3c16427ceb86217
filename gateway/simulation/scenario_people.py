"""What parties do in a simulated case beyond the gateway: claim, hand over a secret, lock on other
terms."""

from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from gateway.simulation import faults, scenario
from gateway.simulation.trace import What
from gateway.simulation.world import World
from htlc.agreement import AgreedLeg
from htlc.contract import Refusal
from htlc.units import Instant, SettlementId, seconds
from ledgers.parties import Principal, Role
from ledgers.port import Execute, Lock

Deed = Callable[[str], None]


class People:
    """Acts upon the one settlement of a case."""

    def __init__(self, world: World, id: SettlementId) -> None:
        self.world = world
        self.id = id

    def deed(self, fault: scenario.Fault) -> Deed | None:
        """What a person does; None where no person does it."""
        match fault:
            case scenario.Claim():
                return lambda _: self._claim()
            case scenario.HandSecret():
                hand = faults.HandSecret(settlement=self.id)
                return lambda _: self.world.actions.do(hand, None)
            case scenario.LockOtherwise():
                return partial(self._lock_otherwise, fault)
            case _:
                return None

    def _claim(self) -> None:
        """The holder of the secret claims the leg that pays it, in time or not. A claim that is
        refused as too late has shown the key: whoever is paid by another leg uses it."""
        agreement = self.world.agreements[self.id]
        leg = agreement.legs[min(agreement.revealers)]
        key = self.world.secret(self.id)
        self.world.happen(leg.payee, What.SENT, self.id, leg.terms.leg, "Unlock execution")
        if self._execute(leg, key) is Refusal.EXPIRED:
            for other in agreement.legs:
                if other is not leg and other.terms.execution_lock.opens(key):
                    self._execute(other, key)

    def _execute(self, leg: AgreedLeg, key: bytes) -> Refusal | None:
        by = Principal(name=leg.payee, role=Role.OWNER)
        claim = Execute(id=leg.terms.id, key=key)
        (answer,) = self.world.ledgers[leg.ledger].apply([claim], by, self.world.now)
        return answer.refusal

    def _lock_otherwise(self, fault: scenario.LockOtherwise, _node: str) -> None:
        """The payer makes a lock of its own under the agreed id."""
        legs = {leg.terms.leg: leg for leg in self.world.agreements[self.id].legs}
        leg = next(each for name, each in legs.items() if name == fault.leg)
        assert leg.terms.expires_at is not None, "the scenario names a leg that expires"
        earlier = Instant(leg.terms.expires_at - seconds(fault.earlier_seconds))
        terms = replace(leg.terms, expires_at=earlier)
        by = Principal(name=leg.payer, role=Role.OWNER)
        self.world.happen(leg.payer, What.SENT, self.id, leg.terms.leg, "Lock on other terms")
        self.world.ledgers[leg.ledger].apply([Lock(terms=terms)], by, self.world.now)
