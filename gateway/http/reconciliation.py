"""Reconciliation over HTTP, for operators: where it stands, and a run on demand.

An operator of the gateway sees every ledger; one of a ledger, or a central bank, its own.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.http import notation, report_wire
from gateway.http.exchange import Call, Reply, json_reply
from gateway.http.problems import Kind, RequestError
from gateway.port import Difference, Reconciled, Total
from protocols.iso20022.errors import RejectCode
from protocols.iso20022.lexical import instant_text

DESCRIPTION: Final = (
    "Every ledger is reconciled daily at a set time, and when asked here: per ISIN and currency "
    "what was issued, what the accounts hold, and what the postings came to; and each account "
    "against its postings. The answer waits up to 20 s for the run and then says `running`. A "
    "break stops new locks; executes, cancels and refunds go on. The next run that agrees lifts it."
)

SHOWN: Final = 7 * 86_400 * 1_000_000_000
"""Breaks that were lifted are shown for a week: five in a month need a plan (RTS 2017/392)."""

_request: Final = msgspec.json.Decoder(report_wire.ReconciliationRequest)


async def show(call: Call) -> Reply:
    """Where it stands."""
    call.query()
    return await _shown(call, _ledgers(call))


async def reconcile(call: Call) -> Reply:
    """Run now."""
    wanted = await call.json(_request) if await call.body() else report_wire.ReconciliationRequest()
    names = _ledgers(call)
    if wanted.ledger is not None and wanted.ledger not in names:
        raise RequestError.field("ledger", f"one of {', '.join(names)}")
    if wanted.afresh and call.principal.role != "gateway":
        raise RequestError(
            Kind.FORBIDDEN, "afresh is for an operator of the gateway", code=RejectCode.XAUT.value
        )
    asked = names if wanted.ledger is None else [wanted.ledger]
    await call.desk.reconciliation.ask(asked, afresh=wanted.afresh)
    return await _shown(call, names)


def _ledgers(call: Call) -> list[str]:
    own = call.principal.ledger
    names = [state.name for state in call.gateway.ledgers()]
    return [name for name in names if own is None or name == own]


async def _shown(call: Call, names: Sequence[str]) -> Reply:
    service, now = call.desk.reconciliation, call.desk.now()
    runs = await service.reconciled(names)
    found = await service.differences(names, now - SHOWN)
    view = report_wire.ReconciliationView(
        running=service.running,
        agreed=all(each.closed_at is not None for each in found),
        ledgers=tuple(_run(call, run) for run in runs),
        breaks=tuple(_break(call, each, now) for each in found),
    )
    return json_reply(200, view)


def _run(call: Call, run: Reconciled) -> report_wire.LedgerReconciliation:
    return report_wire.LedgerReconciliation(
        ledger=run.ledger,
        business_date=run.business_date,
        started_at=_time(run.started_at),
        ended_at=_time(run.ended_at),
        holdings=run.holdings,
        facts=run.facts,
        totals=tuple(_total(call, run.ledger, total) for total in run.totals),
        failure=run.failure,
    )


def _total(call: Call, ledger: str, total: Total) -> report_wire.TotalView:
    def text(quantity: int) -> str:
        return _decimal(call, ledger, total.asset, quantity)

    return report_wire.TotalView(
        asset=total.asset,
        issued=text(total.issued),
        held=text(total.held),
        locked=text(total.locked),
        told=text(total.told),
    )


def _break(call: Call, each: Difference, now: int) -> report_wire.BreakView:
    def text(quantity: int) -> str:
        return _decimal(call, each.ledger, each.asset, quantity)

    return report_wire.BreakView(
        number=each.number,
        ledger=each.ledger,
        asset=each.asset or None,
        account=each.account or None,
        kind=each.kind,  # type: ignore[arg-type]  # a BreakKind, as it is stored
        expected=text(each.expected),
        found=text(each.found),
        amount=text(each.found - each.expected),
        what=each.what,
        first_seen_at=instant_text(each.first_seen_at),
        last_seen_at=instant_text(each.last_seen_at),
        lifted_at=_time(each.closed_at),
        age_seconds=((each.closed_at or now) - each.first_seen_at) / 1e9,
    )


def _decimal(call: Call, ledger: str, asset: str, quantity: int) -> str:
    """With the asset's decimals, and a sign where it is below zero."""
    scale = call.gateway.scale(ledger, asset) or 0
    return ("-" if quantity < 0 else "") + notation.decimal(abs(quantity), scale)


def _time(at: int | None) -> str | None:
    return None if at is None else instant_text(at)
