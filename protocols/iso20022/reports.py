"""What the gateway tells of positions and accounts: registry position messages and statements, each
with the message definition it is written in."""

from collections.abc import Mapping
from typing import Final

from protocols.iso20022 import camt053, semt002, semt013, semt014, semt015, semt017
from protocols.iso20022.cash_forms import Form
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

FORMS: Final[Mapping[type, Form]] = {
    PositionInstruction: Form(
        semt013.DEFINITION, lambda value, head: semt013.write(value, head.sender)
    ),
    PositionStatus: Form(semt014.DEFINITION, lambda value, _: semt014.write(value)),
    PositionConfirmation: Form(
        semt015.DEFINITION, lambda value, head: semt015.write(value, head.sender)
    ),
    HoldingsPage: Form(semt002.DEFINITION, lambda value, _: semt002.write(value)),
    MovementsPage: Form(semt017.DEFINITION, lambda value, _: semt017.write(value)),
    CashPage: Form(
        camt053.DEFINITION,
        lambda value, head: camt053.write(value, head.business_message_id, head.created_at),
    ),
}


def definition(report: Report) -> str:
    """The message definition it is written in."""
    return FORMS[type(report)].definition
