"""Waiting for an event, but not for ever."""

import asyncio

from ledgers.icsd.inbox import came


async def test_an_event_that_nobody_sets_is_set_when_the_time_is_over() -> None:
    event = asyncio.Event()
    await came(event, 0.001)
    assert event.is_set()


async def test_an_event_that_comes_in_time_leaves_no_timer_behind() -> None:
    event, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.call_soon(event.set)
    await came(event, 0.005)
    event.clear()
    await asyncio.sleep(0.02)
    assert not event.is_set()
