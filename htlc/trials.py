"""Trials of a ledger before the first lock on it (rule 5): throw-away locks that no ledger keeps.

What a ledger says of the digest of a probe tells how it hashes. Whether it opens a lock for a
preimage of another length, and at which tick a claim becomes too late and a refund possible, would
show in the first settlement that is one-legged because of it. So each ledger judges these trials by
the code that judges its real locks, without any effect, and tells what came of them; the gateway
knows what has to.
"""

from typing import Final, Protocol

import msgspec

from htlc.contract import Htlc, Refusal, Status, Terms
from htlc.hashlock import PROBE_PREIMAGE, HashFunction, Hashlock
from htlc.units import AccountId, AssetId, HtlcId, Instant, LegId, Quantity, SettlementId


class Rules(Protocol):
    """How a ledger judges its locks; the module `htlc.contract` is one."""

    def lock(self, terms: Terms, at: Instant) -> Htlc | Refusal: ...
    def execute(self, htlc: Htlc, key: bytes, at: Instant) -> Htlc | Refusal: ...
    def cancel(self, htlc: Htlc, key: bytes, at: Instant) -> Htlc | Refusal: ...
    def refund(self, htlc: Htlc, at: Instant) -> Htlc | Refusal: ...


LOCK_BY: Final = Instant(1_000)
EXPIRES_AT: Final = Instant(2_000)
"""Of every throw-away lock, on a ledger time that is nobody's."""

SHORT: Final = PROBE_PREIMAGE[:-1]
LONG: Final = PROBE_PREIMAGE + b"\x20"
"""Preimages of 31 and 33 bytes. The locks that they are tried on have their digests: only their
length keeps those shut."""


OTHER: Final = PROBE_PREIMAGE[::-1]
"""The key of the lock that is not tried: one key for both would be refused by a ledger."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One operation at one instant on a lock whose keys are `key`, and what must come of it.
    `expiring`: the trial needs locks with an expiry; else those with a cancellation lock."""

    name: str
    operation: str
    at: Instant
    expected: str  # a Status or a Refusal
    expiring: bool
    key: bytes


def _trials(
    expiring: bool, *rows: tuple[str, str, int, Status | Refusal, bytes]
) -> tuple[Trial, ...]:
    return tuple(
        Trial(
            name=name,
            operation=operation,
            at=Instant(at),
            expected=expected,
            expiring=expiring,
            key=key,
        )
        for name, operation, at, expected, key in rows
    )


_EITHER: Final = (
    ("a lock just before lock_by", "lock", LOCK_BY - 1, Status.LOCKED, PROBE_PREIMAGE),
    ("a lock at lock_by", "lock", LOCK_BY, Refusal.TOO_LATE, PROBE_PREIMAGE),
    ("a claim with its key", "execute", LOCK_BY, Status.EXECUTED, PROBE_PREIMAGE),
    ("a claim with 31 bytes", "execute", LOCK_BY, Refusal.WRONG_KEY, SHORT),
    ("a claim with 33 bytes", "execute", LOCK_BY, Refusal.WRONG_KEY, LONG),
)
TWO_KEY: Final = _trials(
    False,
    *_EITHER,
    ("a cancellation with its key", "cancel", LOCK_BY, Status.CANCELLED, PROBE_PREIMAGE),
    ("a cancellation with 31 bytes", "cancel", LOCK_BY, Refusal.WRONG_KEY, SHORT),
    ("a cancellation with 33 bytes", "cancel", LOCK_BY, Refusal.WRONG_KEY, LONG),
)
EXPIRING: Final = _trials(
    True,
    *_EITHER,
    (
        "a claim just before expiry",
        "execute",
        EXPIRES_AT - 1,
        Status.EXECUTED,
        PROBE_PREIMAGE,
    ),
    ("a claim at expiry", "execute", EXPIRES_AT, Refusal.EXPIRED, PROBE_PREIMAGE),
    (
        "a refund just before expiry",
        "refund",
        EXPIRES_AT - 1,
        Refusal.NOT_EXPIRED,
        PROBE_PREIMAGE,
    ),
    ("a refund at expiry", "refund", EXPIRES_AT, Status.CANCELLED, PROBE_PREIMAGE),
)
"""The trials, in the order in which their outcomes are told."""


def outcomes(function: HashFunction, rules: Rules, trials: tuple[Trial, ...]) -> tuple[str, ...]:
    """What comes of the trials on a ledger that hashes and judges so."""
    return tuple(_outcome(function, rules, trial) for trial in trials)


def fault(told: tuple[str, ...], trials: tuple[Trial, ...]) -> str | None:
    """The first trial that did not come out as it must, in words; None if all did."""
    if len(told) != len(trials):
        return f"it tells of {len(told)} trials of locks, there are {len(trials)}"
    for trial, found in zip(trials, told, strict=True):
        if found != trial.expected:
            return f"{trial.name} is {found} there, it must be {trial.expected}"
    return None


def _outcome(function: HashFunction, rules: Rules, trial: Trial) -> str:
    terms = _terms(function, trial)
    if trial.operation == "lock":
        return _said(rules.lock(terms, trial.at))
    locked = rules.lock(terms, Instant(LOCK_BY - 1))
    if isinstance(locked, Refusal):
        return _said(locked)
    match trial.operation:
        case "execute":
            return _said(rules.execute(locked, trial.key, trial.at))
        case "cancel":
            return _said(rules.cancel(locked, trial.key, trial.at))
        case _:
            return _said(rules.refund(locked, trial.at))


def _said(made: Htlc | Refusal) -> str:
    return str(made if isinstance(made, Refusal) else made.status)


def _terms(function: HashFunction, trial: Trial) -> Terms:
    tried = Hashlock(
        algorithm=function.algorithm,
        encoding=function.encoding,
        digest=function.digest(trial.key),
    )
    other = function.lock(OTHER)
    cancels = trial.operation == "cancel"
    nobody = "00000000-0000-0000-0000-000000000000"
    return Terms(
        id=HtlcId(nobody),
        settlement=SettlementId(nobody),
        leg=LegId("TRIAL"),
        payer=AccountId("payer"),
        payee=AccountId("payee"),
        asset=AssetId("asset"),
        quantity=Quantity(1),
        execution_lock=other if cancels else tried,
        cancellation_lock=None if trial.expiring else tried if cancels else other,
        lock_by=LOCK_BY,
        expires_at=EXPIRES_AT if trial.expiring else None,
    )
