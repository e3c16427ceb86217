"""Securities settlement condition modification status advice (sese.031.001.09), written."""

from typing import Final

from protocols.iso20022.advice import Answering, HoldAnswer
from protocols.iso20022.blocks import account
from protocols.iso20022.lexical import boolean_text, escaped
from protocols.iso20022.reasons import plain, status
from protocols.iso20022.schemas import ISO
from protocols.iso20022.sese030 import PARTY_HOLD

DEFINITION: Final = "sese.031.001.09"


def write(answer: HoldAnswer, issuer: str) -> str:
    """The Document as XML text; `issuer` is the gateway's BIC."""
    write_status = plain if answer.status is Answering.COMPLETED else status
    return (
        f'<Document xmlns="{ISO}{DEFINITION}"><SctiesSttlmCondModStsAdvc>'
        f"<ReqRef>{escaped(answer.request, 35)}</ReqRef>"
        + account(answer.account_kind, answer.account)
        + _request(answer)
        + f"<PrcgSts>{write_status(answer.status, answer.reasons, issuer)}</PrcgSts>"
        "</SctiesSttlmCondModStsAdvc></Document>"
    )


def _request(answer: HoldAnswer) -> str:
    """What was asked, where the request was about one instruction and one hold."""
    if answer.transaction_id is None or answer.hold is None:
        return ""
    return (
        f"<ReqDtls><Ref><AcctOwnrTxId>{escaped(answer.transaction_id, 35)}</AcctOwnrTxId></Ref>"
        f"<HldInd><Ind>{boolean_text(answer.hold)}</Ind>"
        f"<Rsn><Cd><Cd>{PARTY_HOLD}</Cd></Cd></Rsn></HldInd></ReqDtls>"
    )
