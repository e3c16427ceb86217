"""Liquidity credit transfer (camt.050): decode version .05."""

from typing import Final

from protocols.iso20022.codes import PaymentReason
from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.paying import Reading
from protocols.iso20022.payment import LiquidityTransfer

_PLACE: Final = "/Document/LqdtyCdtTrf"
_TRANSFER: Final = "LqdtyCdtTrf"
_AMOUNT: Final = f"{_TRANSFER}/TrfdAmt/AmtWthCcy"


def decode(enveloped: Enveloped) -> LiquidityTransfer:
    """The transfer in a validated message; what cannot be done here is told in `unreadable`."""
    reading = Reading(enveloped.document[0], _PLACE)
    amount = reading.find(_AMOUNT)
    if amount is None:
        rule = "the amount names its currency (AmtWthCcy)"
        reading.fault(PaymentReason.AM03, f"{_TRANSFER}/TrfdAmt", rule)
    return LiquidityTransfer(
        message_id=reading.text("MsgHdr/MsgId") or "",
        definition=enveloped.definition,
        transfer_id=reading.text(f"{_TRANSFER}/LqdtyTrfId/InstrId")
        or reading.text(f"{_TRANSFER}/LqdtyTrfId/EndToEndId"),
        amount="0" if amount is None else reading.amount(_AMOUNT),
        currency=None if amount is None else str(amount.get("Ccy")),
        debit_account=reading.account(f"{_TRANSFER}/DbtrAcct"),
        credit_account=reading.account(f"{_TRANSFER}/CdtrAcct"),
        settlement_date=reading.day(f"{_TRANSFER}/SttlmDt"),
        unreadable=tuple(reading.faults),
    )
