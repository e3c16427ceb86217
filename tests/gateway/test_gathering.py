"""A queue that is emptied in batches: order, limit, several takers, and when it waits for more."""

import asyncio
from typing import ClassVar

import pytest

from gateway import gathering
from gateway.gathering import MANY, Gathering


async def test_what_has_gathered_is_taken_at_once_in_order_and_up_to_a_limit() -> None:
    queue: Gathering[int] = Gathering()
    for n in range(5):
        queue.put(n)
    assert await queue.take(3) == [0, 1, 2]
    queue.put(5, 6)
    assert len(queue) == 4
    assert await queue.take(10) == [3, 4, 5, 6]
    assert len(queue) == 0


async def test_a_taker_is_not_woken_for_nothing() -> None:
    queue: Gathering[int] = Gathering()
    taker = asyncio.create_task(queue.take(1))
    await asyncio.sleep(0)
    queue.put()
    await asyncio.sleep(0)
    assert not queue._there.is_set()
    queue.put(1)
    assert await taker == [1]


async def test_of_several_takers_each_item_comes_to_one() -> None:
    queue: Gathering[int] = Gathering()
    taken: list[list[int]] = []

    async def taker() -> None:
        while True:
            taken.append(await queue.take(2))
            await asyncio.sleep(0)

    takers = [asyncio.create_task(taker()) for _ in range(3)]
    for n in range(20):
        queue.put(n)
        if n % 7 == 0:
            await asyncio.sleep(0)
    async with asyncio.timeout(5):
        while len(queue):
            await asyncio.sleep(0)
    assert [n for batch in taken for n in batch] == list(range(20))
    for task in takers:
        task.cancel()


async def test_a_taker_that_goes_takes_nothing_with_it() -> None:
    queue: Gathering[int] = Gathering()
    gone = asyncio.create_task(queue.take(1))
    await asyncio.sleep(0)
    queue.put(1)
    gone.cancel()
    await asyncio.wait({gone})
    assert gone.cancelled()
    assert await queue.take(1) == [1]


@pytest.fixture
def moments(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The moments that were waited for more; they pass at once."""

    class Time:
        Event = asyncio.Event
        waited: ClassVar[list[float]] = []

        @classmethod
        async def sleep(cls, seconds: float) -> None:
            cls.waited.append(seconds)
            await asyncio.sleep(0)

    monkeypatch.setattr(gathering, "asyncio", Time)
    return Time.waited


async def test_an_idle_system_waits_for_nothing(moments: list[float]) -> None:
    queue: Gathering[int] = Gathering()
    for n in range(3 * MANY):
        queue.put(n)
        assert await queue.take(100) == [n]
    assert moments == []


async def after_a_large_batch() -> Gathering[int]:
    queue: Gathering[int] = Gathering()
    for n in range(MANY):
        queue.put(n)
    assert len(await queue.take(100)) == MANY
    return queue


async def test_after_a_large_batch_one_moment_is_waited_for_more(moments: list[float]) -> None:
    queue = await after_a_large_batch()
    assert moments == [], "the first one cannot know"
    queue.put(1)
    assert await queue.take(100) == [1]
    assert moments == [gathering.GATHER_SECONDS]
    queue.put(2)
    assert await queue.take(100) == [2], "that batch was small: nobody else is on the way"
    assert len(moments) == 1


async def test_as_long_as_more_comes_it_waits_up_to_a_limit(
    moments: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = await after_a_large_batch()
    arriving = [*[5] * 3, 1]

    class Busy(list[float]):
        def append(self, seconds: float) -> None:
            super().append(seconds)
            for _ in range(arriving.pop(0) if arriving else 0):
                queue.put(1)

    monkeypatch.setattr(gathering.asyncio, "waited", Busy())
    queue.put(1)
    assert len(await queue.take(100)) == 17, "one more of 16 is not worth another moment"
    assert not arriving

    arriving = [200] * 100
    queue.put(1)
    assert len(await queue.take(10**6)) == 1 + 200 * gathering.GATHER_MOMENTS


async def test_a_batch_that_is_full_goes_at_once(moments: list[float]) -> None:
    queue: Gathering[int] = Gathering()
    for n in range(3 * MANY):
        queue.put(n)
    for _ in range(3):
        assert len(await queue.take(MANY)) == MANY
    assert moments == []


async def test_who_waited_in_vain_waits_again(moments: list[float]) -> None:
    """Two takers wait for the same moment, and the first takes all: the second must not come back
    with nothing, nor with the first item that comes then."""
    queue = await after_a_large_batch()
    for n in range(MANY):
        queue.put(n)
    both = [asyncio.create_task(queue.take(100)) for _ in range(2)]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    assert [task.done() for task in both] == [True, False]
    queue.put(7)
    queue.put(8)
    assert await both[1] == [7, 8]
    assert len(moments) == 3
