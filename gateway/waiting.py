"""Why a matched pair does not settle now, and what is kept of it until it does."""

from datetime import UTC, date, datetime

from gateway.jobs import FOREVER
from gateway.journal import PendingPair
from gateway.pairs import MatchedPair, Pair
from protocols.iso20022.codes import PendingReason

Reasons = tuple[PendingReason, PendingReason]
"""What the deliverer and what the receiver is told."""


def must_wait(pair: Pair, today: date) -> Reasons | None:
    """A side holds it, or its date lies ahead; None if it is to be settled now."""
    deliver, receive = pair.deliver.instruction, pair.receive.instruction
    if deliver.hold and receive.hold:
        return (PendingReason.BOTH, PendingReason.BOTH)
    if deliver.hold:
        return (PendingReason.PREA, PendingReason.PRCY)
    if receive.hold:
        return (PendingReason.PRCY, PendingReason.PREA)
    if deliver.settlement_date > today:
        return (PendingReason.FUTU, PendingReason.FUTU)
    return None


def pending(pair: MatchedPair, reasons: Reasons, attempts: int = 0) -> PendingPair:
    """A pair that waits for this: for its date, or for a release."""
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
