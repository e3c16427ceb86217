"""What the gateway knows, as callers read it: settlements, lists, ledgers."""

from collections.abc import Callable
from typing import Final

from gateway.http import wire
from gateway.http.notation import decimal
from gateway.port import LedgerState, Resolution, Summary, View
from gateway.swaps import reported
from htlc.agreement import TRUSTS, AgreedLeg, Agreement
from htlc.leg import ENDED, LegState
from htlc.settlement import Phase, Settlement
from htlc.swap import Leg, LockProtocol
from htlc.units import SECOND
from protocols.iso20022.lexical import instant_text

Scale = Callable[[str, str], int | None]
"""Decimals of an asset on a ledger."""

_UNSEEN: Final = LegState()


def settlement(view: View, scale: Scale) -> wire.SettlementView:
    """A settlement with its risk, whom it trusts, and its legs."""
    state, agreement = view.state, view.state.agreement
    protocol = agreement.protocol if agreement else state.swap.protocol
    downtime = view.safe_downtime
    return wire.SettlementView(
        id=view.id,
        state=reported(state),
        created_at=instant_text(view.created_at),
        commit_by=_time(agreement.commit_by if agreement else state.swap.commit_by),
        protocol=protocol,
        principal_risk=_risk(state) if agreement else None,
        safe_downtime_seconds=None if downtime is None else downtime / SECOND,
        trusts=_trusts(agreement) if agreement else None,
        decision=_decision(state),
        awaits=_awaits(state),
        pair=view.pair,
        resolutions=tuple(_resolution(said) for said in view.resolutions),
        legs=tuple(_leg(state, n, leg, scale) for n, leg in enumerate(state.swap.legs)),
    )


def _awaits(state: Settlement) -> tuple[str, ...]:
    if state.phase is not Phase.PROPOSED:
        return ()
    return tuple(sorted(state.swap.payers - state.consents))


def _risk(state: Settlement) -> wire.Risk:
    outage = state.agreed.outage_max
    return wire.Risk(level=state.risk, window_seconds=None if outage is None else outage / SECOND)


def _trusts(agreement: Agreement) -> str:
    return TRUSTS[LockProtocol(agreement.protocol)]


def _resolution(said: Resolution) -> wire.ResolutionView:
    return wire.ResolutionView(
        operator=said.operator,
        decision=said.decision,
        evidence=said.evidence,
        at=instant_text(said.said_at),
    )


def _decision(state: Settlement) -> wire.DecisionView | None:
    decided = state.decided
    if decided is None:
        return None
    return wire.DecisionView(
        decision=decided.decision,
        reason=decided.reason,
        leg=decided.leg,
        refusal=decided.refusal,
    )


def _leg(state: Settlement, n: int, leg: Leg, scale: Scale) -> wire.LegView:
    known = state.legs[n] if state.legs else _UNSEEN
    agreed: AgreedLeg | None = state.agreement.legs[n] if state.agreement else None
    decimals = scale(leg.ledger, leg.asset)
    return wire.LegView(
        leg=leg.leg,
        ledger=leg.ledger,
        asset=leg.asset,
        quantity=None if decimals is None else decimal(leg.quantity, decimals),
        payer=leg.payer,
        payee=leg.payee,
        contract=agreed.terms.id if agreed else None,
        state=known.status,
        final=known.status in ENDED,
        lock_by=_time(agreed.terms.lock_by) if agreed else None,
        expires_at=_time(agreed.terms.expires_at if agreed else leg.expires_at),
        ended_at=_time(known.ended_at),
        refusal=known.refusal,
    )


def _time(at: int | None) -> str | None:
    return None if at is None else instant_text(at)


def line(summary: Summary) -> wire.SettlementLine:
    return wire.SettlementLine(
        id=summary.id, created_at=instant_text(summary.created_at), state=summary.state
    )


def ledger(state: LedgerState) -> wire.LedgerView:
    """A ledger with what it said of itself, or empty places until it has been heard."""
    said = state.description
    return wire.LedgerView(
        name=state.name,
        kind=state.kind,
        reachable=state.reachable,
        clock_at=_time(state.clock_at),
        lock_kinds=said.lock_kinds if said else (),
        hash_functions=said.hash_functions if said else (),
        finality_seconds=said.finality / SECOND if said else None,
        skew_seconds=said.skew / SECOND if said else None,
        public_key=said.public_key.hex() if said and said.public_key else None,
        assets=said.assets if said else (),
        fault=state.fault,
    )
