"""How the names of things are spelled, in one place: the wire, the book and the store agree.

A name that is not spelled so cannot exist, so nothing needs to be looked up for it.
"""

import re
from functools import lru_cache
from typing import Final

UUID_PATTERN: Final = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z"
"""A UUID in lower case (RFC 9562), the only spelling: two spellings would be two contracts."""

NAME_PATTERN: Final = r"^[!-~]{1,64}\Z"
"""Accounts, members, assets, ids of operations: visible ASCII, so canonical bytes are the same in
every language. ISO 20022 needs 35 characters (Max35Text); 64 hold a hex digest as well."""

LEG_PATTERN: Final = r"^[A-Z0-9]{1,8}\Z"
"""`LegIdentifier` of supl.001."""

NAME_CHARACTERS_MAX: Final = 64

_uuid = re.compile(UUID_PATTERN).match
_id = re.compile(NAME_PATTERN).match
_name = lru_cache(maxsize=65_536)(_id)
_leg = re.compile(LEG_PATTERN).match
"""Accounts and assets come again and again: what was found of one is kept (about 20 MB)."""


def is_uuid(text: str) -> bool:
    return _uuid(text) is not None


def is_name(text: str) -> bool:
    # What is too long is not kept: it may be megabytes.
    return len(text) <= NAME_CHARACTERS_MAX and _name(text) is not None


def is_id(text: str) -> bool:
    """As `is_name`, for what comes once, such as an operation's: nothing is kept of it."""
    return _id(text) is not None


def is_leg(text: str) -> bool:
    return _leg(text) is not None
