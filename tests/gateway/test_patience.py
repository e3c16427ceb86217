"""Waiting for answers, with one timer for all."""

import asyncio
import time

import pytest

from gateway.patience import Patience

SECONDS = 0.05


async def test_an_answer_in_time_is_given_and_then_forgotten() -> None:
    patience, loop = Patience(SECONDS), asyncio.get_running_loop()
    answers: list[asyncio.Future[int]] = [loop.create_future() for _ in range(3)]
    waiting = [asyncio.create_task(patience.wait_for(answer)) for answer in answers]
    for n, answer in enumerate(answers):
        loop.call_soon(answer.set_result, n)
    assert await asyncio.gather(*waiting) == [0, 1, 2]
    last: asyncio.Future[int] = loop.create_future()
    last.set_result(3)
    assert await patience.wait_for(last) == 3
    assert len(patience) == 1, "only what was asked for last is still looked at"


async def test_each_waits_its_own_time_and_no_longer() -> None:
    patience, loop = Patience(SECONDS), asyncio.get_running_loop()
    never: list[asyncio.Future[int]] = [loop.create_future() for _ in range(2)]
    begun = time.monotonic()
    first = asyncio.create_task(patience.wait_for(never[0]))
    await asyncio.sleep(SECONDS / 2)
    with pytest.raises(TimeoutError):
        await patience.wait_for(never[1])
    assert time.monotonic() - begun >= 1.5 * SECONDS
    with pytest.raises(TimeoutError):
        await first
    assert all(answer.done() for answer in never), "whoever has the answer now sees that it is late"
    in_time: asyncio.Future[int] = loop.create_future()
    loop.call_later(SECONDS / 2, in_time.set_result, 1)
    assert await patience.wait_for(in_time) == 1, "the timer runs again"


async def test_one_who_has_gone_is_waited_for_no_longer() -> None:
    patience = Patience(SECONDS)
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(patience.wait_for(answer))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(1.5 * SECONDS)
    assert answer.cancelled()
    assert len(patience) == 0
