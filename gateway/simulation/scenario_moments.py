"""Watches the trace of a simulated world for the moments that a scenario names."""

from collections.abc import Callable
from typing import Final

from gateway.simulation.scenario import Moment, MomentKind
from gateway.simulation.trace import Happened, What
from gateway.simulation.world import World
from htlc.contract import Status
from htlc.units import LegId, SettlementId, seconds

Deed = Callable[[str], None]
"""Told at which node the moment came."""

_WHAT: Final = {
    MomentKind.OPENED: ({What.OPENED}, ""),
    MomentKind.LOCK_SENT: ({What.SENT}, "Lock"),
    MomentKind.LOCKED: ({What.LOCKED}, ""),
    MomentKind.ALL_LOCKED: ({What.LOCKED}, ""),
    MomentKind.COMMITTED: ({What.DECIDED}, "COMMIT"),
    MomentKind.CANCELLING: ({What.DECIDED}, "CANCEL"),
    MomentKind.CLAIM_SENT: ({What.SENT}, "Unlock execution"),
    MomentKind.EXECUTED: ({What.EXECUTED}, ""),
    MomentKind.ALL_EXECUTED: ({What.EXECUTED}, ""),
    MomentKind.RETURNED: ({What.CANCELLED, What.REFUNDED}, ""),
    MomentKind.COMMIT_BY: ({What.OPENED}, ""),
    MomentKind.EXPIRY: ({What.OPENED}, ""),
}
"""Which entries of the trace may be the moment, and how their detail begins."""

_ALL: Final = {MomentKind.ALL_LOCKED: Status.LOCKED, MomentKind.ALL_EXECUTED: Status.EXECUTED}


class Watching:
    """The moments that have not come yet. Each comes once."""

    def __init__(self, world: World, id: SettlementId) -> None:
        self.world = world
        self.id = id
        self._waiting: list[tuple[Moment, Deed]] = []

    def at(self, moment: Moment, deed: Deed) -> None:
        if moment.kind in (MomentKind.START, MomentKind.AT):
            self.world.at(seconds(moment.seconds), lambda: deed("gateway-1"))
        else:
            self._waiting.append((moment, deed))

    def look(self, entry: Happened) -> None:
        """Do what was waiting for this entry."""
        due = [item for item in self._waiting if self._fits(item[0], entry)]
        for item in due:
            self._waiting.remove(item)
        for moment, deed in due:
            self._come(moment, deed, entry.node)

    def _fits(self, moment: Moment, entry: Happened) -> bool:
        whats, detail = _WHAT[moment.kind]
        if entry.what not in whats or entry.settlement != self.id:
            return False
        if not entry.detail.startswith(detail):
            return False
        if (status := _ALL.get(moment.kind)) is not None:
            held = self.world.contracts(self.id)
            return all(contract is not None and contract.status is status for contract in held)
        return moment.kind is MomentKind.EXPIRY or moment.leg in (None, entry.leg)

    def _come(self, moment: Moment, deed: Deed, node: str) -> None:
        later = max(0, seconds(moment.seconds) + self._until(moment))
        if later:
            self.world.at(later, lambda: deed(node))
        else:
            deed(node)

    def _until(self, moment: Moment) -> int:
        """How long after the opening an instant of the agreement comes, on its ledger's clock."""
        if moment.kind not in (MomentKind.COMMIT_BY, MomentKind.EXPIRY):
            return 0
        agreement = self.world.agreements[self.id]
        legs = {leg.terms.leg: leg for leg in agreement.legs}
        leg = agreement.legs[0] if moment.leg is None else legs[LegId(moment.leg)]
        until = agreement.commit_by if moment.leg is None else leg.terms.expires_at
        assert until is not None, "the scenario names a leg that expires"
        return until - self.world.ledgers[leg.ledger].read(self.world.now)
