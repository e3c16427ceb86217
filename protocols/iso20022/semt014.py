"""Intra-position movement status advice (semt.014.001.07), written."""

from typing import Final

from protocols.iso20022.blocks import tag
from protocols.iso20022.lexical import escaped
from protocols.iso20022.positions import PositionStatus
from protocols.iso20022.schemas import ISO

DEFINITION: Final = "semt.014.001.07"


def write(status: PositionStatus) -> str:
    """The Document as XML text."""
    return (
        f'<Document xmlns="{ISO}{DEFINITION}"><IntraPosMvmntStsAdvc><TxId>'
        f"<AcctOwnrTxId>{escaped(status.id, 35)}</AcctOwnrTxId>"
        + tag("AcctSvcrTxId", status.servicer_tx, 35)
        + tag("MktInfrstrctrTxId", status.market_tx, 35)
        + "</TxId>"
        + _status(status)
        + "</IntraPosMvmntStsAdvc></Document>"
    )


def _status(status: PositionStatus) -> str:
    text = tag("AddtlRsnInf", status.text, 210)
    reason = f"<Rsn><Cd><Cd>{status.reason}</Cd></Cd>{text}</Rsn>"
    if status.rejected:
        return f"<PrcgSts><Rjctd>{reason}</Rjctd></PrcgSts>"
    return f"<SttlmSts><Pdg>{reason}</Pdg></SttlmSts>"
