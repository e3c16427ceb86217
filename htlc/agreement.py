"""From what parties agree to what ledgers will hold: protocol, locks, times, and the risk left.

`choice.choose` takes the strongest protocol that all ledgers allow; `draw_up` then writes every
lock out in full. An agreement is journalled before the first lock leaves, and never changes.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from htlc import choice, schedule
from htlc.choice import LedgerProfile, choose
from htlc.contract import Terms
from htlc.hashlock import HashFunction, Hashlock
from htlc.swap import ANCHORED, TWO_KEY, Fault, Leg, LockProtocol, Swap
from htlc.units import (
    Duration,
    HtlcId,
    Instant,
    LedgerId,
    LegId,
    MemberId,
    SettlementId,
    Value,
    after,
)

__all__ = [
    "TRUSTS",
    "AgreedLeg",
    "Agreement",
    "LedgerProfile",
    "Limits",
    "Locks",
    "Pair",
    "PrincipalRisk",
    "Role",
    "choose",
    "draw_up",
    "htlc_id",
]


class PrincipalRisk(StrEnum):
    """Whether a party can lose the whole of its leg (CPMI-IOSCO PFMI, principle 12)."""

    NONE = "none"
    RESIDUAL = "residual"


class Pair(StrEnum):
    """Which pair of keys opens a leg."""

    LEGS = "legs"
    ANCHOR = "anchor"


class Role(StrEnum):
    """Which key of the pair."""

    EXECUTION = "execution"
    CANCELLATION = "cancellation"


EXECUTION: Final = Role.EXECUTION
"""For where it is asked for at every turn (the reason is told in `leg`)."""


class Limits(Value, frozen=True, kw_only=True):
    """The time budget of an agreement; configuration."""

    lock_within: Duration  # from now until no leg may be locked any more
    commit_within: Duration  # from now until the decision must be taken
    recovery: Duration  # outage that an `htlc` settlement survives after the first claim
    backstop: Duration | None = None  # optional far expiry of `two_key` legs, after commit_by


_NO_MARGIN: Final = Duration(0)
"""Of a leg without an expiry."""


class AgreedLeg(Value, frozen=True, kw_only=True, omit_defaults=True):
    """One leg as its ledger will hold it. `margin` is what must be left before its `expires_at`
    when the key is shown for the first time; 0 without an expiry."""

    ledger: LedgerId
    payer: MemberId
    payee: MemberId
    terms: Terms
    pair: Pair = Pair.LEGS
    margin: Duration = _NO_MARGIN


class Agreement(Value, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that is fixed once a settlement is open. It is journalled, with `omit_defaults` as
    every event: what was said."""

    settlement: SettlementId
    protocol: LockProtocol
    legs: tuple[AgreedLeg, ...]
    commit_by: Instant  # of the ledger of leg 0
    anchor: int | None = None
    holder: MemberId | None = None  # who holds the secret; None is the gateway's vault
    risk: PrincipalRisk = PrincipalRisk.NONE
    outage_max: Duration | None = None  # `htlc`: the outage that the expiries allow for

    @property
    def backstop(self) -> bool:
        """Whether legs of `two_key` carry the optional far expiry."""
        return self.protocol is TWO_KEY and self.legs[0].terms.expires_at is not None

    @property
    def revealers(self) -> tuple[int, ...]:
        """The legs whose execution shows the execution key for the first time."""
        if self.protocol is TWO_KEY:
            return tuple(range(len(self.legs)))
        if self.protocol is ANCHORED:
            assert self.anchor is not None
            return (self.anchor,)
        expiries = [leg.terms.expires_at or 0 for leg in self.legs]
        return tuple(i for i, at in enumerate(expiries) if at == min(expiries))


TRUSTS: Final = {
    LockProtocol.TWO_KEY: "the gateway's operator to be honest; the journal to lose nothing",
    LockProtocol.ANCHORED: "the gateway's operator to be honest",
    LockProtocol.HTLC: "each party its own watch",
}
"""Whom a settlement trusts, told with every answer (design of the lock protocols)."""


Locks = Callable[[Pair, Role, HashFunction], Hashlock]
"""The vault's side of an agreement: the lock that its key for (pair, role) opens on a ledger with
that hash function. The keys themselves never come here."""

_LEG_BYTES: Final = 6
"""Bytes of an id that tell the legs of one settlement apart: 48 bits, for a handful of legs."""


def htlc_id(settlement: SettlementId, leg: LegId) -> HtlcId:
    """The id of a leg's lock: the first ten bytes of its settlement's (so that both sort together
    in every index), then a digest of both names."""
    tail = hashlib.sha256(f"{settlement}/{leg}".encode()).hexdigest()[: 2 * _LEG_BYTES]
    return HtlcId(f"{settlement[: -2 * _LEG_BYTES]}{tail}")


