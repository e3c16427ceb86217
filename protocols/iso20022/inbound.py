"""What members may send, read: one decoder per message definition, whatever its version.

A message family is added here (what its documents say) and in `gateway.intake` (what becomes of
them); `envelope.ACCEPTED` says which of its versions are agreed.
"""

from collections.abc import Callable, Mapping
from typing import Final

from protocols.iso20022 import camt050, camt056, fxtr014, pacs009, sese020, sese023, sese030
from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.fx import FxAmendment, FxCancellation, FxTrade
from protocols.iso20022.instruction import SettlementInstruction
from protocols.iso20022.payment import LiquidityTransfer, PaymentOrder, PaymentRecall
from protocols.iso20022.requests import CancellationRequest, HoldRequest

Content = (
    SettlementInstruction
    | CancellationRequest
    | HoldRequest
    | FxTrade
    | FxAmendment
    | FxCancellation
    | PaymentOrder
    | PaymentRecall
    | LiquidityTransfer
)
"""What a validated message says."""

DECODERS: Final[Mapping[str, Callable[[Enveloped], Content]]] = {
    "camt.050": camt050.decode,
    "camt.056": camt056.decode,
    "fxtr.014": fxtr014.decode,
    "fxtr.015": fxtr014.decode_amendment,
    "fxtr.016": fxtr014.decode_cancellation,
    "pacs.009": pacs009.decode,
    "sese.020": sese020.decode,
    "sese.023": sese023.decode,
    "sese.030": sese030.decode,
}


def family(definition: str) -> str:
    """The message without its variant and version: sese.023 of sese.023.001.11."""
    return definition[:8]


def decode(enveloped: Enveloped) -> Content:
    """The content of a message that `envelope.validate` has accepted."""
    return enveloped.plain or DECODERS[family(enveloped.definition)](enveloped)
