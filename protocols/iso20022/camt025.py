"""Receipt (camt.025.001.05), written: what became of a liquidity transfer.

`StsCd` is SSET (settled) or REJT (rejected), as in the interface of TARGET; a second `ReqHdlg`
then has the reason.
"""

from typing import Final

from protocols.iso20022.blocks import tag
from protocols.iso20022.header import Header
from protocols.iso20022.lexical import escaped, instant_text
from protocols.iso20022.payment import TransferReceipt
from protocols.iso20022.schemas import ISO

DEFINITION: Final = "camt.025.001.05"

SETTLED: Final = "SSET"
REJECTED: Final = "REJT"


def write(receipt: TransferReceipt, head: Header) -> str:
    """The Document as XML text; it shares identifier and time with its header."""
    return (
        f'<Document xmlns="{ISO}{DEFINITION}"><Rct><MsgHdr>'
        f"<MsgId>{escaped(head.business_message_id, 35)}</MsgId>"
        f"<CreDtTm>{instant_text(head.created_at)}</CreDtTm></MsgHdr><RctDtls><OrgnlMsgId>"
        f"<MsgId>{escaped(receipt.message_id, 35)}</MsgId>"
        f"<MsgNmId>{escaped(receipt.definition, 35)}</MsgNmId></OrgnlMsgId>"
        + _handling(receipt)
        + "</RctDtls></Rct></Document>"
    )


def _handling(receipt: TransferReceipt) -> str:
    if receipt.code is None:
        return _one(SETTLED, "Settled")
    return _one(REJECTED, "Rejected") + _one(
        receipt.code.value, receipt.text or receipt.code.meaning
    )


def _one(code: str, text: str) -> str:
    return f"<ReqHdlg><StsCd>{code}</StsCd>{tag('Desc', text, 140)}</ReqHdlg>"
