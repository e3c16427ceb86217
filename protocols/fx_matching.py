"""Matching of two foreign exchange trades: which two are one, and what differs where none is.

Both amounts must agree crosswise and exactly: a payment against a payment has no tolerance, for
what one side would pay too much the other would have to give. Pure: candidates are handed in.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec

from protocols.iso20022 import lock_block
from protocols.iso20022.codes import UnmatchedReason as Reason
from protocols.iso20022.fx import FxTrade
from protocols.iso20022.lexical import bic11
from protocols.matching import Matched, MatchKeys, NearMiss


class FxCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """An open trade that shares a key; `entered_at` in nanoseconds."""

    id: str
    entered_at: int
    trade: FxTrade


def keys(trade: FxTrade) -> MatchKeys:
    """Two digests over disjoint groups of the fields that must agree. A match shares both, a near
    miss at least one, but for a currency that changes the order of the two (told as CMIS). Who
    gives which is in neither: two sides that both say "we sell euro" are to be told DELN."""
    one, two = sorted((trade.buys, trade.sells), key=lambda given: given.currency)
    parties = sorted((bic11(trade.party), bic11(trade.counterparty)))
    return MatchKeys(
        a=_digest(one.currency, one.amount, trade.trade_date.isoformat()),
        b=_digest(two.currency, two.amount, trade.settlement_date.isoformat(), *parties),
    )


def _digest(*fields: str) -> bytes:
    # Sixteen bytes: a chance meeting only costs a comparison, which decides.
    return hashlib.sha256("\0".join(("fx", *fields)).encode()).digest()[:16]


def compare(x: FxTrade, y: FxTrade) -> tuple[Reason, ...]:
    """The reason of every field that differs. Empty: they match."""
    fields = (
        *_money(x, y),
        (Reason.DTRD, x.trade_date == y.trade_date),
        (Reason.DDAT, x.settlement_date == y.settlement_date),
        (Reason.ICAG, bic11(x.party) == bic11(y.counterparty)),
        (Reason.ICAG, bic11(x.counterparty) == bic11(y.party)),
        (Reason.DDEA, _same_rate(x, y)),
        (Reason.IIND, None in (x.common_id, y.common_id) or x.common_id == y.common_id),
        (Reason.HTLM, _same_terms(x, y)),
    )
    return tuple(reason for reason, agrees in fields if not agrees)


def _money(x: FxTrade, y: FxTrade) -> tuple[tuple[Reason, bool], ...]:
    if (x.buys, x.sells) == (y.buys, y.sells):
        return ((Reason.DELN, False),)  # both sides buy the same
    if {x.buys.currency, x.sells.currency} == {y.buys.currency, y.sells.currency}:
        if x.buys.currency == y.buys.currency:
            return ((Reason.DELN, False), (Reason.DMON, False))
        return (
            (Reason.DMON, x.buys.amount == y.sells.amount),
            (Reason.DMON, x.sells.amount == y.buys.amount),
        )
    return (_crosswise(x, y), _crosswise(y, x))


def _crosswise(x: FxTrade, y: FxTrade) -> tuple[Reason, bool]:
    """What x buys against what y sells: amounts of two currencies are not compared as amounts."""
    if x.buys.currency != y.sells.currency:
        return (Reason.NCRR, False)
    return (Reason.DMON, x.buys.amount == y.sells.amount)


def _same_rate(x: FxTrade, y: FxTrade) -> bool:
    """The same quotation has the same number; the inverse one was held against its own amounts,
    which agree with ours. A rate that does not name its currencies is compared as a number only
    where neither does."""
    if (x.rate.unit, x.rate.quoted) == (y.rate.unit, y.rate.quoted):
        return x.rate.value == y.rate.value
    return True


def _same_terms(x: FxTrade, y: FxTrade) -> bool:
    if x.lock is None or y.lock is None:
        return True
    return lock_block.terms(x.lock) == lock_block.terms(y.lock)


_ORDER: Final = {reason: place for place, reason in enumerate(Reason)}


def best(trade: FxTrade, candidates: Iterable[FxCandidate]) -> Matched | NearMiss | None:
    """The counterpart of a trade among candidates, of several the oldest. Without a match, the near
    miss with the most specific reason, then the oldest. None: CMIS."""
    compared = [
        (compare(trade, c.trade), c)
        for c in candidates
        if bic11(c.trade.party) != bic11(trade.party)  # two trades of one side are two trades
    ]
    matches = [c for reasons, c in compared if not reasons]
    if matches:
        found = min(matches, key=lambda c: (c.entered_at, c.id))
        return Matched(id=found.id, amount=trade.sells.amount)
    near = [
        (_ORDER[reasons[0]], c.entered_at, c.id, reasons[0])
        for reasons, c in compared
        if len(reasons) == 1
    ]
    if not near:
        return None
    _, _, id, reason = min(near, key=lambda place: place[:3])
    return NearMiss(id=id, reason=reason)
