"""Which versions of each message are written, beside the one of the recommended profile.

The version is the connection's affair. Values are stored without one; what cannot be said in a
version is not left out silently: that version is not offered.
"""

from collections.abc import Mapping
from typing import Final

from protocols.iso20022.schemas import ISO

Emits = Mapping[str, str]
"""Message (sese.024) -> version (13); one that is not named is written in its profile's version."""

#: Message -> the versions that carry everything we say, oldest first.
WRITTEN: Final[Mapping[str, tuple[str, ...]]] = {
    "fxtr.017": ("04", "05", "06"),
    "sese.024": ("12", "13", "14"),
    "sese.025": ("11", "12", "13"),
    "sese.027": ("07", "09"),
}

_NO_REFERENCE: Final = "has no place for the counterparty's reference (CtrPtyMktInfrstrctrTxId)"

#: Versions that counterparties use and that would lose something of what we say.
LOSSY: Final[Mapping[str, str]] = {
    "sese.024.001.10": _NO_REFERENCE,
    "sese.024.001.11": _NO_REFERENCE,
    "sese.025.001.09": _NO_REFERENCE,
    "sese.025.001.10": _NO_REFERENCE,
}


def fault(message: str, version: str) -> str | None:
    """Why a version cannot be chosen for a message; None if it can."""
    if message not in WRITTEN:
        return f"{message} has one version here; a choice there is for {', '.join(WRITTEN)}"
    definition = f"{message}.001.{version}"
    if definition in LOSSY:
        return f"{definition} {LOSSY[definition]}: nothing is left out silently"
    if version not in WRITTEN[message]:
        return f"{definition} is not written here; choose one of {', '.join(WRITTEN[message])}"
    return None


def chosen(profile: str, emits: Emits) -> str:
    """The definition in which a message goes out, given that of the profile."""
    version = emits.get(profile[:8])
    return profile if version is None else f"{profile[:8]}.001.{version}"


def is_written(definition: str, profile: str) -> bool:
    """Whether a definition is one in which that message may go out."""
    if definition == profile:
        return True
    message, _, version = definition.partition(".001.")
    return message == profile[:8] and version in WRITTEN.get(message, ())


def translated(document: str, profile: str, definition: str) -> str:
    """A Document of the profile's version in another one of `WRITTEN`. They differ in nothing that
    we write but the amounts of foreign exchange trades, which version 04 has without a choice."""
    if definition == profile:
        return document
    text = document.replace(f'xmlns="{ISO}{profile}"', f'xmlns="{ISO}{definition}"', 1)
    return _without_choice(text) if definition == "fxtr.017.001.04" else text


def _without_choice(text: str) -> str:
    for name in ("TradgSdBuyAmt", "TradgSdSellAmt"):
        text = text.replace(f"<{name}><Amt Ccy=", f"<{name} Ccy=", 1)
        text = text.replace(f"</Amt></{name}>", f"</{name}>", 1)
    return text
