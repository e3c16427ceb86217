"""Wakes: not before their time, once, and none for what was dropped."""

import asyncio
import time

from gateway.wakes import TICK, Wakes


async def test_each_is_woken_once_after_its_time_and_by_its_last_one() -> None:
    woken: list[tuple[str, float]] = []
    begun = time.monotonic()
    wakes: Wakes[str] = Wakes(lambda item: woken.append((item, time.monotonic() - begun)))
    wakes.put("later", TICK)
    wakes.put("now", 0.0)
    wakes.put("moved", 0.0)
    wakes.put("moved", 3 * TICK)
    wakes.put("dropped", 0.0)
    wakes.drop("dropped")
    wakes.drop("never put")
    running = asyncio.create_task(wakes.run())
    async with asyncio.timeout(10):
        while len(wakes):
            await asyncio.sleep(TICK)
    running.cancel()
    assert [item for item, _ in woken] == ["now", "later", "moved"]
    times = [after for _, after in woken]
    assert times[0] >= 0 and times[1] >= TICK and times[2] >= 3 * TICK


async def test_one_that_is_put_again_when_it_is_woken_is_woken_again() -> None:
    count = 0

    def again(item: str) -> None:
        nonlocal count
        count += 1
        if count < 3:
            wakes.put(item, 0.0)

    wakes = Wakes(again)
    wakes.put("x", 0.0)
    running = asyncio.create_task(wakes.run())
    async with asyncio.timeout(10):
        while count < 3:
            await asyncio.sleep(TICK)
    running.cancel()
    assert not len(wakes)
