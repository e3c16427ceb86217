"""How the names of things are spelled, in one place: the wire, the book and the store agree.

A name that is not spelled so cannot exist, so nothing needs to be looked up for it.
"""

import re
from functools import lru_cache
from typing import Final

_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_NAME: Final = "[!-~]{1,64}"
_LEG: Final = "[A-Z0-9]{1,8}"

UUID_PATTERN: Final = rf"^{_UUID}\Z"
"""A UUID in lower case (RFC 9562), the only spelling: two spellings would be two contracts."""

NAME_PATTERN: Final = rf"^{_NAME}\Z"
"""Accounts, members, assets, ids of operations: visible ASCII, so canonical bytes are the same in
every language. ISO 20022 needs 35 characters (Max35Text); 64 hold a hex digest as well."""

LEG_PATTERN: Final = rf"^{_LEG}\Z"
"""`LegIdentifier` of supl.001."""

NAME_CHARACTERS_MAX: Final = 64

_uuid = re.compile(UUID_PATTERN).match
_id = re.compile(NAME_PATTERN).match
_name = lru_cache(maxsize=65_536)(_id)
"""Accounts and assets come again and again: what was found of one is kept (about 20 MB)."""

_leg = re.compile(LEG_PATTERN).match
_legs_lock = re.compile(rf"^{_UUID} {_UUID} {_LEG}\Z").match
_terms = re.compile(rf"^{_UUID} {_UUID} {_LEG} {_NAME} {_NAME} {_NAME}\Z").match
"""Many names at a time, which takes half as long. No name has a blank in it, so what is matched
between two blanks is one of them."""


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


def are_ids(contract: str, settlement: str, leg: str) -> bool:
    """Two UUIDs and the name of a leg."""
    return _legs_lock(f"{contract} {settlement} {leg}") is not None


def are_terms(contract: str, settlement: str, leg: str, payer: str, payee: str, asset: str) -> bool:
    """The same, and three names."""
    return _terms(f"{contract} {settlement} {leg} {payer} {payee} {asset}") is not None
