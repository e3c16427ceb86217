"""Securities settlement allegement removal advice (sese.029.001.06), written."""

from typing import Final

from protocols.iso20022.advice import AllegementRemoval
from protocols.iso20022.blocks import tag
from protocols.iso20022.lexical import escaped
from protocols.iso20022.schemas import ISO
from protocols.iso20022.sese028 import MIRRORED

DEFINITION: Final = "sese.029.001.06"


def write(removal: AllegementRemoval) -> str:
    """The Document as XML text."""
    return (
        f'<Document xmlns="{ISO}{DEFINITION}"><SctiesSttlmAllgmtRmvlAdvc><AcctSvcrTxId>'
        f"<TxId>{escaped(removal.reference, 35)}</TxId>"
        f"<SctiesMvmntTp>{MIRRORED[removal.movement]}</SctiesMvmntTp><Pmt>{removal.payment}</Pmt>"
        f"</AcctSvcrTxId>{tag('CtrPtyMktInfrstrctrTxId', removal.counterparty_tx, 35)}"
        "</SctiesSttlmAllgmtRmvlAdvc></Document>"
    )
