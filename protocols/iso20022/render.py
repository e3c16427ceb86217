"""Outbound values into whole business messages: header and document under one root, as XML text."""

from types import MappingProxyType
from typing import assert_never

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
from protocols.iso20022.cash_forms import CashMessage
from protocols.iso20022.fx import FxStatus
from protocols.iso20022.header import Header
from protocols.iso20022.positions import (
    PositionConfirmation,
    PositionInstruction,
    PositionMessage,
    PositionStatus,
)
from protocols.iso20022.schemas import BIZMSG
from protocols.iso20022.statements import CashPage, HoldingsPage, MovementsPage, StatementPage
from protocols.iso20022.versions import Emits

TradeMessage = (
    StatusAdvice
    | Confirmation
    | FxStatus
    | CancellationAnswer
    | HoldAnswer
    | Allegement
    | AllegementRemoval
    | Rejection
    | Receipt
    | PositionMessage
    | StatementPage
)
"""All that is told but for cash and the system."""


def definition(message: Outbound, emits: Emits = MappingProxyType({})) -> str:
    """The message definition it is written in, on a connection with these versions."""
    return versions.chosen(_profile(message), emits)


def _profile(message: Outbound) -> str:
    """Its definition in the recommended profile."""
    if isinstance(message, CashMessage):
        return cash_forms.definition(message)
    return _of_trade(message)


def _of_trade(message: TradeMessage) -> str:
    match message:
        case StatusAdvice():
            return sese024.DEFINITION
        case Confirmation():
            return sese025.DEFINITION
        case FxStatus():
            return fxtr017.DEFINITION
        case CancellationAnswer():
            return sese027.DEFINITION
        case HoldAnswer():
            return sese031.DEFINITION
        case Allegement():
            return sese028.DEFINITION
        case AllegementRemoval():
            return sese029.DEFINITION
        case Rejection() | Receipt():
            return admi.definition(message)
        case (
            PositionInstruction()
            | PositionStatus()
            | PositionConfirmation()
            | HoldingsPage()
            | MovementsPage()
            | CashPage()
        ):
            return reports.definition(message)
        case _:
            assert_never(message)


def render(message: Outbound, head: Header) -> str:
    """The BizMsg as XML text without a declaration (UTF-8 when sent); always schema-valid."""
    return business_message(head, document(message, head))


def document(message: Outbound, head: Header) -> str:
    """The Document alone, in the version that the header names; it also tells the gateway's BIC and
    the identifier of the message."""
    profile = _profile(message)
    assert versions.is_written(head.definition, profile), "the header names another message"
    return versions.translated(_document(message, head), profile, head.definition)


def _document(message: Outbound, head: Header) -> str:
    if isinstance(message, CashMessage):
        return cash_forms.document(message, head)
    return _written(message, head)


def _written(message: TradeMessage, head: Header) -> str:
    match message:
        case StatusAdvice():
            return sese024.write(message, head.sender)
        case Confirmation():
            return sese025.write(message)
        case FxStatus():
            return fxtr017.write(message, head.business_message_id)
        case CancellationAnswer():
            return sese027.write(message, head.sender)
        case HoldAnswer():
            return sese031.write(message, head.sender)
        case Allegement():
            return sese028.write(message)
        case AllegementRemoval():
            return sese029.write(message)
        case Rejection() | Receipt():
            return admi.write(message)
        case (
            PositionInstruction()
            | PositionStatus()
            | PositionConfirmation()
            | HoldingsPage()
            | MovementsPage()
            | CashPage()
        ):
            return reports.document(message, head)
        case _:
            assert_never(message)


def business_message(head: Header, written: str) -> str:
    """One BizMsg around a header and a Document that is already XML text."""
    return f'<BizMsg xmlns="{BIZMSG}">{header.write(head)}{written}</BizMsg>'


def batch(messages: list[str]) -> str:
    """BizMsgs around messages made by `render` or `business_message`."""
    return f'<BizMsgs xmlns="{BIZMSG}">{"".join(messages)}</BizMsgs>'
