"""What the load generator does with the gateway's answers."""

from typing import Any, cast

import pytest

from gateway.bench import load
from gateway.bench.connection import Connection
from gateway.bench.load import Sender
from gateway.bench.plan import Case, Order
from gateway.bench.trades import Tally, Unit
from tests.gateway.test_bench import SITE, trade

TAKEN = b'[{"status":202,"id":"a"},{"status":202,"id":"b"}]'
HALF = b'[{"status":202,"id":"a"},{"status":503,"problem":{}}]'


class Answering:
    """A connection with these answers, one after the other; the last one stands."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        self.requests: list[bytes] = []
        self._answers = list(answers)

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        self.requests.append(request)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


async def handed_in(*answers: tuple[int, bytes]) -> tuple[Tally, Answering]:
    tally = Tally(SITE, case=Case.JSON_BULK)
    sender = Sender(SITE, Order(case=Case.JSON_BULK, in_flight=2), tally)
    connection = Answering(*answers)
    unit = Unit([trade(id=id) for id in "ab"])
    await sender.send(unit, [cast(Connection, connection)])
    return tally, connection


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "BUSY_SECONDS", 0.0)


async def test_what_a_busy_gateway_did_not_take_is_sent_again_as_it_was() -> None:
    tally, connection = await handed_in((503, b"{}"), (202, HALF), (202, TAKEN))
    assert (tally.faults, tally.resent, len(connection.requests)) == ([], 2, 3)
    assert len(set(connection.requests)) == 1


@pytest.mark.parametrize(
    ("answer", "asked"),
    [((503, b"{}"), load.BUSY_TIMES_MAX), ((202, TAKEN[:25] + b"]"), 1), ((422, b"why"), 1)],
    ids=["busy for a minute", "one is missing", "refused"],
)
async def test_what_is_not_taken_is_a_fault(answer: Any, asked: int) -> None:
    tally, connection = await handed_in(answer)
    assert len(connection.requests) == asked
    (fault,) = tally.faults
    assert fault.startswith(f"not taken (status {answer[0]})")
