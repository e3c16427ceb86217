"""What a day is expected to do: the shape of `day/expected.json`.

Each trade of the day has a story (why it is in the day) and sides: the messages that were sent for
it. A message is known by its sender and its BizMsgIdr; what becomes of it is an answer at once, and
an outcome that is read from the sender's mailbox.
"""

from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

DAY: Final = Path(__file__).parent / "day"
"""The files that custodians send: one folder each, in the order of their names."""


class Outcome(StrEnum):
    """What becomes of a message, as its sender is told in the end."""

    SETTLED = "settled"  # sese.025
    PENDING = "pending"  # matched; sese.024 SttlmSts/Pdg with a reason
    UNMATCHED = "unmatched"  # accepted; sese.024 MtchgSts/Umtchd with a reason
    REJECTED = "rejected"  # sese.024 PrcgSts/Rjctd with a reason
    REFUSED = "refused"  # not processed: admi.002, nothing in the mailbox
    REPEATED = "repeated"  # the stored answer of the same message again, nothing in the mailbox


class Sent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message and what becomes of it. `reference` is None where it cannot be read."""

    sender: str
    file: str  # in the sender's folder
    reference: str | None
    outcome: Outcome
    code: str | None = None  # the reason that is told with the outcome
    settled: str | None = None  # amount and currency, of a settled one


class Trade(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One trade, or one message without a trade behind it."""

    id: str
    story: str
    sides: tuple[Sent, ...]
    deliverer: str | None = None
    receiver: str | None = None
    isin: str | None = None
    quantity: str | None = None
    amount: str | None = None  # the deliverer's, which is the one that settles

    @property
    def settles(self) -> bool:
        return any(side.outcome is Outcome.SETTLED for side in self.sides)

    @property
    def is_exceptional(self) -> bool:
        """Anything but two sides that simply settle."""
        return any(side.outcome is not Outcome.SETTLED for side in self.sides)


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """The whole day."""

    world: str
    business_date: str
    trades: tuple[Trade, ...]


def load(directory: Path = DAY) -> Expected:
    """What `make_day` has written down."""
    return msgspec.json.decode((directory / "expected.json").read_bytes(), type=Expected)
