"""What a member asks about an instruction that it sent before: to cancel it, to hold or release it.

These messages have no identifier of their own: the request is known by the BizMsgIdr of its header.
"""

import msgspec

from protocols.iso20022.instruction import Movement, Payment


class CancellationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """sese.020: cancel the instruction with this TxId of the sender's."""

    transaction_id: str
    movement: Movement | None = None  # None: the request is about no settlement instruction
    payment: Payment | None = None
    account: str | None = None


class HoldRequest(msgspec.Struct, frozen=True, kw_only=True):
    """sese.030: hold (`hold`) or release the instruction with this TxId of the sender's.

    `unserved` names what else, or instead, the message asks for: there is no half of a request."""

    transaction_id: str | None
    hold: bool | None
    by_party: bool = True  # a party hold (PTYH), not the depository's or another
    account: str | None = None
    unserved: str | None = None
