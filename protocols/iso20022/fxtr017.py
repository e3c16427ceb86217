"""Foreign exchange trade status and details notification (fxtr.017.001.05), written.

`StsCd` has the status, `SubStsCd` the reason beside it (a code of ours or of the securities code
sets, four characters), `GnlInf/SndrToRcvrInf` the same for people.
"""

from typing import Final

from protocols.iso20022 import lock_block
from protocols.iso20022.blocks import tag
from protocols.iso20022.fx import FxStatus
from protocols.iso20022.fxtr014_write import amounts, parties, rate
from protocols.iso20022.lexical import boolean_text, escaped, instant_text
from protocols.iso20022.schemas import ISO

DEFINITION: Final = "fxtr.017.001.05"


def write(status: FxStatus, message_id: str) -> str:
    """The Document as XML text; `message_id` is that of the header."""
    s, t = status, status.trade
    text = tag("SndrToRcvrInf", s.text, 210)
    return (
        f'<Document xmlns="{ISO}{DEFINITION}"><FXTradStsAndDtlsNtfctn><StsDtls>'
        f"<MtchgSysUnqRef>{escaped(s.market_tx, 35)}</MtchgSysUnqRef>"
        + tag("MtchgSysMtchgRef", s.matching_tx, 35)
        + tag("MtchgSysMtchdSdRef", s.counterparty_market_tx, 35)
        + f"<CurSts><StsCd><Cd>{s.status}</Cd></StsCd>"
        + tag("SubStsCd", s.sub_status)
        + f"</CurSts><CurStsDtTm>{instant_text(s.at)}</CurStsDtTm></StsDtls>"
        f"<TradInf><TradDt>{t.trade_date}</TradDt><MsgId>{escaped(message_id, 35)}</MsgId>"
        f"<OrgtrRef>{escaped(t.transaction_id, 35)}</OrgtrRef>"
        + tag("CmonRef", t.common_id, 35)
        + tag("AmdOrCclRsn", s.reason, 35)
        + tag("OprTp", s.answers)
        + "<SpltTradInd>false</SpltTradInd>"
        f"<PmtVrssPmtInd>{boolean_text(t.pvp)}</PmtVrssPmtInd></TradInf>"
        + parties(t)
        + amounts(t)
        + rate(t)
        + (f"<GnlInf>{text}</GnlInf>" if text else "")
        + (lock_block.write(s.lock, "/Document/FXTradStsAndDtlsNtfctn") if s.lock else "")
        + "</FXTradStsAndDtlsNtfctn></Document>"
    )
