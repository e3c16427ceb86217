"""Intra-position movement instruction (semt.013.001.06), written."""

from typing import Final

from protocols.iso20022 import lock_block
from protocols.iso20022.blocks import tag
from protocols.iso20022.lexical import escaped
from protocols.iso20022.positions import (
    PositionInstruction,
    balances,
    owner_and_instrument,
    quantity,
)
from protocols.iso20022.schemas import ISO

DEFINITION: Final = "semt.013.001.06"


def write(instruction: PositionInstruction, issuer: str) -> str:
    """The Document as XML text; `issuer` is the gateway's BIC."""
    i = instruction
    market = tag("MktInfrstrctrTxId", i.market_tx, 35)
    payee = f"to account {i.payee_account}" if i.payee_account else None
    return (
        f'<Document xmlns="{ISO}{DEFINITION}"><IntraPosMvmntInstr>'
        f"<TxId>{escaped(i.id, 35)}</TxId>"
        + (f"<Lnkgs><Ref>{market}</Ref></Lnkgs>" if market else "")
        + owner_and_instrument(i.position)
        + "<IntraPosDtls>"
        + quantity("SttlmQty", i.position)
        + f"<SttlmDt><Dt>{i.settlement_date}</Dt></SttlmDt>"
        + balances(i.posting, issuer)
        + tag("InstrPrcgAddtlDtls", payee)
        + "</IntraPosDtls>"
        + (lock_block.write(i.lock, "/Document/IntraPosMvmntInstr") if i.lock else "")
        + "</IntraPosMvmntInstr></Document>"
    )
