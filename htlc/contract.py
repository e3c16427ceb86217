"""One lock on one ledger: the contract type that every ledger serves, and how it ends.

Theory of operation
-------------------
A contract is made by `lock` and ends exactly once:

    LOCKED -> EXECUTED    with the execution key, before its expiry if it has one: pays the payee
    LOCKED -> CANCELLED   with the cancellation key: back to the payer
    LOCKED -> CANCELLED   by the clock (refund), at or after its expiry: back to the payer

The payout is fixed when the lock is made, so anybody who has the key may submit it. The boundary
is exact: a lock needs `now < lock_by`, a claim `now < expires_at`, a refund `now >= expires_at`,
all on the ledger's own clock. A contract is never forgotten; an ended one answers with how it ended
and with the key that opened it.

What a ledger says is an `Answer`: what IS, and beside it why it would not do what it was asked. A
refusal is therefore a fact like any other: ALREADY_EXECUTED to a cancel tells the outcome.
"""

from enum import StrEnum

from htlc.hashlock import Hashlock
from htlc.units import AccountId, AssetId, HtlcId, Instant, LegId, Quantity, SettlementId, Value


class Terms(Value, frozen=True, kw_only=True, omit_defaults=True):
    """What a lock says, agreed before it is made and never changed.

    `execution_lock` opens towards the payee, `cancellation_lock` back to the payer; `lock_by` and
    `expires_at` are instants of the ledger that holds the lock."""

    id: HtlcId
    settlement: SettlementId
    leg: LegId
    payer: AccountId
    payee: AccountId
    asset: AssetId
    quantity: Quantity
    execution_lock: Hashlock
    cancellation_lock: Hashlock | None = None
    lock_by: Instant
    expires_at: Instant | None = None


class Status(StrEnum):
    LOCKED = "LOCKED"
    EXECUTED = "EXECUTED"
    CANCELLED = "CANCELLED"


class Htlc(Value, frozen=True, kw_only=True):
    """A contract on a ledger. `key` is the preimage that ended it; an ended contract without one
    was refunded by the clock."""

    terms: Terms
    status: Status
    locked_at: Instant
    ended_at: Instant | None = None
    key: bytes | None = None


class Refusal(StrEnum):
    """Why a ledger did not do what it was asked: an expected business outcome, never an error."""

    # Lasting: this lock will not be made, whatever is tried.
    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"  # available is smaller than the quantity
    UNKNOWN_ACCOUNT = "UNKNOWN_ACCOUNT"
    ACCOUNT_BLOCKED = "ACCOUNT_BLOCKED"  # stops new locks, never an execute or cancel
    UNKNOWN_ASSET = "UNKNOWN_ASSET"
    TERMS_REFUSED = "TERMS_REFUSED"  # kind of lock, hash function or parties not served here
    NOT_AUTHORISED = "NOT_AUTHORISED"  # neither the owner nor a mandate that covers it
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"  # a balance or an issue would not fit 63 bits
    TOO_LATE = "TOO_LATE"  # at >= lock_by
    CONFLICT = "CONFLICT"  # the id is known with other content

    # Facts about a contract that exists, or does not.
    UNKNOWN_CONTRACT = "UNKNOWN_CONTRACT"
    ALREADY_EXECUTED = "ALREADY_EXECUTED"
    ALREADY_CANCELLED = "ALREADY_CANCELLED"
    WRONG_KEY = "WRONG_KEY"  # does not open this lock, or is not 32 bytes long
    NO_CANCELLATION_LOCK = "NO_CANCELLATION_LOCK"
    NO_EXPIRY = "NO_EXPIRY"
    EXPIRED = "EXPIRED"  # a claim at >= expires_at
    NOT_EXPIRED = "NOT_EXPIRED"  # a refund at < expires_at

    # Transient: the same request may succeed later.
    OVERLOADED = "OVERLOADED"


LASTING: frozenset[Refusal] = frozenset(
    {
        Refusal.INSUFFICIENT_BALANCE,
        Refusal.UNKNOWN_ACCOUNT,
        Refusal.ACCOUNT_BLOCKED,
        Refusal.UNKNOWN_ASSET,
        Refusal.TERMS_REFUSED,
        Refusal.NOT_AUTHORISED,
        Refusal.LIMIT_EXCEEDED,
        Refusal.TOO_LATE,
        Refusal.CONFLICT,
    }
)
"""The refusals of a lock that lead to CANCEL (design rule 3); all others are tried again."""


class Answer(Value, frozen=True, kw_only=True):
    """What a ledger says about one operation or one contract.

    `at` is the ledger's clock, read in the same serial state as the rest; `final` says that nothing
    can undo what is told; `htlc` is the contract as it IS, None if there is none."""

    at: Instant
    final: bool = True
    htlc: Htlc | None = None
    refusal: Refusal | None = None


class Unknown(Value, frozen=True, kw_only=True):
    """No answer (cut connection, deadline, overload): no fact, and it opens no key."""

    why: str = ""


def lock(terms: Terms, at: Instant) -> Htlc | Refusal:
    """Make the lock. Balances, accounts and authority are the ledger's own business (`book`)."""
    if at >= terms.lock_by:
        return Refusal.TOO_LATE
    return Htlc(terms=terms, status=Status.LOCKED, locked_at=at)


def execute(htlc: Htlc, key: bytes, at: Instant) -> Htlc | Refusal:
    """Claim for the payee. A replay with the right key finds the contract as it left it."""
    if htlc.status is Status.CANCELLED:
        return Refusal.ALREADY_CANCELLED
    if htlc.status is Status.EXECUTED:
        return htlc if key == htlc.key else Refusal.ALREADY_EXECUTED
    if not htlc.terms.execution_lock.opens(key):
        return Refusal.WRONG_KEY
    if htlc.terms.expires_at is not None and at >= htlc.terms.expires_at:
        return Refusal.EXPIRED
    return _end(htlc, Status.EXECUTED, key, at)


def cancel(htlc: Htlc, key: bytes, at: Instant) -> Htlc | Refusal:
    """Open the lock back to the payer, at any time, with the cancellation key."""
    if htlc.status is Status.EXECUTED:
        return Refusal.ALREADY_EXECUTED
    if htlc.status is Status.CANCELLED:
        return htlc if key == htlc.key else Refusal.ALREADY_CANCELLED
    if htlc.terms.cancellation_lock is None:
        return Refusal.NO_CANCELLATION_LOCK
    if not htlc.terms.cancellation_lock.opens(key):
        return Refusal.WRONG_KEY
    return _end(htlc, Status.CANCELLED, key, at)


def refund(htlc: Htlc, at: Instant) -> Htlc | Refusal:
    """Give an expired lock back to the payer."""
    if htlc.status is Status.EXECUTED:
        return Refusal.ALREADY_EXECUTED
    if htlc.status is Status.CANCELLED:
        return htlc if htlc.key is None else Refusal.ALREADY_CANCELLED
    if htlc.terms.expires_at is None:
        return Refusal.NO_EXPIRY
    if at < htlc.terms.expires_at:
        return Refusal.NOT_EXPIRED
    return _end(htlc, Status.CANCELLED, None, at)


def _end(htlc: Htlc, status: Status, key: bytes | None, at: Instant) -> Htlc:
    return Htlc(terms=htlc.terms, status=status, locked_at=htlc.locked_at, ended_at=at, key=key)
