"""A task that swallows a cancellation ends all the same; any other is as it would be alone."""

import asyncio
import contextlib

import pytest

from gateway.process.ending import ending


class LostError(Exception):
    pass


async def lives_through_losses(losses: list[int]) -> None:
    """As a loop over a database does: the cancellation becomes the loss of a connection."""
    while True:
        try:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if len(losses) >= 2:
                    raise
                raise LostError from None
        except LostError:
            losses.append(1)


async def test_a_loop_that_takes_the_cancellation_for_a_loss_is_cancelled_again() -> None:
    losses: list[int] = []
    task = asyncio.create_task(ending(lives_through_losses(losses)))
    await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await task
    assert task.cancelled() and len(losses) == 2


async def test_what_fails_fails() -> None:
    async def fails() -> None:
        raise LostError

    with pytest.raises(LostError):
        await ending(fails())


async def test_what_fails_while_it_ends_is_cancelled() -> None:
    async def fails() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise LostError

    task = asyncio.create_task(ending(fails()))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
