"""The events of a journal entry as the text that is kept: a JSON array.

An agreement repeats the swap that it was drawn up from, leg by leg. Where both stand in one entry,
as they do unless a payer consents later, they are kept as one: the swap, and of the agreement what
the swap does not tell. That is little more than half the text.
An agreement that says otherwise than its swap (after a restore it is as the ledgers have it) is
kept in full, as all were in earlier releases.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from htlc.agreement import AgreedLeg, Agreement, Pair, PrincipalRisk
from htlc.contract import Terms
from htlc.events import Event, Opened, Proposed
from htlc.hashlock import Hashlock
from htlc.swap import Leg, LockProtocol, Swap
from htlc.units import Duration, HtlcId, Instant, MemberId, SettlementId, Value

_Locks = tuple[Hashlock, Hashlock | None]
"""The locks of a leg: towards its payee, and back to its payer."""


class _Leg(Value, frozen=True, kw_only=True, array_like=True):
    """What the agreement says of a leg and the swap does not, by place."""

    id: HtlcId
    lock_by: Instant
    locks: _Locks | None = None  # those of the leg before, which most legs share
    expires_at: Instant | None = None
    pair: Pair = Pair.LEGS
    margin: Duration = Duration(0)


class _Agreed(
    Value, frozen=True, kw_only=True, tag_field="event", tag="agreed", omit_defaults=True
):
    """`Proposed` and `Opened` in one. Persisted: the rules of `htlc.events` hold here too."""

    swap: Swap
    consents: tuple[MemberId, ...] = ()
    protocol: LockProtocol
    legs: tuple[_Leg, ...]
    commit_by: Instant
    anchor: int | None = None
    holder: MemberId | None = None
    risk: PrincipalRisk = PrincipalRisk.NONE
    outage_max: Duration | None = None


_lines: Final = msgspec.json.Encoder().encode_lines
_decode: Final = msgspec.json.Decoder(tuple[_Agreed | Event, ...]).decode


def texts(entries: Sequence[tuple[Event, ...]]) -> list[str]:
    """The text of each entry."""
    kept = [
        _shortened(events) if len(events) > 1 and isinstance(events[1], Opened) else events
        for events in entries
    ]
    return _lines(kept).decode().split("\n")[:-1]  # no JSON holds a line feed (RFC 8259, section 7)


def events(text: str) -> tuple[Event, ...]:
    """The events of an entry. Raises msgspec.DecodeError."""
    told: tuple[Any, ...] = _decode(text)
    if told and isinstance(told[0], _Agreed):
        return (*_unfolded(told[0]), *told[1:])
    return told


# ---------------------------------------------------------------------- as it is written


def _shortened(events: tuple[Event, ...]) -> tuple[Event | _Agreed, ...]:
    """An entry whose second event opens the settlement."""
    proposed, opened, *others = events
    if not (isinstance(proposed, Proposed) and isinstance(opened, Opened)):
        return events
    agreed = _folded(proposed, opened.agreement)
    return events if agreed is None else (agreed, *others)


def _folded(proposed: Proposed, agreement: Agreement) -> _Agreed | None:
    """Both in one; None if one does not follow from the other."""
    swap, legs, before = proposed.swap, [], None
    if agreement.settlement != swap.id or len(agreement.legs) != len(swap.legs):
        return None
    for leg, agreed in zip(swap.legs, agreement.legs, strict=True):
        terms = agreed.terms
        if terms.settlement != swap.id or not _repeats(leg, agreed, terms):
            return None
        locks = (terms.execution_lock, terms.cancellation_lock)
        legs.append(
            _Leg(
                id=terms.id,
                lock_by=terms.lock_by,
                locks=None if locks == before else locks,
                expires_at=terms.expires_at,
                pair=agreed.pair,
                margin=agreed.margin,
            )
        )
        before = locks
    return _Agreed(
        swap=swap,
        consents=proposed.consents,
        protocol=agreement.protocol,
        legs=tuple(legs),
        commit_by=agreement.commit_by,
        anchor=agreement.anchor,
        holder=agreement.holder,
        risk=agreement.risk,
        outage_max=agreement.outage_max,
    )


def _repeats(leg: Leg, agreed: AgreedLeg, terms: Terms) -> bool:
    """Whether the agreement says the same of a leg as the swap does."""
    payer, payee = leg.payer, leg.payee
    return (
        terms.leg == leg.leg
        and agreed.ledger == leg.ledger
        and terms.asset == leg.asset
        and terms.quantity == leg.quantity
        and agreed.payer == payer.member
        and terms.payer == payer.account
        and agreed.payee == payee.member
        and terms.payee == payee.account
    )


# ---------------------------------------------------------------------- as it is read


def _unfolded(agreed: _Agreed) -> tuple[Proposed, Opened]:
    swap, legs, locks = agreed.swap, [], None
    if len(agreed.legs) != len(swap.legs):
        raise msgspec.ValidationError("an agreement has the legs of its swap")
    for leg, rest in zip(swap.legs, agreed.legs, strict=True):
        locks = rest.locks or locks
        if locks is None:
            raise msgspec.ValidationError("the first leg of an agreement names its locks")
        legs.append(_agreed_leg(swap.id, leg, rest, locks))
    agreement = Agreement(
        settlement=swap.id,
        protocol=agreed.protocol,
        legs=tuple(legs),
        commit_by=agreed.commit_by,
        anchor=agreed.anchor,
        holder=agreed.holder,
        risk=agreed.risk,
        outage_max=agreed.outage_max,
    )
    return Proposed(swap=swap, consents=agreed.consents), Opened(agreement=agreement)


def _agreed_leg(settlement: SettlementId, leg: Leg, rest: _Leg, locks: _Locks) -> AgreedLeg:
    return AgreedLeg(
        ledger=leg.ledger,
        payer=leg.payer.member,
        payee=leg.payee.member,
        pair=rest.pair,
        margin=rest.margin,
        terms=Terms(
            id=rest.id,
            settlement=settlement,
            leg=leg.leg,
            payer=leg.payer.account,
            payee=leg.payee.account,
            asset=leg.asset,
            quantity=leg.quantity,
            execution_lock=locks[0],
            cancellation_lock=locks[1],
            lock_by=rest.lock_by,
            expires_at=rest.expires_at,
        ),
    )
