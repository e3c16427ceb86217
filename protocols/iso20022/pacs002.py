"""Payment status report (pacs.002.001.10), written: the status of one payment."""

from typing import Final

from protocols.iso20022 import lock_block
from protocols.iso20022.blocks import tag
from protocols.iso20022.header import Header
from protocols.iso20022.lexical import escaped, instant_text
from protocols.iso20022.paying import original
from protocols.iso20022.payment import PaymentStatus
from protocols.iso20022.schemas import ISO

DEFINITION: Final = "pacs.002.001.10"

_PLACE: Final = "/Document/FIToFIPmtStsRpt/TxInfAndSts"


def write(status: PaymentStatus, head: Header) -> str:
    """The Document as XML text; it shares identifier and time with its header."""
    s = status
    effective = ""
    if s.effective_at is not None:
        at = instant_text(s.effective_at)
        effective = f"<FctvIntrBkSttlmDt><DtTm>{at}</DtTm></FctvIntrBkSttlmDt>"
    return (
        f'<Document xmlns="{ISO}{DEFINITION}"><FIToFIPmtStsRpt><GrpHdr>'
        f"<MsgId>{escaped(head.business_message_id, 35)}</MsgId>"
        f"<CreDtTm>{instant_text(head.created_at)}</CreDtTm></GrpHdr><TxInfAndSts>"
        + original(s.payment)
        + f"<TxSts>{s.status.value}</TxSts>"
        + _reason(s)
        + effective
        + tag("ClrSysRef", s.market_tx, 35)
        + (lock_block.write(s.lock, _PLACE) if s.lock else "")
        + "</TxInfAndSts></FIToFIPmtStsRpt></Document>"
    )


def _reason(s: PaymentStatus) -> str:
    text = tag("AddtlInf", s.text, 105)
    if s.code is not None:
        return f"<StsRsnInf><Rsn><Cd>{s.code.value}</Cd></Rsn>{text}</StsRsnInf>"
    if s.proprietary is not None:
        reason = f"<Rsn>{tag('Prtry', s.proprietary, 35)}</Rsn>"
        return f"<StsRsnInf>{reason}{text}</StsRsnInf>"
    return f"<StsRsnInf>{text}</StsRsnInf>" if text else ""
