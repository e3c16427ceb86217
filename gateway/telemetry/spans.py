"""Spans for OpenTelemetry: requests, batches to ledgers, settlements with their phases. Optional.

They are made if the environment names a collector (`OTEL_EXPORTER_OTLP_ENDPOINT`, or the one for
traces alone) and the extra `tracing` is installed; all other settings are OpenTelemetry's own
variables. Otherwise `active` is None, nothing of it is imported, and what is left is one comparison
at each place that would make a span.

A settlement's span begins in the request that opened it and ends with the settlement; its phases
are events of it, and the batches sent for it alone are its children. Names and attributes follow
the semantic conventions for HTTP; those of ours begin with `lockstep.`. Ids of settlements are
attributes here, as in the log, and never labels of metrics.
"""

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from gateway.config import ConfigurationError
from htlc.settlement import Settlement
from htlc.units import SettlementId
from ledgers.trace import Trace

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

WANTED: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Environment variables of which one must be set."""

FAILED: Final = 500
"""From this status on a request's span is an error; below, the client's (HTTP conventions)."""


class Spans:
    """Makes the spans of one process. Exported in a thread of its own, in batches; what a slow
    collector does not take is dropped, never waited for."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("lockstep")
        self._settlements: dict[SettlementId, Span] = {}

    def begin(
        self,
        name: str,
        kind: str,
        parent: Trace | None,
        attributes: Mapping[str, str | int],
        begun_at: int | None = None,
    ) -> "Span":
        """A span that begins now, or began at that UTC nanosecond; `kind` is a name of
        OpenTelemetry's SpanKind."""
        from opentelemetry.trace import SpanKind

        return self._tracer.start_span(
            name,
            context=_context(parent),
            kind=SpanKind[kind],
            start_time=begun_at,
            attributes=attributes,
        )

    def request_ended(self, span: "Span", status: int) -> None:
        """The answer to a request has been given."""
        from opentelemetry.trace import StatusCode

        span.set_attribute("http.response.status_code", status)
        if status >= FAILED:
            span.set_status(StatusCode.ERROR)
        span.end()

    def close(self) -> None:
        """Export what there is, and stop; the end of the process does the same."""
        self._provider.shutdown()

    def settlement(self, id: SettlementId, parent: Trace | None, created_at: int) -> Trace:
        """A settlement has been taken on; the trace to hand on for it."""
        about = {"lockstep.settlement": str(id)}
        span = self.begin("settlement", "INTERNAL", parent, about, created_at)
        self._settlements[id] = span
        return trace_of(span)

    def phase(self, state: Settlement) -> None:
        """A settlement is in another phase."""
        if (span := self._settlements.get(state.swap.id)) is not None:
            span.add_event(str(state.phase))

    def settlement_over(self, id: SettlementId, outcome: str) -> None:
        """A settlement has ended, or is no longer ours."""
        if (span := self._settlements.pop(id, None)) is not None:
            span.set_attribute("lockstep.outcome", outcome)
            span.end(time.time_ns())


active: Spans | None = None
"""The spans of this process; None where they are not wanted."""


def trace_of(span: "Span") -> Trace:
    """What is handed on to whatever is done within a span."""
    context = span.get_span_context()
    return Trace(
        id=f"{context.trace_id:032x}",
        span=f"{context.span_id:016x}",
        flags=f"{context.trace_flags:02x}",
    )


def _context(parent: Trace | None) -> "Context":
    from opentelemetry.context import Context
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        TraceFlags,
        set_span_in_context,
    )

    if parent is None:
        return Context()  # a new trace, whatever the library thinks is current
    span = SpanContext(
        int(parent.id, 16), int(parent.span, 16), True, TraceFlags(int(parent.flags, 16))
    )
    return set_span_in_context(NonRecordingSpan(span), Context())


def configure(service: str) -> None:
    """Make spans from now on, if the environment asks for them. ConfigurationError if it does and
    they cannot be made."""
    global active
    if not any(os.environ.get(name) for name in WANTED):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ConfigurationError(
            f"{WANTED[1]} is set: OpenTelemetry is needed, pip install 'lockstep[tracing]'"
        ) from None
    name = os.environ.get("OTEL_SERVICE_NAME") or f"lockstep-{service}"
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    active = Spans(provider)
