"""What users ask of a settlement: what its state allows, and how a denial is told."""

from collections.abc import Callable

from gateway.port import Denied
from gateway.runner import Runner
from htlc.events import Event
from htlc.settlement import Phase, Settlement
from htlc.units import SettlementId


async def ask(
    runner: Runner, id: SettlementId, event: Event, check: Callable[[Settlement], str | None]
) -> Denied | None:
    """Have an event written into the journal, unless `check` says no: code and why."""
    refused = await runner.request(id, event, check)
    if refused is None:
        return None
    code, _, why = refused.partition(" ")
    return Denied(code=code, why=why)


def may_consent(state: Settlement) -> str | None:
    """Why consent is asked for no more, with the code of the denial."""
    if state.phase is Phase.CANCELLED:
        return "DCAN the proposal was withdrawn or has lapsed"
    return None


def may_cancel(state: Settlement) -> str | None:
    """Why a cancellation cannot be accepted any more, with the code of the denial."""
    if state.phase is Phase.SETTLED:
        return "DSET it is settled"
    if state.phase is Phase.CANCELLED:
        return "DCAN it is cancelled already"
    if not state.cancellable:
        return "DPRG settlement is in process and cannot be stopped"
    return None


def may_release(state: Settlement) -> str | None:
    """Why a secret is taken no more, or not yet, with the code of the denial."""
    if state.phase is Phase.PROPOSED:
        return "DPRG it is not open: every payer's consent comes first"
    if state.phase is Phase.CANCELLED:
        return "DCAN it is cancelled already"
    return None
