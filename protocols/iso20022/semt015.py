"""Intra-position movement confirmation (semt.015.001.09), written."""

from typing import Final

from protocols.iso20022 import lock_block
from protocols.iso20022.blocks import tag
from protocols.iso20022.lexical import escaped, instant_text
from protocols.iso20022.positions import (
    PositionConfirmation,
    balances,
    owner_and_instrument,
    quantity,
)
from protocols.iso20022.schemas import ISO

DEFINITION: Final = "semt.015.001.09"


def write(confirmation: PositionConfirmation, issuer: str) -> str:
    """The Document as XML text; `issuer` is the gateway's BIC."""
    c = confirmation
    return (
        f'<Document xmlns="{ISO}{DEFINITION}"><IntraPosMvmntConf><AddtlParams>'
        f"<AcctOwnrTxId>{escaped(c.id, 35)}</AcctOwnrTxId>"
        + tag("AcctSvcrTxId", c.servicer_tx, 35)
        + tag("MktInfrstrctrTxId", c.market_tx, 35)
        + "</AddtlParams>"
        + owner_and_instrument(c.position)
        + "<IntraPosDtls>"
        + quantity("SttldQty", c.position)
        + f"<SttlmDt><DtTm>{instant_text(c.effective_at)}</DtTm></SttlmDt>"
        + balances(c.posting, issuer)
        + "</IntraPosDtls>"
        + (lock_block.write(c.lock, "/Document/IntraPosMvmntConf") if c.lock else "")
        + "</IntraPosMvmntConf></Document>"
    )
