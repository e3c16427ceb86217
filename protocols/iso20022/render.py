"""Outbound values into whole business messages: header and document under one root, as XML text."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from protocols.iso20022 import (
    admi,
    admi004,
    camt025,
    camt029,
    camt054,
    fxtr017,
    header,
    pacs002,
    sese024,
    sese025,
    sese027,
    sese028,
    sese029,
    sese031,
)
from protocols.iso20022.advice import (
    Allegement,
    AllegementRemoval,
    CancellationAnswer,
    Confirmation,
    HoldAnswer,
    Outbound,
    Receipt,
    Rejection,
    StatusAdvice,
)
from protocols.iso20022.fx import FxStatus
from protocols.iso20022.header import Header
from protocols.iso20022.payment import (
    CashEntry,
    PaymentStatus,
    RecallAnswer,
    SystemEvent,
    TransferReceipt,
)
from protocols.iso20022.schemas import BIZMSG


class Form(NamedTuple):
    """How one kind of outbound value is written: in which message, and its Document, for which the
    header tells the gateway's BIC and the identifier and time of the message."""

    definition: str
    document: Callable[[Any, Header], str]


FORMS: Final[Mapping[type, Form]] = {
    StatusAdvice: Form(sese024.DEFINITION, lambda value, head: sese024.write(value, head.sender)),
    Confirmation: Form(sese025.DEFINITION, lambda value, _: sese025.write(value)),
    FxStatus: Form(
        fxtr017.DEFINITION, lambda value, head: fxtr017.write(value, head.business_message_id)
    ),
    CancellationAnswer: Form(
        sese027.DEFINITION, lambda value, head: sese027.write(value, head.sender)
    ),
    HoldAnswer: Form(sese031.DEFINITION, lambda value, head: sese031.write(value, head.sender)),
    Allegement: Form(sese028.DEFINITION, lambda value, _: sese028.write(value)),
    AllegementRemoval: Form(sese029.DEFINITION, lambda value, _: sese029.write(value)),
    PaymentStatus: Form(pacs002.DEFINITION, pacs002.write),
    CashEntry: Form(camt054.DEFINITION, camt054.write),
    RecallAnswer: Form(camt029.DEFINITION, camt029.write),
    TransferReceipt: Form(camt025.DEFINITION, camt025.write),
    SystemEvent: Form(admi004.DEFINITION, lambda value, _: admi004.write(value)),
    Rejection: Form(admi.REJECTION, lambda value, _: admi.write_rejection(value)),
    Receipt: Form(admi.RECEIPT, lambda value, _: admi.write_receipt(value)),
}
"""One row for every member of `Outbound` (tested)."""


def definition(message: Outbound) -> str:
    """The message definition it is written in; the header's `definition` must say the same."""
    return FORMS[type(message)].definition


def render(message: Outbound, head: Header) -> str:
    """The BizMsg as XML text without a declaration (UTF-8 when sent); always schema-valid."""
    assert head.definition == definition(message), "the header names another message"
    return business_message(head, document(message, head))


def document(message: Outbound, head: Header) -> str:
    """The Document alone."""
    return FORMS[type(message)].document(message, head)


def business_message(head: Header, written: str) -> str:
    """One BizMsg around a header and a Document that is already XML text."""
    return f'<BizMsg xmlns="{BIZMSG}">{header.write(head)}{written}</BizMsg>'


def batch(messages: list[str]) -> str:
    """BizMsgs around messages made by `render` or `business_message`."""
    return f'<BizMsgs xmlns="{BIZMSG}">{"".join(messages)}</BizMsgs>'
