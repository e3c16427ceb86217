"""Agreed swaps that came as JSON: what their parties are told (`lockstep.settlement.1`)."""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from gateway.ids import new_id
from gateway.journal import Notice
from gateway.live import NOTHING, Advice
from htlc.settlement import BROKEN, CANCELLED, PROPOSED, SETTLED, Settlement
from htlc.swap import Swap
from htlc.units import Value
from protocols.iso20022.lexical import instant_text

DEFINITION: Final = "lockstep.settlement.1"

_TOLD: Final = (SETTLED, CANCELLED, BROKEN)

_encoder = msgspec.json.Encoder()


class LegNotice(Value, frozen=True, kw_only=True, omit_defaults=True):
    """How one leg ended."""

    leg: str
    ledger: str
    asset: str
    state: str
    contract: str | None = None
    ended_at: str | None = None


class SettlementNotice(Value, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a settlement. `final`: there will be no other one."""

    settlement: str
    state: str
    final: bool
    at: str
    legs: tuple[LegNotice, ...]
    protocol: str | None = None
    principal_risk: str | None = None
    reason: str | None = None
    refusal: str | None = None
    refused_leg: str | None = None


def reported(state: Settlement) -> str:
    """The state as users see it: an end at which nothing was ever locked is REJECTED."""
    if state.never_locked:
        return "REJECTED"
    return "FROZEN" if state.frozen else str(state.phase)


def notices(state: Settlement, members: Iterable[str], now: int) -> tuple[Notice, ...]:
    """The same notice for each of these parties."""
    decided, agreement, id = state.decided, state.agreement, state.swap.id
    content = _encoder.encode(
        SettlementNotice(
            settlement=id,
            state=reported(state),
            final=state.ended,
            at=instant_text(now),
            legs=_legs(state),
            protocol=agreement.protocol if agreement else None,
            principal_risk=state.risk if agreement else None,
            reason=decided.reason if decided else None,
            refusal=decided.refusal if decided else None,
            refused_leg=decided.leg if decided else None,
        )
    ).decode()
    return tuple(
        [
            Notice(
                member=member,
                id=new_id(),
                definition=DEFINITION,
                related=None,
                created_at=now,
                settlement=id,
                content=content,
            )
            for member in members
        ]
    )


def _legs(state: Settlement) -> tuple[LegNotice, ...]:
    if state.agreement is None:
        return tuple(
            LegNotice(leg=leg.leg, ledger=leg.ledger, asset=leg.asset, state="UNSEEN")
            for leg in state.swap.legs
        )
    return tuple(
        [
            LegNotice(
                leg=agreed.terms.leg,
                ledger=agreed.ledger,
                asset=agreed.terms.asset,
                state=leg.status,
                contract=agreed.terms.id,
                ended_at=None if leg.ended_at is None else instant_text(leg.ended_at),
            )
            for leg, agreed in zip(state.legs, state.agreed.legs, strict=True)
        ]
    )


def proposed(state: Settlement, now: int) -> tuple[Notice, ...]:
    """Payers who have not consented are told that they are asked."""
    if state.phase is not PROPOSED:
        return ()
    return notices(state, sorted(state.swap.payers - state.consents), now)


class SwapOrigin:
    """Tells the parties of an agreed swap how it ended (`live.Origin`)."""

    def __init__(
        self,
        swap: Swap,
        *,
        now: Callable[[], int],
        over: Callable[[Settlement], None],
    ) -> None:
        self._parties = tuple(sorted(swap.parties))
        self._now = now
        self._over = over

    def advise(self, before: Settlement, after: Settlement) -> Advice:
        """One final notice per party; a break is told as well, and is not final."""
        if after.phase is before.phase or after.phase not in _TOLD:
            return NOTHING
        return Advice(notices=notices(after, self._parties, self._now()))

    def ended(self, state: Settlement) -> None:
        self._over(state)
