"""What a row of a ledger's table of routes has beside its description: who answers."""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from ledgers.described import JSON, Described, Failure
from ledgers.problems import Kind, failure

Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]

COMMON: Final = (Kind.UNAUTHORIZED, Kind.INVALID, Kind.INTERNAL, Kind.UNAVAILABLE)
"""What everything may be answered with: an unknown parameter, too, is `INVALID`."""


class Route(Described, frozen=True, kw_only=True):
    """One row. Problems that follow from its shape are added by `failures`."""

    handler: Endpoint
    refusals: tuple[Kind, ...] = ()

    def failures(self) -> tuple[Failure, ...]:
        body = (Kind.TOO_LARGE, Kind.UNSUPPORTED) if self.request else ()
        text = (Kind.MALFORMED,) if any(form.media == JSON for form in self.request) else ()
        kinds = dict.fromkeys((*COMMON, *body, *text, *self.refusals))
        return tuple(failure(kind) for kind in kinds)
