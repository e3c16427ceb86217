"""Agreements: a swap written out as the locks that its ledgers will hold, and what they risk."""

from collections.abc import Callable
from functools import partial

from gateway.vault import Vault
from htlc.agreement import LedgerProfile, Limits, PrincipalRisk, draw_up
from htlc.downtime import safe_downtime
from htlc.events import Decided, Decision, Opened, Reason
from htlc.settlement import Settlement
from htlc.swap import Fault, Swap
from htlc.units import Duration, LedgerId

Heard = dict[LedgerId, LedgerProfile]
"""Ledgers as they were heard at one moment."""


class Agreements:
    """Draws them up from what is known of the ledgers, the limits, and the vault's locks."""

    def __init__(
        self, vault: Vault, limits: Limits, profile: Callable[[LedgerId], LedgerProfile | None]
    ) -> None:
        self._vault = vault
        self._limits = limits
        self._profile = profile
        self.paused = False
        """After a restore, until it is known what the ledgers hold of ours: nothing is opened."""

    def opening(self, state: Settlement) -> Opened | Decided | None:
        """The event that opens a settlement: its agreement, or that it cannot be met any more;
        None as long as neither can be told."""
        if self.paused:
            return None
        drawn = self.draw(state.swap)
        if isinstance(drawn, tuple):
            return Decided(decision=Decision.CANCEL, reason=Reason.COMMIT_BY_PASSED)
        return drawn

    def draw(self, swap: Swap, heard: Heard | None = None) -> Opened | tuple[Fault, ...] | None:
        """The agreement of a swap, or its faults; None while a ledger has not been heard yet.

        `heard` are the ledgers as they were heard for another swap of the same request."""
        profiles = {} if heard is None else heard
        if not self._complete(swap, profiles):
            return None
        drawn = draw_up(swap, profiles, self._limits, partial(self._vault.lock, swap.id))
        return drawn if isinstance(drawn, tuple) else Opened(agreement=drawn)

    def safe_downtime(self, state: Settlement) -> Duration | None:
        """How long everything may be down before a principal is at risk; None: however long."""
        if state.agreement is None or state.agreement.risk is PrincipalRisk.NONE:
            return None
        profiles: Heard = {}
        self._complete(state.swap, profiles)
        return safe_downtime(state, profiles)

    def _complete(self, swap: Swap, profiles: Heard) -> bool:
        """Add the ledgers of a swap as they are heard now; whether all of them are there."""
        complete = True
        for leg in swap.legs:
            if leg.ledger not in profiles:
                profile = self._profile(leg.ledger)
                if profile is None:
                    complete = False
                else:
                    profiles[leg.ledger] = profile
        return complete
