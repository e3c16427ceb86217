"""The trace that a request belongs to (W3C Trace Context, `traceparent`): taken in, kept in the
context of the task that serves the request, and handed on to the next service.

We open no spans: the ids tie our log lines to the trace of whoever called us.
"""

import re
import secrets
from contextvars import ContextVar
from typing import Final

import msgspec

HEADER: Final = "traceparent"

_FORM: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """The trace id and flags of a caller."""

    id: str
    flags: str

    def header(self) -> str:
        """`traceparent` for a request of ours within the trace."""
        return f"00-{self.id}-{secrets.token_hex(8)}-{self.flags}"


CURRENT: Final[ContextVar[Trace | None]] = ContextVar("trace", default=None)
"""The trace of what this task does."""


def read(header: str | None) -> Trace | None:
    """The trace of a `traceparent`; None if there is none, or none that is valid (section 3.2.2:
    then it is ignored)."""
    if header is None:
        return None
    found = _FORM.fullmatch(header)
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5] is not None):
        return None
    if not int(found[2], 16) or not int(found[3], 16):
        return None
    return Trace(id=found[2], flags=found[4])