def draw_up(
    swap: Swap, ledgers: Mapping[LedgerId, LedgerProfile], limits: Limits, locks: Locks
) -> Agreement | tuple[Fault, ...]:
    """Write a sound swap out as an agreement, or say what in it cannot be met."""
    profiles = [ledgers[leg.ledger] for leg in swap.legs]
    protocol = choose(swap, profiles)
    if isinstance(protocol, Fault):
        return (protocol,)
    first = profiles[0]
    commit_by = swap.commit_by or Instant(first.now + limits.commit_within)
    if commit_by <= first.now + first.latency.skew:
        return (Fault(field="commit_by", rule="lies in the future of the ledger of the first leg"),)
    match protocol:
        case LockProtocol.TWO_KEY:
            return _two_key(swap, profiles, limits, commit_by, locks)
        case LockProtocol.ANCHORED:
            return _anchored(swap, profiles, limits, commit_by, locks)
        case LockProtocol.HTLC:
            return _htlc(swap, profiles, limits, commit_by, locks)


def _two_key(
    swap: Swap,
    profiles: Sequence[LedgerProfile],
    limits: Limits,
    commit_by: Instant,
    locks: Locks,
) -> Agreement | tuple[Fault, ...]:
    if stray := _stray_expiries(swap.legs, None):
        return stray
    far, margins = None, [_NO_MARGIN] * len(profiles)
    if limits.backstop is not None:
        far = after(commit_by, limits.backstop)
        margins = [_backstop_margin(profiles, n, limits) for n in range(len(profiles))]
        if near := _backstop_too_near(margins, limits.backstop):
            return near
    legs, function = [], profiles[0].functions[0]
    execution, cancellation = _both(locks, function)
    for n, profile in enumerate(profiles):
        if profile.functions[0] != function:  # legs on ledgers that hash alike share their locks
            function = profile.functions[0]
            execution, cancellation = _both(locks, function)
        lock_by = _lock_by(profile, limits, commit_by)
        legs.append(
            _agreed(
                swap.id,
                swap.legs[n],
                lock_by,
                execution=execution,
                cancellation=cancellation,
                expires_at=far,
                margin=margins[n],
            )
        )
    return Agreement(
        settlement=swap.id,
        protocol=LockProtocol.TWO_KEY,
        legs=tuple(legs),
        commit_by=commit_by,
        risk=PrincipalRisk.RESIDUAL if far else PrincipalRisk.NONE,
        outage_max=limits.recovery if far else None,
    )


def _both(locks: Locks, function: HashFunction) -> tuple[Hashlock, Hashlock]:
    execution = _lock(locks, Pair.LEGS, Role.EXECUTION, function)
    return execution, _lock(locks, Pair.LEGS, Role.CANCELLATION, function)


def _lock(locks: Locks, pair: Pair, role: Role, function: HashFunction) -> Hashlock:
    lock = locks(pair, role, function)
    assert lock.algorithm is function.algorithm, "its ledger can open it"
    assert lock.encoding is function.encoding, "as above"
    return lock


def _backstop_margin(profiles: Sequence[LedgerProfile], n: int, limits: Limits) -> Duration:
    """What must be left when the key is first shown: leg `n` is claimed and found final, then all
    is down for the recovery time, then any other leg is claimed."""
    windows = (
        schedule.window(profiles[n].latency, profile.latency, limits.recovery)
        for m, profile in enumerate(profiles)
        if m != n
    )
    return Duration(profiles[n].latency.delivery + max(windows))


def _backstop_too_near(margins: Sequence[Duration], backstop: Duration) -> tuple[Fault, ...]:
    """Nothing could ever be committed under such a backstop."""
    return tuple(
        Fault(field="backstop", rule=f"lies more than {margin} ns after commit_by (leg {n})")
        for n, margin in enumerate(margins)
        if backstop <= margin
    )


def _anchored(
    swap: Swap,
    profiles: Sequence[LedgerProfile],
    limits: Limits,
    commit_by: Instant,
    locks: Locks,
) -> Agreement | tuple[Fault, ...]:
    anchor = choice.anchor(swap, profiles)
    expiring = not profiles[anchor].two_key or swap.secret is not None
    if stray := _stray_expiries(swap.legs, anchor if expiring else None):
        return stray
    claim = profiles[anchor].latency.claim
    expires_at = swap.legs[anchor].expires_at or after(commit_by, claim, claim)
    if expiring and expires_at < after(commit_by, claim):
        return (
            Fault(
                field=f"legs[{anchor}].expires_at",
                rule=f"lies at least {claim} ns after commit_by: its claim takes that long",
            ),
        )

    def leg(n: int) -> AgreedLeg:
        pair = Pair.ANCHOR if n == anchor else Pair.LEGS
        function = profiles[n].functions[0]
        htlc = n == anchor and expiring
        party_lock = _party_lock(swap, profiles[n]) if n == anchor else None
        return _agreed(
            swap.id,
            swap.legs[n],
            _lock_by(profiles[n], limits, commit_by),
            pair=pair,
            execution=party_lock or _lock(locks, pair, Role.EXECUTION, function),
            cancellation=None if htlc else _lock(locks, pair, Role.CANCELLATION, function),
            expires_at=expires_at if htlc else None,
            margin=claim if htlc else _NO_MARGIN,
        )

    return Agreement(
        settlement=swap.id,
        protocol=LockProtocol.ANCHORED,
        legs=tuple(leg(n) for n in range(len(swap.legs))),
        commit_by=commit_by,
        anchor=anchor,
        holder=swap.secret.holder if swap.secret else None,
    )


