"""A task that swallows a cancellation ends all the same; any other is as it would be alone."""

import asyncio
import contextlib
import types
from typing import cast

import pytest

from gateway import app
from gateway.engine import Engine
from gateway.process.ending import ending
from gateway.tellers import Tellers
from ledgers.ranges import Ranges


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
        async with asyncio.timeout(60):
            await task
    assert task.cancelled() and len(losses) == 2


async def test_tellers_that_take_the_cancellation_for_a_loss_are_each_cancelled_again() -> None:
    """A group cancels its tasks once, however often it is cancelled itself."""
    losses: list[int] = []
    tellers = object.__new__(Tellers)
    teller = types.SimpleNamespace(run=lambda: lives_through_losses(losses))
    for name in ("allegements", "liquidity", "lasting", "system_events"):
        setattr(tellers, name, teller)
    task = asyncio.create_task(ending(tellers.run()))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task}, timeout=60)
    assert task.cancelled() and len(losses) >= 2


class Hanging:
    """An engine whose webhooks wait for a database that hangs: twice they take a cancellation for
    a loss."""

    settings = types.SimpleNamespace(bic="LCKSNL20XXX")
    connections = types.SimpleNamespace(sign=lambda _, message: message)

    def __init__(self) -> None:
        self.webhooks = types.SimpleNamespace(run=self.deliver)
        self.told = 0

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def deliver(self, _: object) -> None:
        for _ in range(200):
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                self.told += 1
                if self.told == 3:
                    raise


async def test_webhooks_that_lose_their_database_do_not_keep_a_gateway_from_its_end() -> None:
    engine = Hanging()
    task = asyncio.create_task(app.run_engine(cast(Engine, engine), cast(Ranges, engine)))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled() and engine.told == 3


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
