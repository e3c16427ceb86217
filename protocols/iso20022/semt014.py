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
        + f"</TxId><SttlmSts><Pdg><Rsn><Cd><Cd>{status.reason}</Cd></Cd></Rsn></Pdg></SttlmSts>"
        "</IntraPosMvmntStsAdvc></Document>"
    )