def _htlc(
    swap: Swap,
    profiles: Sequence[LedgerProfile],
    limits: Limits,
    commit_by: Instant,
    locks: Locks,
) -> Agreement | tuple[Fault, ...]:
    leader = swap.secret.holder if swap.secret else schedule.leaders(swap.legs)[0]
    latencies = [profile.latency for profile in profiles]
    plan = schedule.draw(
        swap.legs, latencies, leader, recovery=limits.recovery, first_claim_by=commit_by
    )
    unsafe = schedule.faults(
        swap.legs, latencies, leader, plan.expires_at, recovery=limits.recovery
    ) + _too_near(swap.legs, plan, commit_by)
    if unsafe:
        return unsafe
    legs = tuple(
        _agreed(
            swap.id,
            leg,
            _lock_by(profiles[n], limits, commit_by),
            execution=_party_lock(swap, profiles[n])
            or _lock(locks, Pair.LEGS, Role.EXECUTION, profiles[n].functions[0]),
            cancellation=None,
            expires_at=plan.expires_at[n],
            margin=plan.margin[n],
        )
        for n, leg in enumerate(swap.legs)
    )
    return Agreement(
        settlement=swap.id,
        protocol=LockProtocol.HTLC,
        legs=legs,
        commit_by=commit_by,
        holder=swap.secret.holder if swap.secret else None,
        risk=PrincipalRisk.RESIDUAL,
        outage_max=plan.outage_max,
    )


def _too_near(
    legs: Sequence[Leg], plan: schedule.Schedule, commit_by: Instant
) -> tuple[Fault, ...]:
    """An expiry that is gone, or closer than its margin, when the decision may still be taken."""
    return tuple(
        Fault(
            field=f"legs[{n}].expires_at",
            rule=f"lies more than {plan.margin[n]} ns (its margin) after commit_by",
        )
        for n in range(len(legs))
        if plan.expires_at[n] <= after(commit_by, plan.margin[n])
    )


def _stray_expiries(legs: Sequence[Leg], anchor: int | None) -> tuple[Fault, ...]:
    faults: list[Fault] = []
    for n, leg in enumerate(legs):
        if leg.expires_at is not None and n != anchor:
            rule = "a two-key lock has no expiry of its own"
            faults.append(Fault(field=f"legs[{n}].expires_at", rule=rule))
    return tuple(faults)


def _party_lock(swap: Swap, profile: LedgerProfile) -> Hashlock | None:
    if swap.secret is None:
        return None
    function = swap.secret.function
    assert function in profile.functions, "chosen from what the ledger serves"
    return Hashlock(
        algorithm=function.algorithm, encoding=function.encoding, digest=swap.secret.digest
    )


def _lock_by(profile: LedgerProfile, limits: Limits, commit_by: Instant) -> Instant:
    """A lock that is not there by then never will be: how soon a refused attempt is over."""
    last = Instant(profile.now + limits.lock_within + profile.latency.skew)
    return last if last < commit_by else commit_by


def _agreed(
    settlement: SettlementId,
    leg: Leg,
    lock_by: Instant,
    *,
    execution: Hashlock,
    cancellation: Hashlock | None,
    pair: Pair = Pair.LEGS,
    expires_at: Instant | None = None,
    margin: Duration = _NO_MARGIN,
) -> AgreedLeg:
    payer, payee = leg.payer, leg.payee
    return AgreedLeg(
        ledger=leg.ledger,
        payer=payer.member,
        payee=payee.member,
        pair=pair,
        margin=margin,
        terms=Terms(
            id=htlc_id(settlement, leg.leg),
            settlement=settlement,
            leg=leg.leg,
            payer=payer.account,
            payee=payee.account,
            asset=leg.asset,
            quantity=leg.quantity,
            execution_lock=execution,
            cancellation_lock=cancellation,
            lock_by=lock_by,
            expires_at=expires_at,
        ),
    )
