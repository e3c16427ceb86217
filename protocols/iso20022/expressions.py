"""Pieces of regular expressions that take XML written as nearly all of it is: without comments,
prefixes and entities, in ASCII. Whatever they take, the schemas take; what they do not take is
left to parser and schema, and is no worse for it.

No two ways lead through an expression made of these pieces: white space stands behind a tag only,
and is never given back, so that a body that does not match is known not to in one go.
"""

import re
from typing import Final

#: XML 1.0 section 2.3 (`\\s` would take more), never given back.
SPACE: Final = "[ \t\r\n]*+"
#: Printable ASCII without markup: within xs:string and every MaxText type of at least this length.
TEXT35: Final = "([ -%'-;=?-~]{1,35})"
TEXT34: Final = "([ -%'-;=?-~]{1,34})"
#: AnyBICDec2014Identifier and BICFIDec2014Identifier.
BIC: Final = "([A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?)"
LEI: Final = "([A-Z0-9]{18}[0-9]{2})"
ISIN: Final = "([A-Z]{2}[A-Z0-9]{9}[0-9])"
#: 18 digits, 5 of them decimals: within the amounts and quantities of ISO 20022.
DECIMAL: Final = r"([0-9]{1,13}(?:\.[0-9]{1,5})?)"
CURRENCY: Final = "([A-Z]{3})"
#: Looks like a date; whether it is one the reader asks.
DATE: Final = "([0-9]{4}-[0-9]{2}-[0-9]{2})"
BOOLEAN: Final = "(true|false)"


def leaf(name: str, content: str, attributes: str = "") -> str:
    """An element with text, and the white space behind it."""
    return f"<{name}{attributes}>{content}</{name}>{SPACE}"


def branch(name: str, *content: str, namespace: str | None = None) -> str:
    """An element with elements, and the white space behind it."""
    xmlns = "" if namespace is None else f' xmlns="{namespace}"'
    return f"<{name}{xmlns}>{SPACE}{''.join(content)}</{name}>{SPACE}"


def optional(element: str) -> str:
    """It, or nothing."""
    return f"(?:{element})?+"


def literal(text: str) -> str:
    """This text."""
    return re.escape(text)
