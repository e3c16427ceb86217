"""A queue that is emptied in batches: order, limit, and several takers."""

import asyncio

from gateway.gathering import Gathering


async def test_what_has_gathered_is_taken_at_once_in_order_and_up_to_a_limit() -> None:
    queue: Gathering[int] = Gathering()
    for n in range(5):
        queue.put(n)
    assert await queue.take(3) == [0, 1, 2]
    queue.put(5)
    assert len(queue) == 3
    assert await queue.take(10) == [3, 4, 5]
    assert len(queue) == 0


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
