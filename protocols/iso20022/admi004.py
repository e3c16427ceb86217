"""System event notification (admi.004.001.02), written."""

from typing import Final

from protocols.iso20022.blocks import tag
from protocols.iso20022.lexical import escaped, instant_text
from protocols.iso20022.payment import SystemEvent
from protocols.iso20022.schemas import ISO

DEFINITION: Final = "admi.004.001.02"


def write(event: SystemEvent) -> str:
    """The Document as XML text."""
    return (
        f'<Document xmlns="{ISO}{DEFINITION}"><SysEvtNtfctn><EvtInf>'
        f"<EvtCd>{event.code.value}</EvtCd>"
        + "".join(f"<EvtParam>{escaped(text, 35)}</EvtParam>" for text in event.parameters)
        + tag("EvtDesc", event.text or event.code.meaning, 1000)
        + f"<EvtTm>{instant_text(event.at)}</EvtTm></EvtInf></SysEvtNtfctn></Document>"
    )
