"""Business application headers of what the gateway writes."""

from collections.abc import Callable
from typing import Final, Protocol

from protocols.iso20022.header import Header, Related

SERVICE: Final = "lockstep.dvp.01"
"""`BizSvc` of what the gateway writes: the DvP service, version 1 of its rules."""


FX_SERVICE: Final = "lockstep.pvp.01"
"""The same of what is about foreign exchange trades."""


class Letterhead(Protocol):
    """Who writes: the gateway's BIC, and how it signs where that is agreed with the member."""

    @property
    def bic(self) -> str: ...

    @property
    def sign(self) -> Callable[[str, str], str]: ...


def message_id(id: str) -> str:
    """A UUID as BizMsgIdr: without its hyphens it fits the 35 characters (Max35Text)."""
    return id.replace("-", "")


def header(
    desk: Letterhead, member: str, id: str, definition: str, at: int, related: Related | None
) -> Header:
    """The header of a message to a member. `id` is a UUID; `at` is when the message was made, not
    when it is read: read twice, it is the same message."""
    return Header(
        sender=desk.bic,
        receiver=member,
        business_message_id=message_id(id),
        definition=definition,
        business_service=FX_SERVICE if definition.startswith("fxtr.") else SERVICE,
        created_at=at,
        related=related,
    )


def related_to(head: Header) -> Related:
    """What a reply says of the message that it answers."""
    return Related(
        sender=head.sender,
        receiver=head.receiver,
        business_message_id=head.business_message_id,
        definition=head.definition,
        created_at=head.created_at,
    )
