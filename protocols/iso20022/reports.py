"""What the gateway tells of positions and accounts: registry position messages and statements, each
with the message definition it is written in."""

from typing import assert_never

from protocols.iso20022 import camt053, semt002, semt013, semt014, semt015, semt017
from protocols.iso20022.header import Header
from protocols.iso20022.positions import (
    PositionConfirmation,
    PositionInstruction,
    PositionStatus,
)
from protocols.iso20022.statements import CashPage, HoldingsPage, MovementsPage

Report = (
    PositionInstruction
    | PositionStatus
    | PositionConfirmation
    | HoldingsPage
    | MovementsPage
    | CashPage
)


def definition(report: Report) -> str:
    """The message definition it is written in."""
    match report:
        case PositionInstruction():
            return semt013.DEFINITION
        case PositionStatus():
            return semt014.DEFINITION
        case PositionConfirmation():
            return semt015.DEFINITION
        case HoldingsPage():
            return semt002.DEFINITION
        case MovementsPage():
            return semt017.DEFINITION
        case CashPage():
            return camt053.DEFINITION
        case _:
            assert_never(report)


def document(report: Report, head: Header) -> str:
    """The Document; the header tells the gateway's BIC, and identifier and instant of the
    message."""
    match report:
        case PositionInstruction():
            return semt013.write(report, head.sender)
        case PositionStatus():
            return semt014.write(report)
        case PositionConfirmation():
            return semt015.write(report, head.sender)
        case HoldingsPage():
            return semt002.write(report)
        case MovementsPage():
            return semt017.write(report)
        case CashPage():
            return camt053.write(report, head.business_message_id, head.created_at)
        case _:
            assert_never(report)
