"""Settlements that only ledgers still know: made again from their locks. Pure.

A restored journal may have lost that a settlement was ever opened. Its locks tell: their ids are
made of the settlement and the leg, and their hashes are those of our vault for it, which nobody
else could have made before we showed them. What they do not tell is whether other legs were to be
locked; `whole` says whether the legs found make sense together.
"""

from collections.abc import Callable, Sequence

import msgspec

from gateway.vault import Vault
from htlc import swap as swaps
from htlc.agreement import AgreedLeg, Agreement, Pair, PrincipalRisk, Role, htlc_id
from htlc.canonical import digest
from htlc.contract import Terms
from htlc.hashlock import Hashlock
from htlc.swap import Leg, LockProtocol, Party, Swap
from htlc.units import AccountId, Instant, LedgerId, MemberId, SettlementId

MemberOf = Callable[[LedgerId, AccountId], MemberId | None]
"""Whose account it is, if a member's."""


class FoundLock(msgspec.Struct, frozen=True, kw_only=True):
    """A lock under an id as gateways make them. `pair` is that of our vault's keys which its hashes
    belong to; None: somebody else's hash."""

    ledger: LedgerId
    terms: Terms
    locked_at: Instant
    pair: Pair | None


def recognised(
    vault: Vault, ledger: LedgerId, terms: Terms, locked_at: Instant
) -> FoundLock | None:
    """A lock as far as it can be one of ours; None for whatever cannot."""
    if terms.id != htlc_id(terms.settlement, terms.leg):
        return None
    for pair in Pair:
        if _is_vaults(vault, terms, pair):
            return FoundLock(ledger=ledger, terms=terms, locked_at=locked_at, pair=pair)
    expiring = terms.cancellation_lock is None  # its one hash may be a party's
    return (
        FoundLock(ledger=ledger, terms=terms, locked_at=locked_at, pair=None) if expiring else None
    )


def _is_vaults(vault: Vault, terms: Terms, pair: Pair) -> bool:
    def made(lock: Hashlock, role: Role) -> bool:
        return vault.lock(terms.settlement, pair, role, lock.function) == lock

    cancellation = terms.cancellation_lock
    return made(terms.execution_lock, Role.EXECUTION) and (
        cancellation is None or made(cancellation, Role.CANCELLATION)
    )


def swap_of(id: SettlementId, locks: Sequence[FoundLock], member_of: MemberOf) -> Swap | str:
    """The swap that these locks carry out, or why it cannot be told."""
    if len({lock.terms.leg for lock in locks}) < len(locks):
        return "two ledgers hold a lock for one leg"
    legs = []
    for lock in sorted(locks, key=_place):
        terms = lock.terms
        payer, payee = (member_of(lock.ledger, its) for its in (terms.payer, terms.payee))
        if payer is None or payee is None:
            return f"leg {terms.leg} has an account that is no member's"
        legs.append(
            Leg(
                leg=terms.leg,
                ledger=lock.ledger,
                asset=terms.asset,
                quantity=terms.quantity,
                payer=Party(member=payer, account=terms.payer),
                payee=Party(member=payee, account=terms.payee),
            )
        )
    return Swap(id=id, legs=tuple(legs), protocol=protocol_of(locks))


def _place(lock: FoundLock) -> tuple[bool, LedgerId, str]:
    """The anchor first: it decides, and is drawn up again as the first leg."""
    return lock.pair is not Pair.ANCHOR, lock.ledger, lock.terms.leg


def protocol_of(locks: Sequence[FoundLock]) -> LockProtocol:
    """The lock protocol under which such locks are placed."""
    if any(lock.pair is Pair.ANCHOR for lock in locks):
        return LockProtocol.ANCHORED
    if all(lock.terms.cancellation_lock is None for lock in locks):
        return LockProtocol.HTLC
    return LockProtocol.TWO_KEY


def whole(swap: Swap) -> bool:
    """Whether these legs can be all there were: a swap is strongly connected (`swaps.check`)."""
    return not swaps.check(swap, legs_max=len(swap.legs))


def as_found(drawn: Agreement, locks: Sequence[FoundLock]) -> Agreement | str:
    """The agreement with the terms that its ledgers hold, where they hold some; or why not.

    Hashes come from the vault and are the same whenever they are drawn up; times are not."""
    held = {lock.terms.id: lock for lock in locks}
    legs = []
    for leg in drawn.legs:
        lock = held.pop(leg.terms.id, None)
        if lock is not None:
            timed = msgspec.structs.replace(
                leg.terms, lock_by=lock.terms.lock_by, expires_at=lock.terms.expires_at
            )
            pair = lock.pair or leg.pair  # a party's hash is compared with the terms
            if (timed, leg.pair, leg.ledger) != (lock.terms, pair, lock.ledger):
                return f"leg {leg.terms.leg} is locked on other terms than were agreed"
            leg = msgspec.structs.replace(leg, terms=lock.terms)
        legs.append(leg)
    if held:
        return f"{len(held)} locks belong to no leg of it"
    return msgspec.structs.replace(drawn, legs=tuple(legs))


def as_they_are(swap: Swap, locks: Sequence[FoundLock]) -> Agreement:
    """The agreement of just these locks, where they make no whole swap: no COMMIT can have been
    recorded, and they go back; or one of them is executed, so that it was, and they follow."""
    by_leg = {lock.terms.leg: lock for lock in locks}
    found = [by_leg[leg.leg] for leg in swap.legs]
    expiring = any(lock.terms.cancellation_lock is None for lock in found)
    return Agreement(
        settlement=swap.id,
        protocol=LockProtocol.TWO_KEY,
        legs=tuple(
            AgreedLeg(
                ledger=lock.ledger,
                payer=leg.payer.member,
                payee=leg.payee.member,
                terms=lock.terms,
                pair=lock.pair or Pair.LEGS,
            )
            for leg, lock in zip(swap.legs, found, strict=True)
        ),
        commit_by=found[0].locked_at,  # on the ledger of leg 0, and past
        risk=PrincipalRisk.RESIDUAL if expiring else PrincipalRisk.NONE,
    )


def moved(swap: Swap) -> dict[str, list[str]]:
    """What each leg moves from where to where."""
    return {
        leg.leg: [leg.ledger, leg.asset, str(leg.quantity), leg.payer.account, leg.payee.account]
        for leg in swap.legs
    }


def fingerprint(swap: Swap) -> bytes:
    """SHA-256 of what a swap moves, whatever its id."""
    return digest(moved(swap))
