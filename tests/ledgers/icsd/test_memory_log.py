"""The log in memory: the contract, and each kind of trouble it can be given."""

import pytest

from ledgers.icsd.log import LogUnreachable, OrderedLog, Stored, Unresolved
from ledgers.icsd.memory_log import MemoryLog
from tests.ledgers.icsd.log_contract import Connect, LogContract, hears


@pytest.fixture
def connect() -> Connect:
    log = MemoryLog()

    async def connected() -> OrderedLog:
        return log.connect()

    return connected


class TestMemoryLog(LogContract):
    pass


async def test_a_lost_append_is_unresolved_and_can_be_made_again() -> None:
    log = MemoryLog().connect()
    log.trouble.lost_appends = 1
    assert isinstance(await log.append("ord.A", b"one", id="1"), Unresolved)
    assert await log.append("ord.A", b"one", id="1") == Stored(sequence=1)


async def test_a_lost_answer_is_unresolved_and_the_repetition_tells_that_it_stands() -> None:
    log = MemoryLog().connect()
    log.trouble.lost_answers = 1
    assert isinstance(await log.append("ord.A", b"one", id="1", after=0), Unresolved)
    assert await log.append("ord.A", b"one", id="1", after=0) == Stored(sequence=1, repeated=True)


async def test_an_unreachable_log_gives_no_answer_and_no_hint() -> None:
    log = MemoryLog()
    ours, theirs = log.connect(), log.connect()
    heard = ours.heard()
    ours.trouble.unreachable = True
    await theirs.append("ord.B", b"one", id="1")
    await theirs.tell("vote.B", b"yes")
    assert isinstance(await ours.append("ord.A", b"two", id="2"), Unresolved)
    with pytest.raises(LogUnreachable):
        await ours.read(1, 10)
    with pytest.raises(LogUnreachable):
        await ours.last()
    ours.trouble.unreachable = False
    assert not await hears(heard, ("", b""), 0.05)
    assert [message.data for message in await ours.read(1, 10)] == [b"one"]


async def test_a_reader_that_is_behind_sees_the_beginning_without_a_gap() -> None:
    log = MemoryLog().connect()
    for number in range(4):
        await log.append("ord.A", b"%d" % number, id=str(number))
    log.trouble.behind = 1
    assert [message.sequence for message in await log.read(1, 10)] == [1, 2, 3]
    assert await log.last() == 4


async def test_what_is_lost_on_the_way_is_not_heard() -> None:
    log = MemoryLog()
    ours, theirs = log.connect(), log.connect()
    heard = theirs.heard()
    ours.trouble.lost_tells = 1
    await ours.tell("vote.A", b"first")
    await ours.tell("vote.A", b"second")
    await theirs.close()
    assert [pair async for pair in heard] == [("vote.A", b"second")]
