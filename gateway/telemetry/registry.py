"""The metrics of a registry's node, read from its own numbers when Prometheus asks."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from gateway.telemetry import metrics
from gateway.telemetry.families import histogram, numbers
from ledgers.icsd.node import Node
from ledgers.icsd.stream import JetStreamLog


class RegistrySource:
    """Reads one node and its connection to the log."""

    def __init__(self, node: Node, log: JetStreamLog) -> None:
        self._node = node
        self._log = log

    async def refresh(self) -> None:
        """Everything is at hand."""

    def collect(self) -> Iterator[Metric]:
        node, name = self._node, self._node.me
        certified = node.replica.certified
        yield numbers(
            metrics.REGISTRY_HEIGHT,
            ((name, "read"), node.replica.view.height),
            ((name, "certified"), 0 if certified is None else certified.statement.height),
            ((name, "final"), node.head.final),
        )
        yield numbers(metrics.REGISTRY_FINAL_AT, ((name,), node.at / 1e9))
        yield histogram(metrics.REGISTRY_SECONDS, ((name,), node.numbers.final_seconds))
        yield histogram(metrics.REGISTRY_BUNDLE, ((name,), node.outbox.sizes))
        yield numbers(metrics.REGISTRY_WAITING, ((name,), node.outbox.waiting))
        yield numbers(
            metrics.REGISTRY_DONE, *(((name, kind), done) for kind, done in self._done().items())
        )
        yield numbers(metrics.REGISTRY_DIVERGED, ((name,), node.replica.stopped is not None))
        yield numbers(metrics.REGISTRY_STOPPED, ((name,), node.stopped is not None))
        yield numbers(metrics.REGISTRY_EVIDENCE, ((name,), len(node.replica.evidence)))
        yield numbers(metrics.REGISTRY_LOG_UP, ((name,), self._log.connected))
        yield numbers(metrics.REGISTRY_LOG_ERRORS, ((name,), self._log.errors))

    def _done(self) -> dict[str, int]:
        done = self._node.numbers
        return {
            "block": done.blocks,
            "entry": done.entries,
            "ignored message": done.ignored,
            "our cut": done.cuts,
            "unknown outcome": done.unknown,
        }
