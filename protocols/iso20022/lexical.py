"""Lexical forms of the ISO 20022 simple types: instants, decimals, booleans, BICs, text.

The schemas allow more than one spelling of the same value (XML Schema part 2); here is the one
place that reads the spellings and writes one of them.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

NANOSECONDS: Final = 1_000_000_000

_INSTANT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?(?:(Z)|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
_DECIMAL: Final = re.compile(r"(\d*)(?:\.(\d*))?", re.ASCII)
# XML 1.0 section 2.2 allows these and no others; `&`, `<` and `>` are the ones to be escaped.
_SPECIAL: Final = re.compile(
    "[^\t\n\x20-\x25\x27-\x3b=\x3f-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
_ENTITY: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}


def instant(text: str) -> int:
    """UTC nanoseconds of an xs:dateTime; ValueError if it names no zone or no real time.

    A time without a zone is refused because two readers would read two instants.
    Digits beyond the nanosecond are cut.
    """
    if len(text) > 40:  # 35 characters say everything; more would only fill the cache
        raise ValueError(f"{text[:40]!r}… is no instant")
    return _instant(text)


@lru_cache(maxsize=1024)  # messages of one moment, and the terms of one swap, share their instants
def _instant(text: str) -> int:
    found = _INSTANT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no instant with a zone, such as 2026-10-06T09:00:00Z")
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    if not 1970 <= year <= 2261:  # what a signed 64-bit count of nanoseconds holds, whole years
        raise ValueError(f"{text!r} is outside the years 1970 to 2261")
    seconds = int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
    if found[8] is None:
        offset = (int(found[10]) * 60 + int(found[11])) * 60
        seconds -= offset if found[9] == "+" else -offset
    return seconds * NANOSECONDS + int((found[7] or "0").ljust(9, "0"))


@lru_cache(maxsize=1024)  # messages of one moment share their second
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def instant_text(at: int) -> str:
    """xs:dateTime of an instant in nanoseconds: UTC, `Z`, a fraction only where there is one."""
    return _instant_text(at)


@lru_cache(maxsize=4096)  # one instant stands in several places of a message, and in its answers
def _instant_text(at: int) -> str:
    second, fraction = divmod(at, NANOSECONDS)
    if fraction == 0:
        return _second_text(second) + "Z"
    return f"{_second_text(second)}.{fraction:09d}".rstrip("0") + "Z"


def boolean(text: str) -> bool:
    """The value of a valid xs:boolean: `true` or `1`, else it is false.

    XML Schema part 2 collapses white space around it (section 3.2.2) before it says what is valid,
    so a schema lets ` true ` pass.
    """
    return text.strip() in ("true", "1")


def boolean_text(value: bool) -> str:
    """xs:boolean in its canonical form."""
    return "true" if value else "false"


def decimal_text(text: str) -> str:
    """Canonical text of an xs:decimal: no sign, no leading zero, no trailing zero of a fraction.

    ValueError for a sign or an exponent: nothing that the gateway settles is written with one.
    """
    found = _DECIMAL.fullmatch(text.strip())
    if found is None or not (found[1] or found[2]):
        raise ValueError(f"{text!r} is no plain decimal number")
    whole = found[1].lstrip("0") or "0"
    fraction = (found[2] or "").rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def decimals(canonical: str) -> int:
    """Number of decimals of a canonical decimal."""
    return len(canonical.partition(".")[2])


def units(canonical: str, scale: int) -> int:
    """The value in units of 10**-scale; ValueError if it needs more decimals (never rounded)."""
    whole, _, fraction = canonical.partition(".")
    if len(fraction) > scale:
        raise ValueError(f"{canonical} has more than {scale} decimals")
    return int(whole + fraction.ljust(scale, "0"))


def from_units(quantity: int, scale: int) -> str:
    """The canonical decimal of a quantity in units of 10**-scale; the other way of `units`."""
    assert quantity >= 0, "what is written has no sign"
    whole, fraction = divmod(quantity, 10**scale)
    return decimal_text(f"{whole}.{fraction:0{scale}d}") if fraction else str(whole)


def padded(canonical: str, scale: int) -> str:
    """The value with at least `scale` decimals: 998750 in EUR is written 998750.00."""
    whole, _, fraction = canonical.partition(".")
    fraction = fraction.ljust(scale, "0")
    return f"{whole}.{fraction}" if fraction else whole


@lru_cache(maxsize=4096)  # asked of the same members sixty times for each settlement
def bic11(bic: str) -> str:
    """The eleven-character form: ISO 9362 reads a missing branch code as XXX."""
    return bic if len(bic) == 11 else bic + "XXX"


def _replacement(found: re.Match[str]) -> str:
    return _ENTITY.get(found[0], "\ufffd")


def escaped(text: str, length_max: int = 20_000) -> str:
    """Text as XML character data: escaped, cut to the length of its type, always well-formed.

    A character that XML cannot hold becomes U+FFFD. 20,000 is the longest text type (Max20000Text).
    """
    if len(text) > length_max:
        text = text[: length_max - 1] + "…"
    if text.isprintable() and "&" not in text and "<" not in text and ">" not in text:
        return text  # whatever is printable, XML can hold; nearly all is, and this is asked fast
    return _SPECIAL.sub(_replacement, text)
