"""Administration messages: message rejection (admi.002) and receipt acknowledgement (admi.007)."""

from typing import Final

from protocols.iso20022.advice import Receipt, Rejection
from protocols.iso20022.blocks import tag
from protocols.iso20022.lexical import escaped, instant_text
from protocols.iso20022.schemas import ISO

REJECTION: Final = "admi.002.001.01"
RECEIPT: Final = "admi.007.001.01"


def write_rejection(rejection: Rejection) -> str:
    """admi.002 as XML text; `ErrLctn` names the field, `RsnDesc` says what is wrong with it."""
    return (
        f'<Document xmlns="{ISO}{REJECTION}"><{REJECTION}>'  # the root really has this name
        f"<RltdRef><Ref>{escaped(rejection.reference, 35)}</Ref></RltdRef>"
        f"<Rsn><RjctgPtyRsn>{rejection.code.value}</RjctgPtyRsn>"
        f"<RjctnDtTm>{instant_text(rejection.rejected_at)}</RjctnDtTm>"
        + tag("ErrLctn", rejection.location)
        + tag("RsnDesc", rejection.description)
        + f"</Rsn></{REJECTION}></Document>"
    )


def write_receipt(receipt: Receipt) -> str:
    """admi.007 as XML text, status ACPT: accepted for processing."""
    at = instant_text(receipt.received_at)
    return (
        f'<Document xmlns="{ISO}{RECEIPT}"><RctAck>'
        f"<MsgId><MsgId>{escaped(receipt.message_id, 35)}</MsgId><CreDtTm>{at}</CreDtTm></MsgId>"
        f"<Rpt><RltdRef><Ref>{escaped(receipt.reference, 35)}</Ref>"
        f"<MsgNm>{escaped(receipt.definition, 35)}</MsgNm>"
        f"<RefIssr><Id><AnyBIC>{escaped(receipt.sender)}</AnyBIC></Id></RefIssr></RltdRef>"
        f"<ReqHdlg><StsCd>ACPT</StsCd><StsDtTm>{at}</StsDtTm></ReqHdlg></Rpt></RctAck></Document>"
    )
