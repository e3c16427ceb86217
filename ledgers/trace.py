"""The trace that a request belongs to (W3C Trace Context, `traceparent`): taken in, kept in the
context of the task that serves the request, and handed on to the next service.

The ids tie our log lines to the trace of whoever called us. Whether there are spans of our own is
the process's business (`gateway/telemetry/spans.py`).
"""

import re
from contextvars import ContextVar
from typing import Final

import msgspec

HEADER: Final = "traceparent"

_FORM: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """The trace id, the span that what is done now belongs to, and the flags."""

    id: str
    span: str
    flags: str

    def header(self) -> str:
        """`traceparent` for a request of ours within the trace."""
        return f"00-{self.id}-{self.span}-{self.flags}"


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
    return Trace(id=found[2], span=found[3], flags=found[4])
