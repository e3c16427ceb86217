"""The states of its locks that the sides of a pair are told of when they last.

Pure. A settlement that runs as it should is through all of them within a tenth of a second; whoever
waits longer wants to know for what.
"""

from enum import StrEnum

from htlc.leg import LegStatus
from htlc.settlement import Phase, Settlement


class Stage(StrEnum):
    """Of a pair's two legs: the first is the securities, or what side A of an exchange pays."""

    FIRST_LOCKED = "first locked"
    SECOND_LOCKED = "second locked"
    ALL_LOCKED = "all locked"
    FIRST_PAID = "first paid"  # claimed; the other claim is open
    SECOND_PAID = "second paid"


def stage(state: Settlement) -> Stage | None:
    """Where the locks of an open attempt stand; None where there is nothing to tell: none is there,
    or they are on their way back, which was told with the reason."""
    if len(state.legs) != 2 or state.phase in (Phase.UNWINDING, Phase.SETTLED, Phase.CANCELLED):
        return None
    match tuple(leg.status for leg in state.legs):
        case (LegStatus.LOCKED, LegStatus.LOCKED):
            return Stage.ALL_LOCKED
        case (LegStatus.EXECUTED, second) if second is not LegStatus.EXECUTED:
            return Stage.FIRST_PAID
        case (first, LegStatus.EXECUTED) if first is not LegStatus.EXECUTED:
            return Stage.SECOND_PAID
        case (LegStatus.LOCKED, _):
            return Stage.FIRST_LOCKED
        case (_, LegStatus.LOCKED):
            return Stage.SECOND_LOCKED
        case _:
            return None
