"""Messages taken in: each is kept byte for byte, and one that came before is answered as then.

The judgement is pure (`Inbox`); `known` and `store` are its two ends in the database.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.journal import QUERIES
from gateway.port import Taken
from gateway.sql import Connection
from htlc.units import Value
from protocols.iso20022 import envelope, inbound, json_form
from protocols.iso20022.advice import Receipt
from protocols.iso20022.envelope import ACCEPTED, Enveloped
from protocols.iso20022.errors import ProtocolError, RejectCode
from protocols.iso20022.header import Header, Related
from protocols.iso20022.inbound import Content
from protocols.iso20022.instruction import SettlementInstruction
from protocols.iso20022.rules import BusinessRefusal

NEAR_MAX: Final = 50
"""Instructions that share one key of two with an arrival and are looked at, for each key: one of
them may name a near miss. Where there are more, a party has thousands unmatched in one ISIN, and is
told CMIS if none of these is near."""


class Arrival(Value, frozen=True, kw_only=True):
    """A valid message of a member, read; `refusal` is what its own content deserves."""

    id: str
    member: str  # eleven characters
    received_at: int
    enveloped: Enveloped
    content: Content
    refusal: BusinessRefusal | None = None

    @property
    def message_id(self) -> str:
        """BizMsgIdr, the sender's own."""
        return self.enveloped.header.business_message_id

    @property
    def key(self) -> tuple[str, str]:
        """The idempotency key: (Fr, BizMsgIdr)."""
        return (self.member, self.enveloped.header.business_message_id)

    @property
    def family(self) -> str:
        """The message definition without its version, for example sese.023."""
        return inbound.family(self.enveloped.definition)

    @property
    def instruction(self) -> SettlementInstruction:
        """The content of a sese.023."""
        assert isinstance(self.content, SettlementInstruction), f"{self.family} is dispatched so"
        return self.content


class Earlier(Value, frozen=True, kw_only=True):
    """A message that came before under the same key."""

    id: str
    received_at: int
    definition: str
    raw: bytes


class Inbox:
    """What came before under the keys of a batch. Feed it with `take`; then `new` is to be kept."""

    def __init__(self, messages: Mapping[tuple[str, str], Earlier]) -> None:
        self._messages = dict(messages)
        self.new: list[Arrival] = []

    def take(self, arrival: Arrival) -> Taken | ProtocolError:
        """The answer to one message. A duplicate gets the stored one; nothing else happens."""
        key = arrival.key
        earlier = self._messages.get(key)
        if earlier is not None:
            return _again(arrival, earlier)
        self._messages[key] = Earlier(
            id=arrival.id,
            received_at=arrival.received_at,
            definition=arrival.enveloped.definition,
            raw=arrival.enveloped.raw,
        )
        self.new.append(arrival)
        return _taken(arrival, arrival.id, arrival.received_at)


async def known(connection: Connection, arrivals: Sequence[Arrival]) -> Inbox:
    """What the store knows under the keys of these arrivals."""
    rows = await connection.fetch(
        QUERIES["known_inbound"],
        [arrival.member for arrival in arrivals],
        [arrival.message_id for arrival in arrivals],
    )
    return Inbox(
        {
            (row["member"], row["message_id"]): Earlier(
                id=str(row["id"]),
                received_at=row["received_at"],
                definition=row["definition"],
                raw=row["raw"],
            )
            for row in rows
        }
    )


async def store(connection: Connection, arrivals: Sequence[Arrival]) -> None:
    """Keep new messages as they came."""
    if not arrivals:
        return
    await connection.execute(
        QUERIES["store_inbound"],
        [arrival.member for arrival in arrivals],
        [arrival.message_id for arrival in arrivals],
        [arrival.received_at for arrival in arrivals],
        [arrival.id for arrival in arrivals],
        [arrival.enveloped.raw for arrival in arrivals],
        [arrival.enveloped.definition for arrival in arrivals],
    )


def _again(arrival: Arrival, earlier: Earlier) -> Taken | ProtocolError:
    if earlier.raw == arrival.enveloped.raw or _digest(earlier) == arrival.enveloped.digest:
        return _taken(arrival, earlier.id, earlier.received_at, is_repeated=True)
    return ProtocolError(
        RejectCode.XDUP,
        "the sender has used this BizMsgIdr for a message with other content",
        location="/AppHdr/BizMsgIdr",
        reference=arrival.message_id,
    )


def _digest(earlier: Earlier) -> bytes:
    """Of its content, which is the same in either form."""
    raw = earlier.raw
    if raw.lstrip().startswith(b"{"):  # the JSON form
        raw = json_form.from_json(raw, frozenset({earlier.definition}))
    return envelope.content_digest(raw)


def _taken(arrival: Arrival, id: str, received_at: int, *, is_repeated: bool = False) -> Taken:
    header = arrival.enveloped.header
    return Taken(
        id=id,
        receipt=Receipt(
            message_id=id.replace("-", ""),
            received_at=received_at,
            reference=header.business_message_id,
            definition=header.definition,
            sender=header.sender,
        ),
        is_repeated=is_repeated,
    )


def related(header: Header) -> Related:
    """How replies to a message refer to it."""
    return Related(
        sender=header.sender,
        receiver=header.receiver,
        business_message_id=header.business_message_id,
        definition=header.definition,
        created_at=header.created_at,
        emits=header.emits,
    )


def verdict(
    said: Enveloped | ProtocolError,
    judged: Arrival | ProtocolError,
    outcome: Taken | ProtocolError,
) -> tuple[str, str, str]:
    """What is counted of a message: definition, verdict, code (bounded, each of them)."""
    known = isinstance(said, Enveloped) and said.definition in ACCEPTED
    definition = said.definition if known and isinstance(said, Enveloped) else "other"
    if isinstance(outcome, ProtocolError):
        return definition, "rejected", outcome.code.value
    if isinstance(judged, Arrival) and judged.refusal is not None:
        return definition, "refused", judged.refusal.code.value
    return definition, "accepted", ""
