"""Metrics as the client library gives them out: a definition of the table, with its samples."""

from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from gateway.telemetry.definition import Definition, Kind
from ledgers.distribution import Distribution

_FAMILIES: Final[dict[Kind, Callable[..., Metric]]] = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}


def family(definition: Definition) -> Metric:
    """An empty family of the client library, to which samples are added."""
    make = _FAMILIES[definition.kind]
    return make(definition.name, definition.help, labels=definition.labels)


def numbers(definition: Definition, *samples: tuple[Sequence[str], float]) -> Metric:
    """A counter or gauge with its samples: label values, value."""
    made = family(definition)
    assert isinstance(made, CounterMetricFamily | GaugeMetricFamily)
    for labels, value in samples:
        assert len(labels) == len(definition.labels), f"{definition.name} has other labels"
        made.add_metric(labels, value)
    return made


def number(definition: Definition, value: float) -> Metric:
    """A counter or gauge without labels."""
    return numbers(definition, ((), value))


def histogram(definition: Definition, *samples: tuple[Sequence[str], Distribution]) -> Metric:
    """A histogram with its samples: label values, what was observed."""
    made = family(definition)
    assert isinstance(made, HistogramMetricFamily)
    for labels, seen in samples:
        assert len(labels) == len(definition.labels), f"{definition.name} has other labels"
        made.add_metric(labels, [(le, float(n)) for le, n in seen.cumulative()], seen.sum)
    return made
