"""The metrics of a ledger, read from its own numbers when Prometheus asks."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from gateway.telemetry import metrics
from gateway.telemetry.families import histogram, numbers
from ledgers.postgres import PostgresLedger


class LedgerSource:
    """Reads one replica of a ledger."""

    def __init__(self, ledger: PostgresLedger) -> None:
        self._ledger = ledger

    async def refresh(self) -> None:
        """Everything is at hand."""

    def collect(self) -> Iterator[Metric]:
        its, name = self._ledger.statistics, (self._ledger.seal.ledger,)
        yield numbers(metrics.LEDGER_HEIGHT, (name, its.height))
        yield histogram(metrics.LEDGER_SECONDS, (name, its.seconds))
        yield histogram(metrics.LEDGER_BATCH, (name, its.sizes))
        yield numbers(metrics.LEDGER_OPERATIONS, (name, its.operations))
        yield numbers(metrics.LEDGER_EFFECTS, (name, its.effects))
        yield numbers(metrics.LEDGER_UNKNOWN, (name, its.unknown))
        yield numbers(metrics.LEDGER_OVERLOADED, (name, its.overloaded))
        yield numbers(metrics.LEDGER_QUEUE, (name, self._ledger.queued))
        yield numbers(metrics.LEDGER_CLOCK_SKEW, (name, its.ahead / 1e9))
