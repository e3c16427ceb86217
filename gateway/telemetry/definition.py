"""What a metric is, and the table of them all."""

from enum import StrEnum
from typing import Final

import msgspec


class Kind(StrEnum):
    """The types of Prometheus that are used here."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """One metric. A counter's name ends in `_total`."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


ALL: Final[dict[str, Definition]] = {}
"""Every metric by its name, in the order of `metrics`."""


def _define(kind: Kind, name: str, help: str, *labels: str) -> Definition:
    assert name not in ALL, f"{name} is defined twice"
    made = ALL[name] = Definition(name=name, kind=kind, help=help, labels=labels)
    return made


def counter(name: str, help: str, *labels: str) -> Definition:
    """Something that only grows."""
    assert name.endswith("_total"), "the name of a counter ends in _total"
    return _define(Kind.COUNTER, name, help, *labels)


def gauge(name: str, help: str, *labels: str) -> Definition:
    """Something that goes up and down."""
    return _define(Kind.GAUGE, name, help, *labels)


def histogram(name: str, help: str, *labels: str) -> Definition:
    """How often something was how large."""
    return _define(Kind.HISTOGRAM, name, help, *labels)
