"""Requests to a service: how many, how long, how they ended. One middleware for every service."""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Final

from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client.core import Metric

from gateway.telemetry import families, logs, metrics, spans
from ledgers import trace
from ledgers.distribution import Distribution

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_log = logging.getLogger("http")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OTHER: Final = "other"

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
"""Methods shown by their names; a client may invent any other."""

ANYTHING: Final = "/{path}"
"""The template of the route that catches what no other one serves."""


class Traffic:
    """The requests of one service."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()  # method, route, status
        self._seconds: defaultdict[str, Distribution] = defaultdict(Distribution)
        self._in_flight = 0
        self.streams = 0

    def middleware(self) -> Middleware:
        """To stand outermost, so that it sees the status that leaves."""

        @web.middleware
        async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
            route, status = route_of(request), 500
            stream = route.endswith("/stream")
            begun = time.monotonic()
            # A connection is one task for many requests: nothing of the one before may stay.
            caller = trace.read(request.headers.get(trace.HEADER))
            span = self._span(request, route, caller)
            trace.CURRENT.set(caller if span is None else spans.trace_of(span))
            logs.MEMBER.set(None)
            self._in_flight += 1
            self.streams += stream
            try:
                response = await handler(request)
                status = response.status
                return response
            finally:
                self._in_flight -= 1
                self.streams -= stream
                method = request.method if request.method in METHODS else OTHER
                seconds = time.monotonic() - begun
                self._requests[method, route, status] += 1
                self._seconds[route].observe(seconds)
                if span is not None and spans.active is not None:
                    spans.active.request_ended(span, status)
                if _log.isEnabledFor(logging.DEBUG):
                    extra = {"status": status, "seconds": round(seconds, 6)}
                    _log.debug("%s %s", method, route, extra=extra)

        return measure

    def _span(self, request: web.Request, route: str, caller: trace.Trace | None) -> "Span | None":
        if spans.active is None:
            return None
        method = request.method if request.method in METHODS else OTHER
        attributes = {"http.request.method": method, "http.route": route}
        return spans.active.begin(f"{method} {route}", "SERVER", caller, attributes)

    def collect(self) -> Iterator[Metric]:
        yield families.numbers(
            metrics.HTTP_REQUESTS,
            *(
                ((method, route, str(status)), n)
                for (method, route, status), n in self._requests.items()
            ),
        )
        yield families.histogram(
            metrics.HTTP_SECONDS, *(((route,), seen) for route, seen in self._seconds.items())
        )
        yield families.number(metrics.HTTP_IN_FLIGHT, self._in_flight)


def route_of(request: web.Request) -> str:
    """The template of the path, which has no ids in it."""
    resource = request.match_info.route.resource
    route = OTHER if resource is None else resource.canonical
    return OTHER if route == ANYTHING else route
