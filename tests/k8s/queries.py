"""What a query of Prometheus asks for: the metrics in it, and the labels it goes by."""

import re

from gateway.telemetry.metrics import ALL, Kind

METRIC = re.compile(r"\b((?:lockstep|process|python|barman|cnpg)_[a-z0-9_]+|up)\b(?!:)")
SUFFIX = re.compile(r"_(bucket|sum|count)$")

SCRAPED = {"job", "instance", "namespace", "le"}
"""Labels that scraping adds, and that of a histogram's ranges."""


def metrics(expr: str) -> set[str]:
    """Metrics that are exposed (recorded names have colons), without a histogram's suffixes."""
    bare = re.sub(r"\b[a-z_]+(:[a-z0-9_]+)+", "", re.sub(r'"[^"]*"', '""', expr))
    bare = re.sub(r"\b(by|on) \([^)]*\)", "", bare)
    return {_family(name) for name in METRIC.findall(bare)}


def _family(name: str) -> str:
    family = SUFFIX.sub("", name)
    known = ALL.get(family)
    return family if known is not None and known.kind is Kind.HISTOGRAM else name


def recorded(expr: str) -> set[str]:
    """Names of recordings that are asked for."""
    return set(re.findall(r"\b[a-z_]+(?::[a-z0-9_]+)+", re.sub(r'"[^"]*"', '""', expr)))


def labels(expr: str) -> set[str]:
    """Labels that are grouped by or selected on."""
    grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", expr)
    selected = re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"", expr)
    return {label.strip() for group in grouped for label in group.split(",")} | set(selected)
