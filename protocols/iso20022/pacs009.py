"""Financial institution credit transfer (pacs.009): decode versions .08 to .13.

One message, one payment: the rule of CBPR+ and of TARGET. The lock block may stand in it, or, where
a market forbids supplementary data, a pointer to the swap in `RmtInf/Ustrd`: `/HTLC/<SwpId>`.
"""

import re
from datetime import date
from typing import Final

from protocols.iso20022.codes import PaymentReason
from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.lexical import instant
from protocols.iso20022.paying import Reading
from protocols.iso20022.payment import PaymentOrder

_PLACE: Final = "/Document/FICdtTrf"
_TRANSACTION: Final = "CdtTrfTxInf"
_POINTER: Final = re.compile(r"/HTLC/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


def decode(enveloped: Enveloped) -> PaymentOrder:
    """The payment in a validated message; what cannot be paid here is told in `unreadable`."""
    reading = Reading(enveloped.document[0], _PLACE)
    transactions = len(reading.root.findall(f"{{*}}{_TRANSACTION}"))
    if transactions != 1:
        rule = f"one message orders one payment, this one {transactions}"
        reading.fault(PaymentReason.AM18, _TRANSACTION, rule)
    day = _day(reading)
    amount = reading.find(f"{_TRANSACTION}/IntrBkSttlmAmt")
    assert amount is not None, "the schema requires it"
    lock = reading.lock(_TRANSACTION, f"{_TRANSACTION}/SplmtryData/Envlp")
    return PaymentOrder(
        sender=enveloped.header.sender,
        definition=enveloped.definition,
        message_id=reading.text("GrpHdr/MsgId") or "",
        instruction_id=reading.text(f"{_TRANSACTION}/PmtId/InstrId"),
        end_to_end_id=reading.text(f"{_TRANSACTION}/PmtId/EndToEndId") or "",
        uetr=reading.text(f"{_TRANSACTION}/PmtId/UETR"),
        amount=reading.amount(f"{_TRANSACTION}/IntrBkSttlmAmt"),
        currency=str(amount.get("Ccy")),
        settlement_date=day,
        reject_at=_reject_at(reading, day),
        debtor=reading.text(f"{_TRANSACTION}/Dbtr/FinInstnId/BICFI"),
        debtor_account=reading.account(f"{_TRANSACTION}/DbtrAcct"),
        creditor=reading.text(f"{_TRANSACTION}/Cdtr/FinInstnId/BICFI"),
        creditor_account=reading.account(f"{_TRANSACTION}/CdtrAcct"),
        swap_id=lock.swap_id if lock else _pointer(reading),
        lock=lock,
        unreadable=tuple(reading.faults),
    )


def _day(reading: Reading) -> date | None:
    """The settlement date, of the payment or of the group."""
    own = f"{_TRANSACTION}/IntrBkSttlmDt"
    return reading.day(own if reading.find(own) is not None else "GrpHdr/IntrBkSttlmDt")


def _reject_at(reading: Reading, day: date | None) -> int | None:
    """When the payment is to be rejected if it has not been made: a time of its settlement date."""
    field = f"{_TRANSACTION}/SttlmTmReq/RjctTm"
    text = reading.text(field)
    if text is None:
        return None
    if day is None:
        reading.fault(PaymentReason.DT01, field, "a time needs the settlement date beside it")
        return None
    try:
        return instant(f"{day}T{text.strip()}")
    except ValueError:
        reading.fault(
            PaymentReason.TM01, field, f"{text} is no time with a zone, such as 14:00:00Z"
        )
        return None


def _pointer(reading: Reading) -> str | None:
    for line in reading.root.iterfind(f"{{*}}{_TRANSACTION}/{{*}}RmtInf/{{*}}Ustrd"):
        if found := _POINTER.search(line.text or ""):
            return found[1]
    return None
