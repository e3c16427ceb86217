"""How much of an answer a client wants: `Prefer: return=minimal` (RFC 7240, section 4.2)."""

from functools import lru_cache
from typing import Final

HEADER: Final = "Prefer"

MINIMAL: Final = "return=minimal"
"""What is known to the client anyway may be left out. A server that does not know the header
answers in full, and that is an answer, too."""


@lru_cache(maxsize=256)  # clients send the same few over and over
def wants_minimal(header: str | None) -> bool:
    """Whether the value of a `Prefer` header asks for it. What else it asks for is ignored."""
    if header is None:
        return False
    preferences = (part.partition(";")[0] for part in header.lower().split(","))
    return any(part.replace(" ", "").replace('"', "") == MINIMAL for part in preferences)
