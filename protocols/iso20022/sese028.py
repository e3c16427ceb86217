"""Securities settlement allegement notification (sese.028.001.10), written."""

from typing import Final

from protocols.iso20022 import lock_block
from protocols.iso20022.advice import Allegement
from protocols.iso20022.blocks import parties, settlement_amount, tag, transaction_type
from protocols.iso20022.instruction import CreditDebit, Movement
from protocols.iso20022.lexical import escaped
from protocols.iso20022.schemas import ISO

DEFINITION: Final = "sese.028.001.10"

#: As the alleged party would say it.
MIRRORED: Final = {Movement.DELI: Movement.RECE, Movement.RECE: Movement.DELI}
_PAID: Final = {CreditDebit.CRDT: CreditDebit.DBIT, CreditDebit.DBIT: CreditDebit.CRDT}


def write(allegement: Allegement) -> str:
    """The Document as XML text."""
    i = allegement.instruction
    reference = escaped(allegement.reference, 35)
    direction = None if i.credit_debit is None else _PAID[i.credit_debit]
    return (
        f'<Document xmlns="{ISO}{DEFINITION}"><SctiesSttlmTxAllgmtNtfctn><TxId>{reference}</TxId>'
        f"<SttlmTpAndAddtlParams><SctiesMvmntTp>{MIRRORED[i.movement]}</SctiesMvmntTp>"
        f"<Pmt>{i.payment}</Pmt>{tag('CmonId', i.common_id, 35)}</SttlmTpAndAddtlParams>"
        f"{tag('CtrPtyMktInfrstrctrTxId', allegement.counterparty_tx, 35)}"
        f"<TradDtls><TradDt><Dt><Dt>{i.trade_date}</Dt></Dt></TradDt>"
        f"<SttlmDt><Dt><Dt>{i.settlement_date}</Dt></Dt></SttlmDt></TradDtls>"
        f"<FinInstrmId><ISIN>{escaped(i.isin)}</ISIN></FinInstrmId>"
        f"<QtyAndAcctDtls><SttlmQty><{i.quantity_type}>{i.quantity}</{i.quantity_type}></SttlmQty>"
        "</QtyAndAcctDtls>"
        f"<SttlmParams>{transaction_type(i.transaction_type, i.proprietary_type)}</SttlmParams>"
        + parties("DlvrgSttlmPties", i.delivering)
        + parties("RcvgSttlmPties", i.receiving)
        + settlement_amount("SttlmAmt", i.amount, i.currency, direction)
        + (lock_block.write(i.lock, "/Document/SctiesSttlmTxAllgmtNtfctn") if i.lock else "")
        + "</SctiesSttlmTxAllgmtNtfctn></Document>"
    )
