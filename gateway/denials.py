"""Why a request on a settlement cannot be granted any more, with the code of the denial."""

from htlc.settlement import Phase, Settlement


def of_consent(state: Settlement) -> str | None:
    if state.phase is Phase.CANCELLED:
        return "DCAN the proposal was withdrawn or has lapsed"
    return None


def of_cancellation(state: Settlement) -> str | None:
    """Why a cancellation cannot be accepted any more, with the code of the denial."""
    if state.phase is Phase.SETTLED:
        return "DSET it is settled"
    if state.phase is Phase.CANCELLED:
        return "DCAN it is cancelled already"
    if not state.cancellable:
        return "DPRG settlement is in process and cannot be stopped"
    return None
