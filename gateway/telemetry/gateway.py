"""The metrics of a gateway, read from its parts when Prometheus asks."""

import contextlib
from collections.abc import Iterator

from prometheus_client.core import Metric

from gateway.desk import Desk
from gateway.engine import Engine
from gateway.journal import LOST, QUERIES
from gateway.links import Link
from gateway.telemetry import census as counting
from gateway.telemetry import metrics
from gateway.telemetry.census import Census
from gateway.telemetry.families import histogram, number, numbers
from gateway.telemetry.traffic import Traffic
from htlc.settlement import Phase
from htlc.units import LedgerId

CAUSES = ("draining", "restore", "ledgers", "open", "queue", "database")
"""Why a request is told to come back; each is shown from the start, for the alerts."""


class GatewaySource:
    """Reads an engine. What the replicas share (mailboxes, matching) is asked from the database."""

    def __init__(self, engine: Engine, desk: Desk, traffic: Traffic) -> None:
        self._engine = engine
        self._desk = desk
        self._traffic = traffic
        self._census = Census()
        self._backlogs: dict[str, int] = {}
        self._unmatched = 0
        self._ordered = 0
        self._failing = 0

    async def refresh(self) -> None:
        """Take the census, and ask the database if it is there."""
        runner, downtime = self._engine.runner, self._engine.agreements.safe_downtime
        self._census = await counting.take(runner.lives.values(), runner.clocks(), downtime)
        with contextlib.suppress(*LOST):
            rows = await self._engine.pool.fetch(QUERIES["mailbox_backlogs"])
            self._backlogs = {row["member"]: row["backlog"] for row in rows}
            self._unmatched = await self._engine.pool.fetchval(QUERIES["matching_queue"])
            self._ordered = await self._engine.pool.fetchval(QUERIES["open_payments"])
            self._failing = await self._engine.pool.fetchval(QUERIES["webhooks_failing"])

    def collect(self) -> Iterator[Metric]:
        yield from self._settlements()
        yield from self._locks()
        yield from self._links()
        yield from self._writers()
        yield from self._members()
        yield from self._reconciliation()
        yield from self._replica()

    def _settlements(self) -> Iterator[Metric]:
        tally, census = self._engine.runner.tally, self._census
        yield numbers(metrics.SETTLEMENTS_OPENED, *tally.opened.items())
        yield numbers(metrics.SETTLEMENTS, *tally.ended.items())
        yield histogram(metrics.SETTLEMENT_SECONDS, *tally.durations.items())
        yield histogram(
            metrics.PHASE_SECONDS, *(((phase,), seen) for phase, seen in tally.phases.items())
        )
        yield numbers(
            metrics.SETTLEMENTS_OPEN, *(((phase,), census.phases[phase]) for phase in Phase)
        )
        yield numbers(
            metrics.SETTLEMENT_OLDEST,
            *(((phase,), census.oldest.get(phase, 0.0)) for phase in Phase),
        )
        yield number(metrics.ONE_LEGGED, census.phases[Phase.BROKEN])
        yield number(metrics.FROZEN, census.frozen)
        yield number(metrics.QUARANTINED, len(self._engine.runner.quarantined))

    def _locks(self) -> Iterator[Metric]:
        census, ledgers = self._census, self._engine.settings.ledgers
        ages = [name for _, name in counting.AGES] + [counting.OLDER]
        yield numbers(
            metrics.OPEN_LOCKS,
            *(((name, age), census.locks[LedgerId(name), age]) for name in ledgers for age in ages),
        )
        yield numbers(
            metrics.OLDEST_LOCK,
            *(((name,), census.oldest_lock.get(LedgerId(name), 0.0)) for name in ledgers),
        )
        yield numbers(metrics.LOCKED_VALUE, *self._money())
        yield number(metrics.AT_RISK, census.at_risk)
        yield numbers(metrics.CLAIM_MARGIN, *_if_any(census.claim_margin))
        yield numbers(metrics.SAFE_DOWNTIME, *_if_any(census.safe_downtime))

    def _money(self) -> Iterator[tuple[tuple[str, str], float]]:
        """Money in locks in units of its currency: here, for a gauge, a float is exact enough."""
        directory = self._engine.directory
        for name, its in directory.ledgers.items():
            known = directory.descriptions.get(LedgerId(name))
            if its.kind == "currency" and known is not None:
                for each in known.assets:
                    locked = self._census.value[LedgerId(name), each.asset]
                    yield (name, each.asset), locked / 10**each.scale

    def _links(self) -> Iterator[Metric]:
        links = list(self._engine.links.items())
        yield numbers(metrics.LINK_UP, *(((name,), _is_up(link)) for name, link in links))
        kinds = [((name, "apply"), link.applied) for name, link in links]
        kinds += [((name, "look"), link.looked) for name, link in links]
        yield histogram(metrics.LINK_SECONDS, *((labels, its.seconds) for labels, its in kinds))
        yield histogram(metrics.LINK_BATCH, *((labels, its.sizes) for labels, its in kinds))
        yield numbers(
            metrics.LINK_UNANSWERED, *(((name,), link.unanswered) for name, link in links)
        )
        yield numbers(metrics.LINK_QUEUE, *(((name,), len(link)) for name, link in links))
        yield numbers(
            metrics.LINK_REFUSALS,
            *(((name, code), n) for name, link in links for code, n in link.refusals.items()),
        )
        heard = [(name, link) for name, link in links if link.heard_at]
        yield numbers(
            metrics.LINK_CLOCK_SKEW, *(((name,), link.clock_offset / 1e9) for name, link in heard)
        )
        yield numbers(
            metrics.LINK_LAST_ANSWER, *(((name,), link.heard_at / 1e9) for name, link in heard)
        )

    def _writers(self) -> Iterator[Metric]:
        journal, intake = self._engine.runner.writer, self._engine.intake.writer
        yield number(metrics.JOURNAL_DUE, self._census.due)
        yield histogram(metrics.TURN_SECONDS, ((), self._engine.runner.tally.turns))
        yield number(metrics.JOURNAL_QUEUE, len(journal))
        yield number(metrics.JOURNAL_LAG, journal.lag)
        yield histogram(metrics.JOURNAL_SECONDS, ((), journal.seconds))
        yield histogram(metrics.JOURNAL_BATCH, ((), journal.sizes))
        yield number(metrics.JOURNAL_CONFLICTS, self._engine.runner.tally.conflicts)
        yield number(metrics.INTAKE_QUEUE, len(intake))
        yield number(metrics.INTAKE_LAG, intake.lag)
        yield histogram(metrics.INTAKE_SECONDS, ((), intake.seconds))
        yield histogram(metrics.INTAKE_BATCH, ((), intake.sizes))
        yield numbers(
            metrics.DATABASE_RETRIES,
            (("journal",), journal.retries),
            (("intake",), intake.retries),
        )
        yield numbers(metrics.BUSY, *(((cause,), self._desk.busy[cause]) for cause in CAUSES))

    def _members(self) -> Iterator[Metric]:
        yield numbers(metrics.MESSAGES, *self._desk.verdicts.items())
        yield number(metrics.MATCHING_QUEUE, self._unmatched)
        yield number(metrics.PAYMENT_ORDERS_OPEN, self._ordered)
        yield number(metrics.PAIRS_PENDING, len(self._engine.pending))
        yield numbers(
            metrics.MAILBOX_BACKLOG, *(((member,), n) for member, n in self._backlogs.items())
        )
        yield number(metrics.STREAMS, self._traffic.streams)
        hooks = self._engine.webhooks
        yield numbers(
            metrics.WEBHOOK_DELIVERIES,
            (("delivered",), hooks.delivered),
            (("failed",), hooks.failed),
        )
        yield number(metrics.WEBHOOKS_FAILING, self._failing)

    def _reconciliation(self) -> Iterator[Metric]:
        service = self._engine.reconciliation
        runs = service.runs.items()
        yield numbers(
            metrics.RECONCILIATION_BREAKS,
            *(((name,), service.breaks.get(name, 0)) for name in self._engine.settings.ledgers),
        )
        yield numbers(
            metrics.RECONCILIATION_LAST, *(((name,), run.ended_at / 1e9) for name, run in runs)
        )
        yield numbers(
            metrics.RECONCILIATION_SECONDS,
            *(((name,), (run.ended_at - run.started_at) / 1e9) for name, run in runs),
        )

    def _replica(self) -> Iterator[Metric]:
        tally = self._engine.runner.tally
        yield number(metrics.HEARTBEAT, self._engine.lease.renewed_at)
        yield number(metrics.TAKEN_OVER, tally.taken_over)
        yield number(metrics.RELINQUISHED, tally.relinquished)


def _if_any(value: float | None) -> tuple[tuple[tuple[str, ...], float], ...]:
    return () if value is None else (((), value),)


def _is_up(link: Link) -> bool:
    return link.clock is not None and not link.failures
