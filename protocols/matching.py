"""Matching of two sides' instructions: which pair is one trade, and what differs where none is.

Rules of TARGET2-Securities (UDFS section 1.6.1.2): mandatory fields are present and equal,
additional ones are filled on both sides or on none, optional ones match a blank. Pure: candidates
are handed in.
"""

import hashlib
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from protocols.iso20022 import lock_block
from protocols.iso20022.codes import UnmatchedReason as Reason
from protocols.iso20022.instruction import (
    Client,
    Movement,
    Payment,
    SettlementInstruction,
)
from protocols.iso20022.lexical import bic11


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """Amounts up to and including `up_to` (None: all others) match within `difference`."""

    up_to: Decimal | None
    difference: Decimal


#: Currency -> bands, smallest first; a currency without bands matches exactly.
Tolerance = Mapping[str, tuple[Band, ...]]

#: T2S: EUR 2.00 up to EUR 100,000, EUR 25.00 above.
T2S_TOLERANCE: Final[Tolerance] = {
    "EUR": (
        Band(up_to=Decimal(100_000), difference=Decimal(2)),
        Band(up_to=None, difference=Decimal(25)),
    )
}


class MatchKeys(msgspec.Struct, frozen=True, kw_only=True):
    """Two digests over disjoint groups of the fields that must be equal on both sides.

    A match shares both. A near miss (one field differs) shares at least one. Neither holds the
    amount, which has a tolerance, nor the direction, which must differ.
    """

    a: bytes
    b: bytes


class Matched(msgspec.Struct, frozen=True, kw_only=True):
    """The counterpart, and the amount that settles: the deliverer's (None free of payment)."""

    id: str
    amount: str | None


class NearMiss(msgspec.Struct, frozen=True, kw_only=True):
    """An instruction that would match but for exactly one field."""

    id: str
    reason: Reason


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """An open instruction that shares a key; `entered_at` in nanoseconds."""

    id: str
    entered_at: int
    instruction: SettlementInstruction


def keys(instruction: SettlementInstruction) -> MatchKeys:
    """The keys of an instruction. Payment type and currency stand together: one without the other
    is the same difference. Each group has a selective field (ISIN; quantity) and a party."""
    i = instruction
    against_payment = i.payment is Payment.APMT
    return MatchKeys(
        a=_digest(
            i.isin,
            i.payment,
            (i.currency or "") if against_payment else "",
            i.trade_date.isoformat(),
            bic11(i.receiving.party1),
        ),
        b=_digest(
            i.quantity_type,
            i.quantity,
            i.settlement_date.isoformat(),
            bic11(i.delivering.party1),
            bic11(i.delivering.depository),
            bic11(i.receiving.depository),
        ),
    )


def _digest(*fields: str) -> bytes:
    # Sixteen bytes: a chance meeting only costs a comparison, which decides.
    return hashlib.sha256("\0".join(fields).encode()).digest()[:16]


def compare(
    x: SettlementInstruction, y: SettlementInstruction, tolerance: Tolerance
) -> tuple[Reason, ...]:
    """The reason of every field that differs, one for each field (two parties: ICAG twice).

    Empty: they match. The movement and credit/debit are one field: DELN.
    """
    pairs = (
        *_mandatory(x, y),
        *_parties(x, y),
        *_money(x, y, tolerance),
        *_additional(x, y),
        *_optional(x, y),
    )
    return tuple([reason for reason, agrees in pairs if not agrees])


_Fields = tuple[tuple[Reason, bool], ...]


def _mandatory(x: SettlementInstruction, y: SettlementInstruction) -> _Fields:
    quantity = x.quantity_type is y.quantity_type and x.quantity == y.quantity
    return (
        (Reason.FRAP, x.payment is y.payment),
        (Reason.DELN, _opposite(x, y)),
        (Reason.DSEC, x.isin == y.isin),
        (Reason.DQUA, quantity),
        (Reason.DTRD, x.trade_date == y.trade_date),
        (Reason.DDAT, x.settlement_date == y.settlement_date),
    )


def _parties(x: SettlementInstruction, y: SettlementInstruction) -> _Fields:
    """Depositories and parties are mandatory, their clients optional."""
    xd, xr, yd, yr = x.delivering, x.receiving, y.delivering, y.receiving
    if xd == yd and xr == yr:
        return ()  # nearly always: both sides write them alike
    return (
        (Reason.DEPT, bic11(xd.depository) == bic11(yd.depository)),
        (Reason.DEPT, bic11(xr.depository) == bic11(yr.depository)),
        (Reason.ICAG, bic11(xd.party1) == bic11(yd.party1)),
        (Reason.ICAG, bic11(xr.party1) == bic11(yr.party1)),
        (Reason.ICUS, _same_client(xd.party2, yd.party2)),
        (Reason.ICUS, _same_client(xr.party2, yr.party2)),
    )


def _opposite(x: SettlementInstruction, y: SettlementInstruction) -> bool:
    if x.movement is y.movement:
        return False
    if x.credit_debit is None or y.credit_debit is None:
        return True
    return x.credit_debit is not y.credit_debit


