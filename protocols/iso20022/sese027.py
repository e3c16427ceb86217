"""Securities transaction cancellation request status advice (sese.027.001.07), written."""

from typing import Final

from protocols.iso20022.advice import CancellationAnswer
from protocols.iso20022.blocks import tag
from protocols.iso20022.lexical import escaped
from protocols.iso20022.reasons import status
from protocols.iso20022.schemas import ISO

DEFINITION: Final = "sese.027.001.07"


def write(answer: CancellationAnswer, issuer: str) -> str:
    """The Document as XML text; `issuer` is the gateway's BIC."""
    return (
        f'<Document xmlns="{ISO}{DEFINITION}"><SctiesTxCxlReqStsAdvc>'
        f"<CxlReqRef>{escaped(answer.request, 35)}</CxlReqRef>"
        + _transaction(answer)
        + f"<PrcgSts>{status(answer.status, answer.reasons, issuer)}</PrcgSts>"
        "</SctiesTxCxlReqStsAdvc></Document>"
    )


def _transaction(answer: CancellationAnswer) -> str:
    """TxId, where the request is about an instruction: its type and payment must be named."""
    if answer.movement is None or answer.payment is None:
        return ""
    ids = answer.references
    return (
        "<TxId>"
        + tag("MktInfrstrctrTxId", ids.market_tx, 35)
        + tag("CtrPtyMktInfrstrctrTxId", ids.counterparty_market_tx, 35)
        + f"<AcctOwnrTxId><SctiesSttlmTxId><TxId>{escaped(ids.account_owner_tx, 35)}</TxId>"
        f"<SctiesMvmntTp>{answer.movement}</SctiesMvmntTp><Pmt>{answer.payment}</Pmt>"
        "</SctiesSttlmTxId></AcctOwnrTxId></TxId>"
    )
