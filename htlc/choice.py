"""Which lock protocol a swap gets, from what the ledgers of its legs can do.

`choose` takes the strongest protocol that all ledgers allow: `two_key`; else `anchored` if exactly
one leg is on a ledger without a cancellation lock; else `htlc`.
"""

from collections.abc import Sequence
from typing import Final

from htlc import schedule
from htlc.hashlock import HashFunction
from htlc.schedule import Latency
from htlc.swap import Fault, LockProtocol, Swap
from htlc.units import Instant, Value


class LedgerProfile(Value, frozen=True, kw_only=True):
    """What is known of a ledger when an agreement is drawn up."""

    two_key: bool
    htlc: bool
    functions: tuple[HashFunction, ...]
    latency: Latency
    now: Instant  # its clock, estimated


def choose(swap: Swap, profiles: Sequence[LedgerProfile]) -> LockProtocol | Fault:
    """The protocol asked for if the ledgers of the legs can serve it, else the strongest that they
    can."""
    if swap.protocol is not None:
        rule = _OBSTACLES[swap.protocol](swap, profiles)
        return Fault(field="protocol", rule=rule) if rule else swap.protocol
    for protocol, obstacle in _OBSTACLES.items():
        if not obstacle(swap, profiles):
            return protocol
    return Fault(field="legs", rule="the ledgers of these legs have no lock protocol in common")


def _two_key_obstacle(swap: Swap, profiles: Sequence[LedgerProfile]) -> str:
    if swap.secret is not None:
        return "two_key keeps both keys in the vault: no party can hold the secret"
    for n, profile in enumerate(profiles):
        if not profile.two_key:
            return f"leg {swap.legs[n].leg} is on a ledger without cancellation locks"
    return ""


def _anchor_obstacle(swap: Swap, profiles: Sequence[LedgerProfile]) -> str:
    """An anchor with a party's secret, or on a ledger without cancellation locks, is an HTLC."""
    without = [profile for profile in profiles if not profile.two_key]
    if len(without) > 1:
        return "more than one leg is on a ledger without cancellation locks"
    chosen = profiles[anchor(swap, profiles)]
    if (without or swap.secret is not None) and not chosen.htlc:
        return "the anchor's ledger has no expiring locks"
    if swap.secret is not None and swap.secret.function not in chosen.functions:
        return "the anchor's ledger does not use the hash function of the secret"
    return ""


def _htlc_obstacle(swap: Swap, profiles: Sequence[LedgerProfile]) -> str:
    for leg, profile in zip(swap.legs, profiles, strict=True):
        if not profile.htlc:
            return f"leg {leg.leg} is on a ledger without expiring locks"
        if swap.secret is not None and swap.secret.function not in profile.functions:
            return f"the ledger of leg {leg.leg} does not use the hash function of the secret"
    if swap.secret is not None and swap.secret.holder not in schedule.leaders(swap.legs):
        return f"a cycle of legs avoids the secret's holder {swap.secret.holder}"
    if not schedule.leaders(swap.legs):
        return "no party's removal leaves the legs without a cycle: nobody can lead"
    return ""


_OBSTACLES: Final = {
    LockProtocol.TWO_KEY: _two_key_obstacle,
    LockProtocol.ANCHORED: _anchor_obstacle,
    LockProtocol.HTLC: _htlc_obstacle,
}
"""Why a protocol cannot serve a swap (empty: it can), the strongest protocol first."""


def anchor(swap: Swap, profiles: Sequence[LedgerProfile]) -> int:
    """The leg that decides: the one without a cancellation lock; the one paid to the holder of a
    secret, which it claims by showing it; else the first."""
    for n, profile in enumerate(profiles):
        if not profile.two_key:
            return n
    for n, leg in enumerate(swap.legs):
        if swap.secret is not None and leg.payee.member == swap.secret.holder:
            return n
    return 0
