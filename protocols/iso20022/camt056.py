"""Payment cancellation request (camt.056): decode version .08."""

from typing import Final

from lxml import etree

from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.payment import PaymentRecall, PaymentReferences

_CASE: Final = "{*}Assgnmt/{*}Id"


def decode(enveloped: Enveloped) -> PaymentRecall:
    """The recall in a validated message. One payment is asked back by one message; `unserved` says
    what this one has instead."""
    root = enveloped.document[0]
    payments = root.findall("{*}Undrlyg/{*}TxInf")
    case_id = root.findtext(_CASE) or ""
    if len(payments) != 1 or root.find("{*}Undrlyg/{*}OrgnlGrpInfAndCxl") is not None:
        rule = f"Undrlyg: one payment (TxInf) is asked back by one message, here {len(payments)}"
        return PaymentRecall(case_id=case_id, payment=PaymentReferences(), unserved=rule)
    return PaymentRecall(case_id=case_id, payment=_references(payments[0]))


def _references(payment: etree._Element) -> PaymentReferences:
    return PaymentReferences(
        message_id=payment.findtext("{*}OrgnlGrpInf/{*}OrgnlMsgId"),
        definition=payment.findtext("{*}OrgnlGrpInf/{*}OrgnlMsgNmId"),
        instruction_id=payment.findtext("{*}OrgnlInstrId"),
        end_to_end_id=payment.findtext("{*}OrgnlEndToEndId"),
        uetr=payment.findtext("{*}OrgnlUETR"),
    )
