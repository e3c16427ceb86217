"""What a soak calls growth, and what it does not."""

from collections.abc import Callable

import pytest

from gateway.bench import soak
from gateway.bench.census import MIB, Census
from gateway.bench.soak import Sample, Soak, judged
from gateway.bench.stores import Store, Table
from gateway.bench.usage import Use

SAMPLES = 40


def flat(_: int) -> int:
    return 0


def run(
    memory: Callable[[int], int] = flat,
    files: Callable[[int], int] = flat,
    queue: Callable[[int], int] = flat,
    head: Callable[[int], int] = flat,
    dead: Callable[[int], int] = flat,
) -> Soak:
    """A soak with these changes over 50 MiB, 20 files, an empty queue, and small tables."""

    def sample(n: int) -> Sample:
        use = Use(memory_bytes=0, files=20 + files(n), private_bytes=(50 + memory(n)) * MIB)
        server = Use(memory_bytes=0, files=150 + 5 * files(n), processes=10 + files(n))
        client = Use(memory_bytes=0, files=6 + n, private_bytes=n * 10 * MIB)
        tables = {
            "journal": Table(bytes=n * 5_000_000, live=n * 1000, dead=0),
            "balances": Table(bytes=100_000 + head(n), live=512, dead=dead(n)),
        }
        store = Store(bytes=1, active_seconds=1.0, transactions=1, tables=tables)
        return Sample(
            seconds=n * 10.0,
            settled=n * 1000,
            queues=dict.fromkeys(soak.QUEUES, 5.0 + queue(n)),
            census=Census(
                processes={
                    "gateway/gateway": use,
                    "PostgreSQL/x": server,
                    "load generator/client": client,
                },
                stores={"gateway": store},
            ),
        )

    return judged([sample(n) for n in range(SAMPLES)])


def test_history_grows_and_nothing_else_does() -> None:
    found = run()
    assert found.faults == []
    assert found.bytes_per_settlement == {"gateway/journal": 5000.0}
    assert found.settled == (SAMPLES - 1) * 1000 and found.minutes == 6.5
    assert soak.summary(found)[0].endswith("nothing grows but history")
    assert not any("load generator" in row[0] for row in soak.rows(found))


def test_what_fills_up_once_is_no_growth() -> None:
    assert run(memory=lambda n: 40 * (n >= 8), files=lambda n: 30 * (n >= 5)).faults == []
    assert run(queue=lambda n: 500 * (n == 3), dead=lambda n: n % 10 * 1000).faults == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"memory": lambda n: n}, "private memory of gateway/gateway"),
        ({"files": lambda n: n}, "open files of gateway/gateway"),
        ({"files": lambda n: n}, "processes of PostgreSQL/x"),
        ({"queue": lambda n: n * n}, "intake queue"),
        ({"head": lambda n: n * 200_000}, "table gateway/balances"),
        ({"dead": lambda n: n * 1000}, "dead rows of gateway/balances"),
    ],
)
def test_what_goes_on_growing_is_told(change: dict[str, Callable[[int], int]], what: str) -> None:
    found = run(**change)
    assert any(fault.startswith(what) for fault in found.faults), found.faults
    assert "GROWS" in {row[-1] for row in soak.rows(found)}
    assert soak.summary(found)[0].endswith("something grows")
