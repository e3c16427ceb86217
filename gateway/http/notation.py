"""How values are written in the public JSON: ids, BICs, decimals, instants, cursors.

Inside, quantities and instants are integers; this is the one place where the gateway's own JSON
meets them. What is read is read strictly: one value has one spelling, nothing is rounded.
"""

import re
from typing import Final

import msgspec

from htlc.units import QUANTITY_MAX
from protocols.iso20022.lexical import instant


class Form(msgspec.Struct, frozen=True):
    """A kind of text: its pattern (the same for Python and ECMA 262, so that the API's description
    can show it) and the rule in words."""

    pattern: str
    rule: str

    def compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern.removeprefix("^").removesuffix("$"))

    @property
    def schema(self) -> dict[str, str]:
        return {"type": "string", "pattern": self.pattern}


UUID: Final = Form(
    "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    "an id is a UUID in lower case (RFC 9562)",
)
BIC: Final = Form(
    "^[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?$",
    "a member is named by its BIC of 8 or 11 characters (ISO 9362)",
)
ACCOUNT: Final = Form(
    "^[!-~](?:[ -~]{0,138}[!-~])?$",
    # 140 is the longest account id of ISO 20022 (a wallet's); controls hide what a reader sees.
    "an account has 1 to 140 printable ASCII characters, no blank first or last",
)
QUANTITY: Final = Form(
    r"^(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,18})?$",
    "a quantity is a plain decimal number such as 998750.00: no sign, no exponent, no blank",
)
INSTANT: Final = Form(
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z$",
    "an instant is UTC as in RFC 3339, such as 2026-10-06T09:00:00Z, to the nanosecond at most",
)
DIGEST: Final = Form("^[0-9a-f]{64}$", "a hash is 32 bytes as lower-case hex")
PREIMAGE: Final = Form("^[0-9a-f]{64}$", "a preimage is 32 bytes as lower-case hex")
REASON: Final = Form(
    r"^[^\u0000-\u001f\u007f-\u009f]{1,350}$",  # Max350Text of ISO 20022
    "a reason is a text of 1 to 350 printable characters",
)
CURSOR: Final = Form(
    "^m[0-7][0-9a-f]{15}$",  # below 2**63: what the mailbox counts with
    "a cursor is one that was given out here",
)

_UUID: Final = UUID.compiled().fullmatch
_BIC: Final = BIC.compiled().fullmatch
_ACCOUNT: Final = ACCOUNT.compiled().fullmatch
_INSTANT: Final = INSTANT.compiled().fullmatch
_DIGEST: Final = DIGEST.compiled().fullmatch
_REASON: Final = REASON.compiled().fullmatch
_CURSOR: Final = CURSOR.compiled().fullmatch
_DECIMAL: Final = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?").fullmatch

_DIGITS_MAX: Final = len(str(QUANTITY_MAX))
"""More digits cannot fit, and `int()` of a very long text is quadratic."""


def is_uuid(text: str) -> bool:
    return _UUID(text) is not None


def is_bic(text: str) -> bool:
    return _BIC(text) is not None


def is_account(text: str) -> bool:
    return _ACCOUNT(text) is not None


def is_digest(text: str) -> bool:
    return _DIGEST(text) is not None


def is_reason(text: str) -> bool:
    """Lone surrogates are no characters: they have no UTF-8."""
    return _REASON(text) is not None and text.isprintable()


class Unreadable(ValueError):
    """A text that does not follow its rule; the message is the rule."""


def units(text: str, scale: int) -> int:
    """A decimal in units of 10**-scale; Unreadable names the rule that it breaks."""
    found = _DECIMAL(text)
    if found is None:
        raise Unreadable(QUANTITY.rule)
    whole, fraction = found[1], found[2] or ""
    if len(fraction) > scale:
        raise Unreadable(f"the asset has {scale} decimals, not {len(fraction)}: nothing is rounded")
    digits = whole + fraction.ljust(scale, "0")
    if len(digits.lstrip("0")) > _DIGITS_MAX or int(digits) > QUANTITY_MAX:
        raise Unreadable("a quantity fits 63 bits in the asset's smallest unit")
    value = int(digits)
    if value == 0:
        raise Unreadable("a quantity is positive")
    return value


def decimal(value: int, scale: int) -> str:
    """Units of 10**-scale as a decimal with exactly `scale` decimals."""
    if scale == 0:
        return str(value)
    digits = str(value).rjust(scale + 1, "0")
    return f"{digits[:-scale]}.{digits[-scale:]}"


def nanoseconds(text: str) -> int:
    """An RFC 3339 instant in UTC nanoseconds; Unreadable if it is none."""
    if _INSTANT(text) is None:
        raise Unreadable(INSTANT.rule)
    try:
        return instant(text)
    except ValueError as error:
        raise Unreadable(f"{INSTANT.rule} ({error})") from None


def cursor(sequence: int) -> str:
    """The place after a message in its mailbox. Members are not to count with it."""
    return f"m{sequence:016x}"


START: Final = cursor(0)
"""The place before the first message."""


def sequence(text: str) -> int:
    """The place that a cursor names; Unreadable for one that was never given out."""
    if _CURSOR(text) is None:
        raise Unreadable(CURSOR.rule)
    return int(text[1:], 16)
