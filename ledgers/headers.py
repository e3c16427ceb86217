"""What stands in the head of every answer of every service."""

from typing import Final

HEADERS: Final = {
    "Cache-Control": "no-store",  # answers belong to one principal
    "Server": "lockstep",  # no versions of libraries
    "X-Content-Type-Options": "nosniff",
}
