"""Where and why JSON does not have the shape of its type, in words for whoever sent it."""

import re
from typing import Final

import msgspec

from ledgers.names import NAME_PATTERN, UUID_PATTERN

_PLACE: Final = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)
_MEMBER: Final = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.DOTALL)
_MEMBER_RULES: Final = {
    "missing required": "is required",
    "contains unknown": "is not known here; nothing is ignored in silence",
}
_PATTERN_RULES: Final = {
    f"Expected `str` matching regex {UUID_PATTERN!r}": "a UUID in lower case",
    f"Expected `str` matching regex {NAME_PATTERN!r}": "1 to 64 visible ASCII characters",
}
_TEXT_MAX: Final = 200
"""Of a sender's own text that is told back: enough to recognise it."""


def fault(error: msgspec.ValidationError) -> tuple[str, str]:
    """Field and rule, from msgspec's message; the field of the whole is empty."""
    found = _PLACE.fullmatch(str(error))
    what, place = (found[1], found[2]) if found else (str(error), "")
    member = _MEMBER.fullmatch(what)
    if member is None:
        return place, _PATTERN_RULES.get(what, what)[:_TEXT_MAX]
    field = f"{place}.{member[2]}" if place else member[2]
    return field[:_TEXT_MAX], _MEMBER_RULES[member[1]]
