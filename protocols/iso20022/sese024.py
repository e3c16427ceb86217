"""Securities settlement transaction status advice (sese.024.001.12), written."""

from typing import Final

from protocols.iso20022 import lock_block
from protocols.iso20022.advice import (
    Matching,
    Processing,
    ProcessingStatus,
    Reason,
    References,
    StatusAdvice,
    TransactionDetails,
)
from protocols.iso20022.blocks import account, settlement_amount, tag, transaction_type
from protocols.iso20022.lexical import escaped
from protocols.iso20022.schemas import ISO

DEFINITION: Final = "sese.024.001.12"

# Scheme of our proprietary reasons; the issuer is the gateway itself.
_SCHEME: Final = "HTLC"
_NO_REASON: Final = "<NoSpcfdRsn>NORE</NoSpcfdRsn>"


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
        parts.append(f"<SttlmSts>{_status(status, reasons, issuer)}</SttlmSts>")
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
        return _plain(processing.status, processing.reasons, issuer)
    return _status(processing.status, processing.reasons, issuer)


def _matching(advice: StatusAdvice, issuer: str) -> str:
    assert advice.matching is not None
    status, reasons = advice.matching.status, advice.matching.reasons
    if status is Matching.MATCHED:
        return _plain(status, reasons, issuer)
    return _status(status, reasons, issuer)


def _plain(name: str, reasons: tuple[Reason, ...], issuer: str) -> str:
    """A status whose type is ProprietaryReason4: one optional proprietary reason and text."""
    if not reasons:
        return f"<{name}/>"
    reason = reasons[0]
    proprietary = f"<Rsn>{_identity(reason, issuer)}</Rsn>" if reason.htlc else ""
    return f"<{name}>{proprietary}{tag('AddtlRsnInf', reason.text, 210)}</{name}>"


def _status(name: str, reasons: tuple[Reason, ...], issuer: str) -> str:
    if not reasons:
        return f"<{name}>{_NO_REASON}</{name}>"
    return f"<{name}>{''.join(_reason(reason, issuer) for reason in reasons)}</{name}>"


def _reason(reason: Reason, issuer: str) -> str:
    """Rsn repeats: the standard code first, then the proprietary one, which carries the text."""
    text = tag("AddtlRsnInf", reason.text, 210)
    standard = f"<Rsn><Cd><Cd>{reason.code}</Cd></Cd>" if reason.code else ""
    if reason.htlc is None:
        return f"{standard}{text}</Rsn>"
    proprietary = f"<Rsn><Cd><Prtry>{_identity(reason, issuer)}</Prtry></Cd>{text}</Rsn>"
    return (standard + "</Rsn>" if standard else "") + proprietary


def _identity(reason: Reason, issuer: str) -> str:
    assert reason.htlc is not None
    return f"<Id>{reason.htlc.value}</Id><Issr>{escaped(issuer)}</Issr><SchmeNm>{_SCHEME}</SchmeNm>"


def _details(d: TransactionDetails) -> str:
    return (
        "<TxDtls>"
        + account(d.account_kind, d.account)
        + f"<FinInstrmId><ISIN>{escaped(d.isin)}</ISIN></FinInstrmId>"
        f"<SttlmQty><Qty><{d.quantity_type}>{d.quantity}</{d.quantity_type}></Qty></SttlmQty>"
        + settlement_amount("SttlmAmt", d.amount, d.currency, d.credit_debit)
        + f"<SttlmDt><Dt><Dt>{d.settlement_date}</Dt></Dt></SttlmDt>"
        f"<SctiesMvmntTp>{d.movement}</SctiesMvmntTp><Pmt>{d.payment}</Pmt>"
        f"<SttlmParams>{transaction_type(d.transaction_type, d.proprietary_type)}</SttlmParams>"
        "</TxDtls>"
    )
