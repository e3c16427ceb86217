"""The technical "no": why a message cannot be processed, before any business object exists.

A business "no" (an unknown security, a closed day) is no error but a `rules.BusinessRefusal`.
"""

from enum import Enum
from typing import Final, Self

#: Longest text of admi.002 `RsnDesc` and `ErrLctn` (Max350Text).
TEXT_MAX: Final = 350


class RejectCode(Enum):
    """Reason of a technical rejection, as told in admi.002 `Rsn/RjctgPtyRsn`.

    ISO 20022 leaves these codes to the rejecting party (free text of 35 characters).
    Each has the HTTP status that fits it and its meaning.
    """

    status_hint: int
    meaning: str

    # The defaults serve type checkers: a member is looked up by its code alone.
    def __new__(cls, code: str, status_hint: int = 400, meaning: str = "") -> Self:
        member = object.__new__(cls)
        member._value_ = code
        member.status_hint = status_hint
        member.meaning = meaning
        return member

    XWEL = ("XWEL", 400, "not well-formed XML or JSON")
    XDTD = ("XDTD", 400, "a document type declaration is refused")
    XSDV = ("XSDV", 422, "not valid against the schema of its message")
    XENV = ("XENV", 422, "supplementary data not valid against the schema of its envelope")
    XVER = ("XVER", 422, "message or version not agreed")
    XBAH = ("XBAH", 422, "business application header missing or inconsistent")
    XSIG = ("XSIG", 401, "signature missing or wrong")
    XAUT = ("XAUT", 403, "sender is not the authenticated party, or not authorised")
    XDUP = ("XDUP", 409, "same sender and message identifier, other content")
    XSIZ = ("XSIZ", 413, "larger than agreed")
    XBSY = ("XBSY", 503, "not processed for want of capacity; send it again later")


class ProtocolError(Exception):
    """A message that cannot be processed; becomes an admi.002 or an HTTP problem.

    `location` names the field (an XPath without namespaces, or `line:column` where there is no
    tree yet), `reference` is the BizMsgIdr of the message if it could be read.
    """

    def __init__(
        self,
        code: RejectCode,
        description: str,
        *,
        location: str | None = None,
        reference: str | None = None,
    ) -> None:
        # Both may quote the sender, who may have written an element name of 200 kB.
        description = description[:TEXT_MAX]
        location = location[:TEXT_MAX] if location else None
        super().__init__(f"{code.value}: {description}" + (f" at {location}" if location else ""))
        self.code = code
        self.description = description
        self.location = location
        self.reference = reference

    @property
    def status_hint(self) -> int:
        """HTTP status that fits the code."""
        return self.code.status_hint

    def about(self, reference: str) -> "ProtocolError":
        """The same error, said about the message with this BizMsgIdr."""
        return ProtocolError(
            self.code, self.description, location=self.location, reference=reference
        )
