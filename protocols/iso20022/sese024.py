"""Securities settlement transaction status advice (sese.024.001.12), written."""

from typing import Final

from protocols.iso20022 import blocks, lock_block
from protocols.iso20022.advice import (
    Matching,
    Processing,
    ProcessingStatus,
    References,
    StatusAdvice,
    TransactionDetails,
)
from protocols.iso20022.blocks import account, direction, settlement_amount, tag, transaction_type
from protocols.iso20022.lexical import escaped
from protocols.iso20022.reasons import plain
from protocols.iso20022.reasons import status as status_text
from protocols.iso20022.schemas import ISO

DEFINITION: Final = "sese.024.001.12"


def write(advice: StatusAdvice, issuer: str) -> str:
    """The Document as XML text; `issuer` is the gateway's BIC, which issues proprietary reasons."""
    assert advice.processing or advice.matching or advice.settlement, "an advice tells a status"
    parts = [f'<Document xmlns="{ISO}{DEFINITION}"><SctiesSttlmTxStsAdvc><TxId>']
    parts += [references(advice.references), "</TxId>"]
    if advice.processing:
        parts.append(f"<PrcgSts>{_processing(advice.processing, issuer)}</PrcgSts>")
    if advice.matching:
        parts.append(f"<MtchgSts>{_matching(advice, issuer)}</MtchgSts>")
    if advice.settlement:
        status, reasons = advice.settlement.status, advice.settlement.reasons
        parts.append(f"<SttlmSts>{status_text(status, reasons, issuer)}</SttlmSts>")
    if advice.details:
        parts.append(_details(advice.details))
    if advice.lock:
        parts.append(lock_block.write(advice.lock, "/Document/SctiesSttlmTxStsAdvc"))
    parts.append("</SctiesSttlmTxStsAdvc></Document>")
    return "".join(parts)


def references(ids: References) -> str:
    """The content of TxId."""
    return (
        f"<AcctOwnrTxId>{escaped(ids.account_owner_tx, 35)}</AcctOwnrTxId>"
        + tag("MktInfrstrctrTxId", ids.market_tx, 35)
        + tag("CtrPtyMktInfrstrctrTxId", ids.counterparty_market_tx, 35)
        + tag("CmonId", ids.common_id, 35)
    )


def _processing(processing: ProcessingStatus, issuer: str) -> str:
    if processing.status is Processing.CANCELLATION_REQUESTED:
        return plain(processing.status, processing.reasons, issuer)
    return status_text(processing.status, processing.reasons, issuer)


def _matching(advice: StatusAdvice, issuer: str) -> str:
    assert advice.matching is not None
    status, reasons = advice.matching.status, advice.matching.reasons
    if status is Matching.MATCHED:
        return plain(status, reasons, issuer)
    return status_text(status, reasons, issuer)


def _details(d: TransactionDetails) -> str:
    quantity = blocks.quantity("SttlmQty", d.quantity_type, d.quantity)
    amount = settlement_amount("SttlmAmt", d.amount, d.currency, d.credit_debit)
    kind = transaction_type(d.transaction_type, d.proprietary_type)
    return (
        f"<TxDtls>{account(d.account_kind, d.account)}"
        f"<FinInstrmId><ISIN>{escaped(d.isin)}</ISIN></FinInstrmId>{quantity}{amount}"
        f"<SttlmDt><Dt><Dt>{d.settlement_date.isoformat()}</Dt></Dt></SttlmDt>"
        f"{direction(d.movement, d.payment)}<SttlmParams>{kind}</SttlmParams></TxDtls>"
    )
