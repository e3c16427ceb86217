"""The metrics of a network's supervisor, read from its last look when Prometheus asks."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import Metric

from gateway.icsd_node.supervision import Fault, Sight, Supervision
from gateway.telemetry import metrics
from gateway.telemetry.families import number, numbers
from htlc.units import Instant


class SupervisorSource:
    """Reads one supervision; whoever looks tells what it saw."""

    def __init__(self, supervision: Supervision) -> None:
        self._supervision = supervision
        self._sight: Sight | None = None
        self._looks = 0
        self.looked_at: Instant | None = None

    def saw(self, sight: Sight, now: Instant) -> None:
        """A look has ended."""
        self._sight, self.looked_at = sight, now
        self._looks += 1

    async def refresh(self) -> None:
        """Everything is at hand."""

    def collect(self) -> Iterator[Metric]:
        """Height and time are those of now, while the blocks of years are done again; all else is
        of the last look."""
        supervisor = self._supervision.supervisor
        yield numbers(
            metrics.SUPERVISOR_HEIGHT,
            (("read",), supervisor.view.height),
            (("final",), supervisor.final),
        )
        yield number(metrics.SUPERVISOR_BLOCK_AT, supervisor.view.at / 1e9)
        yield number(metrics.SUPERVISOR_LOOKS, self._looks)
        if self._sight is not None and self.looked_at is not None:
            yield number(metrics.SUPERVISOR_LOOK_AT, self.looked_at / 1e9)
            yield from _seen(self._sight)


def _seen(sight: Sight) -> Iterator[Metric]:
    wrong = Counter(each.fault for each in sight.wrong)
    yield numbers(metrics.SUPERVISOR_WRONG, *(((fault,), wrong[fault]) for fault in Fault))
    yield number(metrics.SUPERVISOR_ISSUES, len(sight.issues))
    yield numbers(
        metrics.SUPERVISOR_SIGNED, *(((each.registry,), each.height) for each in sight.signed)
    )
