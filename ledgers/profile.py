"""Which locks a ledger serves, and the shape that their terms must have."""

from collections.abc import Collection

import msgspec

from htlc import trials
from htlc.contract import Terms
from htlc.hashlock import DIGEST_BYTES, HashFunction, Hashlock
from htlc.trials import Trial
from htlc.units import QUANTITY_MAX
from ledgers.names import are_ids
from ledgers.port import LockKind


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Which locks a ledger serves."""

    lock_kinds: tuple[LockKind, ...] = (LockKind.TWO_KEY, LockKind.HTLC)
    hash_functions: tuple[HashFunction, ...] = (HashFunction(),)

    def serves(self, terms: Terms) -> bool:
        """A lock without cancellation lock and expiry would trap its payer, hence the kinds; one
        key that opens both ways would let whoever sees it choose the outcome."""
        cancellation = terms.cancellation_lock
        kind = LockKind.HTLC if cancellation is None else LockKind.TWO_KEY
        return (
            kind in self.lock_kinds
            and (cancellation is not None or terms.expires_at is not None)
            and self._hashes(terms.execution_lock)
            and (cancellation is None or self._hashes(cancellation))
            and cancellation != terms.execution_lock
            and _well_formed(terms)
        )

    def _hashes(self, lock: Hashlock) -> bool:
        algorithm, encoding = lock.algorithm, lock.encoding
        for served in self.hash_functions:
            if algorithm is served.algorithm and encoding is served.encoding:
                return len(lock.digest) == DIGEST_BYTES
        return False


def trials_of(lock_kinds: Collection[LockKind]) -> tuple[Trial, ...]:
    """The trials of `htlc.trials` that a ledger with these kinds of lock makes, in their order."""
    two_key = trials.TWO_KEY if LockKind.TWO_KEY in lock_kinds else ()
    return two_key + (trials.EXPIRING if LockKind.HTLC in lock_kinds else ())


def _well_formed(terms: Terms) -> bool:
    """Names as they are spelled, instants that a signed 64-bit word holds."""
    expires_at = QUANTITY_MAX if terms.expires_at is None else terms.expires_at
    return (
        0 <= terms.lock_by <= QUANTITY_MAX
        and 0 <= expires_at <= QUANTITY_MAX
        and are_ids(terms.id, terms.settlement, terms.leg)
    )
