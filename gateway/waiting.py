"""Why a matched pair does not settle now, and what is kept of it until it does."""

from collections.abc import Set
from datetime import UTC, date, datetime
from typing import Final

from gateway.jobs import FOREVER
from gateway.journal import PendingPair
from gateway.pairs import MatchedPair, Pair
from protocols.iso20022.codes import PendingReason

Reasons = tuple[PendingReason, PendingReason]
"""What the deliverer and what the receiver is told."""

ORDER_AWAITED: Final = "the payment order (pacs.009) is awaited"
"""What people are told beside MONY and CMON before there was any attempt."""


def must_wait(pair: MatchedPair, today: date, unpaid: Set[str]) -> Reasons | None:
    """A side holds it, its date lies ahead, or the payment order of a side is missing (`unpaid`:
    the ids of such instructions); None if it is to be settled now."""
    if isinstance(pair, Pair) and (held := _held(pair)) is not None:
        return held
    if pair.settlement_date > today:
        return (PendingReason.FUTU, PendingReason.FUTU)
    if unpaid:
        first, second = (
            PendingReason.MONY if side.id in unpaid else PendingReason.CMON
            for side, _ in pair.sides
        )
        return (first, second)
    return None


def _held(pair: Pair) -> Reasons | None:
    deliver, receive = pair.deliver.instruction, pair.receive.instruction
    if deliver.hold and receive.hold:
        return (PendingReason.BOTH, PendingReason.BOTH)
    if deliver.hold:
        return (PendingReason.PREA, PendingReason.PRCY)
    if receive.hold:
        return (PendingReason.PRCY, PendingReason.PREA)
    return None


def text(reasons: Reasons) -> str | None:
    """What is said beside the codes of `must_wait`."""
    return ORDER_AWAITED if PendingReason.MONY in reasons else None


def pending(pair: MatchedPair, reasons: Reasons, attempts: int = 0) -> PendingPair:
    """A pair that waits for this: for its date, a release, a payment order."""
    future = reasons[0] is PendingReason.FUTU
    return PendingPair(
        pair=pair.id,
        due_at=start_of(pair.settlement_date) if future else FOREVER,
        attempts=attempts,
        advised=str(reasons[0].value),
    )


def start_of(day: date) -> int:
    """The first instant of a day, UTC nanoseconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000_000
