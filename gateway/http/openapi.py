"""The published description of the gateway's interface."""

from typing import Any

from gateway.http.routes import ROUTES
from ledgers import openapi
from ledgers.openapi import PATH

__all__ = ["PATH", "document"]


def document() -> dict[str, Any]:
    """The whole description as JSON types."""
    return openapi.document(
        ROUTES,
        title="Lockstep gateway",
        summary="Settles DvP and PvP atomically across independent ledgers",
        bearer="A token of each member and operator",
    )
