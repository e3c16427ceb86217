"""Which lock protocol a swap gets, from what the ledgers of its legs can do.

`choose` takes the strongest protocol that all ledgers allow: `two_key`; else `anchored` if exactly
one leg is on a ledger without a cancellation lock; else `htlc`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from htlc import schedule
from htlc.hashlock import HashFunction
from htlc.schedule import Latency
from htlc.swap import Fault, LockProtocol, Swap
from htlc.units import Instant, LedgerId, LegId, Value


class LedgerProfile(Value, frozen=True, kw_only=True):
    """What is known of a ledger when an agreement is drawn up."""

    two_key: bool
    htlc: bool
    functions: tuple[HashFunction, ...]
    latency: Latency
    now: Instant  # its clock, estimated


def choose(swap: Swap, ledgers: Mapping[LedgerId, LedgerProfile]) -> LockProtocol | Fault:
    """The protocol asked for if the ledgers can serve it, else the strongest that they can."""
    profiles = [ledgers[leg.ledger] for leg in swap.legs]
    without = [leg.leg for leg, p in zip(swap.legs, profiles, strict=True) if not p.two_key]
    if swap.protocol is not None:
        rule = _rule_broken(swap, swap.protocol, profiles, without)
        return Fault(field="protocol", rule=rule) if rule else swap.protocol
    for protocol in _STRONGEST_FIRST:
        if not _rule_broken(swap, protocol, profiles, without):
            return protocol
    return Fault(field="legs", rule="the ledgers of these legs have no lock protocol in common")


_STRONGEST_FIRST: Final = tuple(LockProtocol)


def _rule_broken(
    swap: Swap, protocol: LockProtocol, profiles: Sequence[LedgerProfile], without: list[LegId]
) -> str:
    match protocol:
        case LockProtocol.TWO_KEY:
            return _two_key_obstacle(swap, without)
        case LockProtocol.ANCHORED:
            return _anchor_obstacle(swap, profiles, without)
        case LockProtocol.HTLC:
            return _htlc_obstacle(swap, profiles)


def _two_key_obstacle(swap: Swap, without: list[LegId]) -> str:
    if swap.secret is not None:
        return "two_key keeps both keys in the vault: no party can hold the secret"
    return f"leg {without[0]} is on a ledger without cancellation locks" if without else ""


def _anchor_obstacle(swap: Swap, profiles: Sequence[LedgerProfile], without: list[LegId]) -> str:
    """An anchor with a party's secret, or on a ledger without cancellation locks, is an HTLC."""
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
