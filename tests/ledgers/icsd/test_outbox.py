"""When the bundles of a registry leave: one a block, a full one at once, none that may be lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, cast

import pytest
import pytest_asyncio

from htlc.units import AccountId
from ledgers.administration import OpenAccount
from ledgers.icsd.entry import ENTRIES_MAX, NOTHING, Bundle, Entry, unpack
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.memory_log import MemoryLog
from ledgers.icsd.outbox import Outbox
from ledgers.icsd.proof import Result
from ledgers.icsd.store import Store
from ledgers.parties import Principal, Role
from tests.ledgers.icsd.registries import KEYS

ME = RegistryId("KZ")
BY = Principal(name="operator", role=Role.LEDGER_OPERATOR)


class Bench:
    """An outbox whose worker is the test."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.due = 0
        self.replaced: list[int] = []
        self.outbox = Outbox(ME, KEYS[ME], self.log.connect(), cast(Store, self), self.note)
        self.outbox.begin(1, (0, NOTHING), [])

    def note(self) -> None:
        self.due += 1

    def ask(self, count: int) -> "asyncio.Future[list[Result]]":
        act = OpenAccount(account=AccountId("a"), owner="owner")
        return self.outbox.ask([Entry(by=BY, act=act)] * count)

    def written(self) -> int | None:
        """What the worker does: takes the next bundle, and has it durable. Its sequence."""
        made = self.outbox.next()
        if made is None:
            return None
        self.outbox.kept()
        return made[0]

    async def replace_bundle(self, sequence: int, _: bytes) -> None:
        """As the store's."""
        self.replaced.append(sequence)

    async def published(self) -> list[int]:
        """Entries of the bundles that are in the log."""
        for _ in range(20):
            await asyncio.sleep(0)
        bodies = [unpack(m.data) for m in await self.log.connect().read(1, 99)]
        return [len(cast(Bundle, cast(Any, body)[1]).entries) for body in bodies]


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    running = asyncio.create_task(made.outbox.run())
    yield made
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_nothing_is_published_before_it_is_durable(bench: Bench) -> None:
    bench.ask(1)
    assert bench.due == 1
    assert bench.outbox.next() is not None
    assert await bench.published() == []
    bench.outbox.kept()
    assert await bench.published() == [1]


async def test_what_is_asked_meanwhile_leaves_when_ours_stands_in_a_block(bench: Bench) -> None:
    bench.ask(1)
    assert bench.written() == 1
    bench.ask(2)
    bench.ask(3)
    assert bench.written() is None
    assert bench.due == 1  # the worker is not woken for what it cannot do
    assert bench.outbox.counted(1, NOTHING)
    assert bench.written() == 2
    assert await bench.published() == [1, 5]


async def test_a_full_bundle_does_not_wait_for_a_block(bench: Bench) -> None:
    bench.ask(1)
    assert bench.written() == 1
    assert await bench.published() == [1]
    bench.ask(ENTRIES_MAX)
    assert bench.due == 2
    assert bench.written() == 2
    assert await bench.published() == [1, ENTRIES_MAX]


@pytest.mark.parametrize("sizes", [(ENTRIES_MAX, ENTRIES_MAX), (ENTRIES_MAX, 1, 1)])
async def test_each_is_told_its_own_answers(bench: Bench, sizes: Sequence[int]) -> None:
    futures = [bench.ask(size) for size in sizes]
    entries = list(sizes)
    while entries:
        sequence = bench.written()
        assert sequence is not None
        size = (await bench.published())[-1]
        bench.outbox.counted(sequence, NOTHING)
        bench.outbox.answered(sequence, [None] * size)
        while size:
            size -= entries.pop(0)
    assert [await future for future in futures] == [[None] * size for size in sizes]
    assert bench.outbox.waiting == 0 and bench.outbox.under_way == 0


async def test_what_was_kept_before_a_restart_is_published_first(bench: Bench) -> None:
    bench.ask(2)
    made = bench.outbox.next()
    assert made is not None
    again = Bench()
    again.outbox.begin(1, (0, NOTHING), [made[1]])
    again.ask(3)
    assert again.written() is None
    running = asyncio.create_task(again.outbox.run())
    assert await again.published() == [2]
    again.outbox.counted(1, NOTHING)
    assert again.written() == 2
    assert await again.published() == [2, 3]
    running.cancel()


async def test_a_bundle_whose_epoch_ends_while_it_is_written_is_signed_again_after_that(
    bench: Bench,
) -> None:
    """Else the database would keep the bytes of the old epoch, and after a restart another bundle
    of this sequence would be signed."""
    bench.ask(2)
    assert bench.outbox.next() is not None
    bench.outbox.enter(2, (0, NOTHING))
    assert await bench.published() == [] == bench.replaced
    bench.outbox.kept()
    assert await bench.published() == [2]
    assert bench.replaced == [1]
    [message] = await bench.log.connect().read(1, 9)
    read = unpack(message.data)
    assert read is not None and cast(Bundle, read[1]).epoch == 2
