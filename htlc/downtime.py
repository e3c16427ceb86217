"""How long everything may be down, from now, before somebody's principal is at risk.

Only a clock that opens locks back puts a principal at risk (`htlc`, a backstop), and only once the
execution key may be out: then whoever is owed a leg must claim it before that leg expires.
"""

from collections.abc import Iterator, Mapping

from htlc.agreement import Agreement, LedgerProfile, PrincipalRisk
from htlc.events import Decision
from htlc.settlement import ENDED, FINISHED, Settlement
from htlc.units import Duration, LedgerId


def safe_downtime(state: Settlement, ledgers: Mapping[LedgerId, LedgerProfile]) -> Duration | None:
    """The outage in nanoseconds, the time to catch up included; None: no outage, however long,
    costs anybody its principal. `ledgers` tells each ledger's time as estimated now; one that is
    not there has not been heard, and its leg is counted as due at once."""
    agreement = state.agreement
    if agreement is None or agreement.risk is PrincipalRisk.NONE or state.ended:
        return None
    left = (_left(agreement, n, ledgers) for n in _exposed(state, agreement))
    soonest = min(left, default=None)
    return None if soonest is None else Duration(max(0, soonest))


def _exposed(state: Settlement, agreement: Agreement) -> Iterator[int]:
    """The legs that are to be claimed by their expiry, or are lost to whoever is owed them."""
    if not _key_may_be_out(state, agreement):
        return
    for n, leg in enumerate(state.legs):
        if leg.status in ENDED:
            continue
        # A leg that shows the key itself is no loss as long as none is executed: with it nothing
        # happens at all. (A backstop's legs all do, and any of them may be executed already.)
        if state.any_executed or agreement.backstop or n not in agreement.revealers:
            yield n


def _key_may_be_out(state: Settlement, agreement: Agreement) -> bool:
    """A leg is executed; or the vault was free to show the key, and the claim may be on its way;
    or a party holds it and may show it at any time, as long as its own leg can be claimed."""
    if state.any_executed or state.decision is Decision.COMMIT:
        return True
    return agreement.holder is not None and not any(
        state.legs[n].status in FINISHED for n in agreement.revealers
    )


def _left(agreement: Agreement, n: int, ledgers: Mapping[LedgerId, LedgerProfile]) -> int:
    """Until a claim of leg `n` must be sent at the latest, by its ledger's clock at its worst."""
    leg = agreement.legs[n]
    profile = ledgers.get(leg.ledger)
    if profile is None:
        return 0
    assert leg.terms.expires_at is not None, "every leg of an agreement with residual risk expires"
    latency = profile.latency
    return leg.terms.expires_at - profile.now - latency.skew - latency.delivery
