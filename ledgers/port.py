"""What a ledger is: the one interface between the gateway and any ledger, ours or foreign.

A ledger keeps accounts and contracts (`htlc.contract`), takes operations in batches and answers
each for itself, reads contracts by id, and tells its facts in order. Its own clock decides about
its locks. Every operation is idempotent by an id that the client makes: the same id with the same
content has no second effect and gets the same answer; with other content it is a CONFLICT.

An implementation is done when it passes `tests/ledgers/conformance.py`.
"""

from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from htlc.contract import Answer, Htlc, Refusal, Terms, Unknown
from htlc.hashlock import HashFunction
from htlc.units import AccountId, AssetId, Duration, HtlcId, Instant, LedgerId, Quantity, Value

__all__ = [
    "Answer",
    "AssetDescription",
    "Cancel",
    "Cursor",
    "Description",
    "Execute",
    "Fact",
    "Htlc",
    "Issue",
    "Ledger",
    "LedgerUnreachable",
    "Lock",
    "LockKind",
    "Operation",
    "Redeem",
    "Refund",
    "Refusal",
    "Terms",
    "Transfer",
    "Unknown",
]


class Lock(Value, frozen=True, kw_only=True, tag="lock", tag_field="op"):
    """Make a contract on `terms`; the payer's, or an operator's who holds the payer's mandate."""

    terms: Terms


class Execute(Value, frozen=True, kw_only=True, tag="execute", tag_field="op"):
    """Claim for the payee. Anyone's who has the key."""

    id: HtlcId
    key: bytes


class Cancel(Value, frozen=True, kw_only=True, tag="cancel", tag_field="op"):
    """Open back to the payer. Anyone's who has the cancellation key."""

    id: HtlcId
    key: bytes


class Refund(Value, frozen=True, kw_only=True, tag="refund", tag_field="op"):
    """Give an expired lock back to the payer. Anyone's."""

    id: HtlcId


class Issue(Value, frozen=True, kw_only=True, tag="issue", tag_field="op"):
    """Create a quantity on an account against the asset's counter-account. The issuer's or the
    central bank's."""

    id: str
    account: AccountId
    asset: AssetId
    quantity: Quantity


class Redeem(Value, frozen=True, kw_only=True, tag="redeem", tag_field="op"):
    """Take a quantity back out of an account. The issuer's or the central bank's."""

    id: str
    account: AccountId
    asset: AssetId
    quantity: Quantity


class Transfer(Value, frozen=True, kw_only=True, tag="transfer", tag_field="op"):
    """Move a quantity, free of any condition. The owner's of the debited account; between accounts
    of one owner also an operator's who holds its mandate."""

    id: str
    debit: AccountId
    credit: AccountId
    asset: AssetId
    quantity: Quantity


Operation = Lock | Execute | Cancel | Refund | Issue | Redeem | Transfer


class LockKind(StrEnum):
    """The kinds of lock that a ledger can hold."""

    TWO_KEY = "two_key"  # execution and cancellation lock, needs no expiry
    HTLC = "htlc"  # execution lock and expiry


class AssetDescription(msgspec.Struct, frozen=True, kw_only=True):
    """An asset a ledger keeps; `scale` is the number of decimals of its public notation."""

    asset: AssetId
    scale: int
    quantity_type: str = "Unit"  # FaceAmt | Unit for securities, Ccy for money


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What a ledger says it can do. `probe` is its digest, as it computes it, of
    `htlc.hashlock.PROBE_PREIMAGE`: a gateway compares before it trusts the declaration."""

    ledger: LedgerId
    lock_kinds: tuple[LockKind, ...]
    hash_functions: tuple[HashFunction, ...]
    probe: tuple[bytes, ...]  # one digest per hash function, in their order
    at: Instant
    finality: Duration  # from an answer to its being final; 0 where every answer is final
    skew: Duration  # how far its clock may be off true time
    assets: tuple[AssetDescription, ...] = ()
    public_key: bytes = b""  # Ed25519, signs the blocks; pin it from configuration
    trials: tuple[tuple[str, ...], ...] = ()  # outcomes of `htlc.trials`, per hash function


class LedgerUnreachable(Exception):
    """No answer to a question that has no Unknown (`describe`, `facts`): ask again later."""


Cursor = str
"""An opaque place in the order of a ledger's facts; the empty text is the beginning."""


class Fact(Value, frozen=True, kw_only=True):
    """One effect, as it stands in a block: what happened, in the ledger's own order."""

    cursor: Cursor
    at: Instant
    kind: str  # the operation's tag
    id: str  # of the operation or contract
    debit: AccountId
    credit: AccountId
    asset: AssetId
    quantity: Quantity
    htlc: Htlc | None = None  # as the effect left it; None for issue, redeem, transfer


class Ledger(Protocol):
    """One ledger, spoken to as one principal (the gateway's mandate, an owner, an issuer)."""

    async def describe(self) -> Description: ...

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Answer | Unknown]:
        """Do the operations in their order, each with an outcome of its own, one answer each."""
        ...

    async def look(self, ids: Sequence[HtlcId]) -> Sequence[Answer | Unknown]:
        """What the contracts are. Without one, `at` binds: nothing is locked before it later."""
        ...

    def facts(self, after: Cursor = "") -> AsyncIterator[Fact]:
        """The facts after a cursor up to now, in order; ends there, and can be resumed."""
        ...