def _money(x: SettlementInstruction, y: SettlementInstruction, tolerance: Tolerance) -> _Fields:
    """Currency and amount: mandatory against payment, additional free of payment.

    Where the payment types differ an amount on one side only belongs to that difference (FRAP).
    """
    if x.amount is None or y.amount is None:
        both_blank = x.amount is None and y.amount is None
        return ((Reason.DMON, both_blank or x.payment is not y.payment),)
    if x.currency != y.currency:  # amounts of two currencies are not compared
        return ((Reason.NCRR, False),)
    if x.payment is Payment.FREE and y.payment is Payment.FREE:
        return ((Reason.DMON, x.amount == y.amount),)
    return ((Reason.DMON, _within(x, y, tolerance)),)


def _within(x: SettlementInstruction, y: SettlementInstruction, tolerance: Tolerance) -> bool:
    """The band is chosen by the deliverer's amount."""
    if x.amount == y.amount:
        return True
    delivered = Decimal((x if x.movement is Movement.DELI else y).amount or 0)
    for band in tolerance.get(x.currency or "", ()):
        if band.up_to is None or delivered <= band.up_to:
            return _difference(x, y) <= band.difference
    return False


def _difference(x: SettlementInstruction, y: SettlementInstruction) -> Decimal:
    return abs(Decimal(x.amount or 0) - Decimal(y.amount or 0))


def _additional(x: SettlementInstruction, y: SettlementInstruction) -> _Fields:
    return (
        (Reason.DMCT, x.opt_out == y.opt_out),
        (Reason.DCMX, x.cum_ex == y.cum_ex),
    )


def _optional(x: SettlementInstruction, y: SettlementInstruction) -> _Fields:
    return (
        *_accounts(x, y),
        (Reason.IIND, _blank_or_equal(x.common_id, y.common_id)),
        (Reason.HTLM, _same_terms(x, y)),
    )


def _blank_or_equal(x: object | None, y: object | None) -> bool:
    return x is None or y is None or x == y


def _accounts(x: SettlementInstruction, y: SettlementInstruction) -> _Fields:
    """A side's own account stands at the party or with the quantity. Where both claim the same
    direction it is not known whose the latter is: then only the parties' accounts are compared."""
    opposite = x.movement is not y.movement
    xd, xr = _side_accounts(x, opposite)
    yd, yr = _side_accounts(y, opposite)
    return ((Reason.SAFE, _blank_or_equal(xd, yd)), (Reason.SAFE, _blank_or_equal(xr, yr)))


def _side_accounts(i: SettlementInstruction, own_side: bool) -> tuple[str | None, str | None]:
    delivering, receiving = i.delivering.account, i.receiving.account
    if not own_side:
        return delivering, receiving
    if i.movement is Movement.DELI:
        return delivering or i.safekeeping_account, receiving
    return delivering, receiving or i.safekeeping_account


def _same_client(x: Client | None, y: Client | None) -> bool:
    """BIC and proprietary id never match each other."""
    return _blank_or_equal(_client_identity(x), _client_identity(y))


def _client_identity(client: Client | None) -> tuple[str, ...] | None:
    if client is None:
        return None
    if client.bic is not None:
        return ("bic", bic11(client.bic))
    if client.proprietary_id is not None:
        return ("proprietary", client.proprietary_id, client.proprietary_issuer or "")
    return None  # known by name only


def _same_terms(x: SettlementInstruction, y: SettlementInstruction) -> bool:
    if x.lock is None or y.lock is None:
        return True
    return lock_block.terms(x.lock) == lock_block.terms(y.lock)


def best(
    instruction: SettlementInstruction,
    candidates: Iterable[Candidate],
    tolerance: Tolerance = T2S_TOLERANCE,
) -> Matched | NearMiss | None:
    """The counterpart of an instruction among candidates.

    Of several matches the one with the smallest difference of amounts, then the oldest. Without a
    match, the near miss with the most specific reason, then the oldest. None: CMIS.
    """
    compared = [
        (compare(instruction, c.instruction, tolerance), c)
        for c in candidates
        if not _same_side(instruction, c.instruction)
    ]
    matches = [c for reasons, c in compared if not reasons]
    if len(matches) == 1:
        return _matched(instruction, matches[0])
    if matches:
        return _matched(instruction, min(matches, key=lambda c: _nearness(instruction, c)))
    near = [(reasons[0], c) for reasons, c in compared if len(reasons) == 1]
    if not near:
        return None
    reason, candidate = min(near, key=lambda pair: _specificity(*pair))
    return NearMiss(id=candidate.id, reason=reason)


def _same_side(x: SettlementInstruction, y: SettlementInstruction) -> bool:
    """Two deliveries of one party to another are two trades, not two sides of one.

    A party that moves between its own accounts sends both sides, and may mistake their direction.
    """
    if x.movement is not y.movement or bic11(x.sender) != bic11(y.sender):
        return False
    return bic11(x.delivering.party1) != bic11(x.receiving.party1)


def _matched(instruction: SettlementInstruction, candidate: Candidate) -> Matched:
    other = candidate.instruction
    deliverer = instruction if instruction.movement is Movement.DELI else other
    return Matched(id=candidate.id, amount=deliverer.amount)


def _nearness(instruction: SettlementInstruction, c: Candidate) -> tuple[Decimal, int, str]:
    return _difference(instruction, c.instruction), c.entered_at, c.id


_ORDER: Final = {reason: place for place, reason in enumerate(Reason)}


def _specificity(reason: Reason, candidate: Candidate) -> tuple[int, int, str]:
    return _ORDER[reason], candidate.entered_at, candidate.id
