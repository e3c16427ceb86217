"""Outbound values into whole business messages: header and document under one root, as XML text.

One table says in which definition each value is written, and by what.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from protocols.iso20022 import (
    admi,
    cash_forms,
    fxtr017,
    header,
    reports,
    sese024,
    sese025,
    sese027,
    sese028,
    sese029,
    sese031,
    versions,
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
from protocols.iso20022.cash_forms import Form
from protocols.iso20022.fx import FxStatus
from protocols.iso20022.header import Header
from protocols.iso20022.schemas import BIZMSG
from protocols.iso20022.versions import Emits

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
    Rejection: Form(admi.REJECTION, lambda value, _: admi.write_rejection(value)),
    Receipt: Form(admi.RECEIPT, lambda value, _: admi.write_receipt(value)),
    **cash_forms.FORMS,
    **reports.FORMS,
}
"""Every member of `Outbound` (a test holds them to that): asked by its type, for each message that
is written, and again for each that is read."""


def definition(message: Outbound, emits: Emits = MappingProxyType({})) -> str:
    """The message definition it is written in, on a connection with these versions."""
    return versions.chosen(FORMS[type(message)].definition, emits)


def render(message: Outbound, head: Header) -> str:
    """The BizMsg as XML text without a declaration (UTF-8 when sent); always schema-valid."""
    return business_message(head, document(message, head))


def document(message: Outbound, head: Header) -> str:
    """The Document alone, in the version that the header names; it also tells the gateway's BIC and
    the identifier of the message."""
    profile, write = FORMS[type(message)]
    assert versions.is_written(head.definition, profile), "the header names another message"
    return versions.translated(write(message, head), profile, head.definition)


def business_message(head: Header, written: str) -> str:
    """One BizMsg around a header and a Document that is already XML text."""
    return f'<BizMsg xmlns="{BIZMSG}">{header.write(head)}{written}</BizMsg>'


def batch(messages: list[str]) -> str:
    """BizMsgs around messages made by `render` or `business_message`."""
    return f'<BizMsgs xmlns="{BIZMSG}">{"".join(messages)}</BizMsgs>'
