"""How the names of things are spelled, in one place: the wire, the book and the store agree.

A name that is not spelled so cannot exist, so nothing needs to be looked up for it.
"""

import re
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

_uuid = re.compile(UUID_PATTERN).match
_name = re.compile(NAME_PATTERN).match
_leg = re.compile(LEG_PATTERN).match
_ids = re.compile(rf"^{_UUID} {_UUID} {_LEG}\Z").match
_terms = re.compile(rf"^{_UUID} {_UUID} {_LEG} {_NAME} {_NAME} {_NAME}\Z").match
"""Many names at a time, which takes half as long as each by itself. No name has a blank in it, so
what is matched between two blanks is one of them."""


def is_uuid(text: str) -> bool:
    return _uuid(text) is not None


def is_name(text: str) -> bool:
    return _name(text) is not None


def is_leg(text: str) -> bool:
    return _leg(text) is not None


def are_ids(contract: str, settlement: str, leg: str) -> bool:
    """Whether the names of a contract, of its settlement and of its leg are spelled so."""
    return _ids(f"{contract} {settlement} {leg}") is not None


def are_terms(contract: str, settlement: str, leg: str, payer: str, payee: str, asset: str) -> bool:
    """Whether all six names in a lock are spelled so."""
    return _terms(f"{contract} {settlement} {leg} {payer} {payee} {asset}") is not None
