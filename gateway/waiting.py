"""Why a matched pair does not settle now, and what is kept of it until it does.

A pair settles on its date, or, where that is past, on the business day that is current when it is
matched (`settle_on`). While that day lasts, settlement is *pending*; afterwards it *fails*, which
ends nothing: it is tried again on each business day until it settles, is cancelled, or expires.
"""

from collections.abc import Set
from datetime import date
from typing import Final

import msgspec

from gateway.days import Days
from gateway.jobs import FOREVER
from gateway.journal import PendingPair
from gateway.pairs import MatchedPair, Pair
from protocols.iso20022.codes import FailingReason, PendingReason, ReasonCode

DATED: Final = ("FUTU", "LATE", "CLAT", "CYCL")
"""Reasons of a pair that waits for a business day and for nothing else."""

LINKED_AGAIN: Final = 2_000_000_000
"""Nanoseconds until a pair is looked at again that waits for a linked instruction: one statement
for all that are due."""

ORDER_AWAITED: Final = "the payment order (pacs.009) is awaited"
"""Told beside MONY and CMON before there was any attempt."""

STOPPED_AGAIN: Final = 10_000_000_000
"""Nanoseconds until a pair is tried again that reconciliation has stopped: it takes hours until
somebody has repaired the ledger."""


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """Why the first side waits and why the second, in reason codes; `failing`: its date is over."""

    codes: tuple[str, str]
    failing: bool
    until: int
    text: str | None = None  # for people, beside the codes


def must_wait(
    pair: MatchedPair, days: Days, unpaid: Set[str], *, linked: bool = False
) -> Wait | None:
    """A side holds it, its date lies ahead, the ledgers are closed, reconciliation has stopped what
    it moves, the payment order of a side is missing (`unpaid`: the ids of such instructions), or it
    is `linked` to an instruction that settles before it; None if it settles now."""
    day = days.current(pair.instruction)
    closed = not day.is_open(days.now())
    failing = closed and pair.settlement_date < day.date
    if isinstance(pair, Pair) and (held := _held(pair)) is not None:
        return Wait(codes=_texts(*held), failing=failing, until=FOREVER)
    if pair.settlement_date > day.date:
        own = days.window(pair)
        return Wait(
            codes=_texts(PendingReason.FUTU, PendingReason.FUTU),
            failing=False,
            until=day.opens_at if own is None else own.opens_at,
        )
    if not closed:
        if days.is_stopped(pair):
            return stopped(days)
        return _awaits(pair, days, unpaid, linked)
    codes = _late(pair, days) if failing else (PendingReason.FUTU, PendingReason.FUTU)
    return Wait(codes=_texts(*codes), failing=failing, until=day.opens_at)


def _awaits(pair: MatchedPair, days: Days, unpaid: Set[str], linked: bool) -> Wait | None:
    if unpaid:
        return _unpaid(pair, unpaid)
    if not linked:
        return None
    codes = _texts(PendingReason.LINK, PendingReason.LINK)
    return Wait(codes=codes, failing=False, until=days.now() + LINKED_AGAIN)


def _unpaid(pair: MatchedPair, unpaid: Set[str]) -> Wait:
    first, second = (
        PendingReason.MONY if side.id in unpaid else PendingReason.CMON for side, _ in pair.sides
    )
    return Wait(codes=_texts(first, second), failing=False, until=FOREVER, text=ORDER_AWAITED)


def stopped(days: Days) -> Wait:
    """Until reconciliation agrees again: on hold by the system."""
    return Wait(
        codes=_texts(PendingReason.PRSY, PendingReason.PRSY),
        failing=False,
        until=days.now() + STOPPED_AGAIN,
    )


def _held(pair: Pair) -> tuple[ReasonCode, ReasonCode] | None:
    deliver, receive = pair.deliver.instruction.hold, pair.receive.instruction.hold
    if deliver and receive:
        return PendingReason.BOTH, PendingReason.BOTH
    if deliver:
        return PendingReason.PREA, PendingReason.PRCY
    if receive:
        return PendingReason.PRCY, PendingReason.PREA
    return None


def _late(pair: MatchedPair, days: Days) -> tuple[ReasonCode, ReasonCode]:
    """Who came after the cut-off of the settlement date; where nobody did (a hold was released
    then), the pair waits for the next cycle."""
    own = days.window(pair)
    closes_at = 0 if own is None else own.closes_at
    first, second = (side.entered_at >= closes_at for side, _ in pair.sides)
    if first and second:
        return FailingReason.LATE, FailingReason.LATE
    if first:
        return FailingReason.LATE, FailingReason.CLAT
    if second:
        return FailingReason.CLAT, FailingReason.LATE
    return FailingReason.CYCL, FailingReason.CYCL


def _texts(first: ReasonCode, second: ReasonCode) -> tuple[str, str]:
    return str(first.value), str(second.value)


def fresh(pair: MatchedPair, days: Days) -> PendingPair:
    """What is known of a pair that has just been matched: nothing was tried, nobody told why."""
    return PendingPair(
        pair=pair.id,
        due_at=days.now(),
        attempts=0,
        advised="",
        settle_on=settle_on(pair, days),
        told_on=days.today(),
    )


def settle_on(pair: MatchedPair, days: Days) -> date:
    """The business day from whose end on the pair fails."""
    return max(pair.settlement_date, days.current(pair.instruction).date)


def kept(before: PendingPair, wait: Wait, today: date) -> PendingPair:
    """The same pair, waiting for this now."""
    failing = before.failing or wait.failing
    same = (before.advised, before.failing) == (wait.codes[0], failing)
    return msgspec.structs.replace(
        before,
        due_at=wait.until,
        advised=wait.codes[0],
        mirrored=wait.codes[1],
        failing=failing,
        told_on=before.told_on if same else today,
    )
