"""The metrics of a registry's messages, read from its own numbers and its database."""

import contextlib
import time
from collections.abc import Iterator

from prometheus_client.core import Metric

from gateway import journal
from gateway.icsd_node.front import Front
from gateway.icsd_node.message_store import Backlog
from gateway.sql import Pool
from gateway.telemetry import metrics
from gateway.telemetry.families import number, numbers
from gateway.telemetry.traffic import Traffic
from ledgers.icsd.epoch import RegistryId


class FrontSource:
    """Reads what the members' systems of one registry deal with."""

    def __init__(self, registry: RegistryId, front: Front, pool: Pool, traffic: Traffic) -> None:
        self._registry = registry
        self._front = front
        self._pool = pool
        self._traffic = traffic
        self._waiting = Backlog()
        self._backlogs: dict[str, int] = {}
        self._failing = 0

    async def refresh(self) -> None:
        """Ask the database if it is there."""
        with contextlib.suppress(*journal.LOST):
            self._waiting = await self._front.store.backlog()
            rows = await self._pool.fetch(journal.QUERIES["mailbox_backlogs"])
            self._backlogs = {row["member"]: row["backlog"] for row in rows}
            self._failing = await self._pool.fetchval(journal.QUERIES["webhooks_failing"])

    def collect(self) -> Iterator[Metric]:
        registry, webhooks = (self._registry,), self._front.webhooks
        yield numbers(metrics.MESSAGES, *self._front.room.verdicts.items())
        yield numbers(metrics.REGISTRY_MESSAGES_WAITING, (registry, self._waiting.count))
        yield numbers(metrics.REGISTRY_OLDEST_MESSAGE, (registry, self._oldest_seconds()))
        yield numbers(
            metrics.MAILBOX_BACKLOG, *(((name,), count) for name, count in self._backlogs.items())
        )
        yield numbers(
            metrics.WEBHOOK_DELIVERIES,
            (("delivered",), webhooks.delivered),
            (("failed",), webhooks.failed),
        )
        yield number(metrics.WEBHOOKS_FAILING, self._failing)
        yield number(metrics.STREAMS, self._traffic.streams)

    def _oldest_seconds(self) -> float:
        oldest = self._waiting.oldest_at
        return 0.0 if oldest is None else max(time.time_ns() - oldest, 0) / 1e9
