"""Resolution of investigation (camt.029.001.09), written: the answer to a payment recall."""

from typing import Final

from protocols.iso20022.blocks import tag
from protocols.iso20022.header import Header
from protocols.iso20022.lexical import escaped, instant_text
from protocols.iso20022.paying import agent, original
from protocols.iso20022.payment import RecallAnswer
from protocols.iso20022.schemas import ISO

DEFINITION: Final = "camt.029.001.09"


def write(answer: RecallAnswer, head: Header) -> str:
    """The Document as XML text; assigned by the header's sender to its receiver."""
    return (
        f'<Document xmlns="{ISO}{DEFINITION}"><RsltnOfInvstgtn><Assgnmt>'
        f"<Id>{escaped(head.business_message_id, 35)}</Id>"
        f"<Assgnr>{agent('Agt', head.sender)}</Assgnr>"
        f"<Assgne>{agent('Agt', head.receiver)}</Assgne>"
        f"<CreDtTm>{instant_text(head.created_at)}</CreDtTm></Assgnmt>"
        f"<Sts><Conf>{answer.status}</Conf></Sts>"
        f"<CxlDtls><TxInfAndSts>{_payment(answer)}</TxInfAndSts></CxlDtls>"
        "</RsltnOfInvstgtn></Document>"
    )


def _payment(answer: RecallAnswer) -> str:
    reason = ""
    if answer.code is not None:
        text = tag("AddtlInf", answer.text, 105)
        reason = f"<CxlStsRsnInf><Rsn><Cd>{answer.code.value}</Cd></Rsn>{text}</CxlStsRsnInf>"
    return original(answer.payment) + reason
