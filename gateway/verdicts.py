"""What is counted of the messages that came: the labels of their metric."""

from gateway.inbound import Arrival
from gateway.port import Taken
from protocols.iso20022 import envelope
from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.errors import ProtocolError


def verdict_on(
    said: Enveloped | ProtocolError,
    judged: Arrival | ProtocolError,
    outcome: Taken | ProtocolError,
) -> tuple[str, str, str]:
    """What is counted of a message: definition, verdict, code (bounded, each of them)."""
    known = isinstance(said, Enveloped) and said.definition in envelope.ACCEPTED
    definition = said.definition if known and isinstance(said, Enveloped) else "other"
    if isinstance(outcome, ProtocolError):
        return definition, "rejected", outcome.code.value
    if isinstance(judged, Arrival) and judged.refusal is not None:
        return definition, "refused", judged.refusal.code.value
    return definition, "accepted", ""
