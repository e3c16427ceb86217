"""What every ordered log must do: one suite, given to each implementation.

Make a class that inherits `LogContract` and a fixture `connect`: a function that gives a new
connection (of a registry that may publish on every subject used here) to one and the same empty
log, and closes all of them in the end.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from ledgers.icsd.log import Conflict, Message, OrderedLog, Stored

Connect = Callable[[], Awaitable[OrderedLog]]

SECONDS = 60.0
"""Each of these takes milliseconds; a machine that does ten other things may need seconds."""


async def whole(log: OrderedLog) -> list[Message]:
    """All of the log, in small reads; the last message is there (reads may be behind)."""
    last = await log.last()
    found: list[Message] = []
    async with asyncio.timeout(SECONDS):
        while len(found) < last:
            found += await log.read(len(found) + 1, 7)
    return found


async def hears(
    heard: AsyncIterator[tuple[str, bytes]], wanted: tuple[str, bytes], seconds: float = SECONDS
) -> bool:
    """Whether this is heard in time, whatever else is."""
    try:
        async with asyncio.timeout(seconds):
            async for pair in heard:
                if pair == wanted:
                    return True
    except TimeoutError:
        pass
    return False


class LogContract:
    async def test_an_empty_log(self, connect: Connect) -> None:
        log = await connect()
        assert await log.last() == 0
        assert await log.last_of("ord.cut") == 0
        assert list(await log.read(1, 10)) == []

    async def test_one_order_for_everybody(self, connect: Connect) -> None:
        ours, theirs = await connect(), await connect()

        async def publish(log: OrderedLog, subject: str) -> None:
            for number in range(20):
                data = f"{subject} {number}".encode()
                assert isinstance(await log.append(subject, data, id=data.decode()), Stored)

        await asyncio.gather(publish(ours, "ord.A"), publish(theirs, "ord.B"))
        order = await whole(ours)
        assert order == await whole(theirs)
        assert [message.sequence for message in order] == list(range(1, 41))
        for subject in ("ord.A", "ord.B"):
            assert [m.data for m in order if m.subject == subject] == [
                f"{subject} {number}".encode() for number in range(20)
            ]

    async def test_a_repetition_is_told_and_changes_nothing(self, connect: Connect) -> None:
        log = await connect()
        first = await log.append("ord.A", b"one", id="1")
        await log.append("ord.A", b"two", id="2")
        again = await log.append("ord.A", b"one", id="1")
        assert (first, again) == (Stored(sequence=1), Stored(sequence=1, repeated=True))
        assert await log.last() == 2

    async def test_a_repetition_passes_its_guard(self, connect: Connect) -> None:
        log = await connect()
        first = await log.append("ord.A", b"one", id="1", after=0)
        again = await log.append("ord.A", b"one", id="1", after=0)
        assert (first, again) == (Stored(sequence=1), Stored(sequence=1, repeated=True))

    async def test_an_id_taken_by_another_message_keeps_nobody_out(self, connect: Connect) -> None:
        log = await connect()
        await log.append("ord.A", b"theirs", id="taken")
        assert await log.append("ord.B", b"ours", id="taken") == Stored(sequence=2)
        assert [message.data for message in await whole(log)] == [b"theirs", b"ours"]

    async def test_a_guard_lets_one_of_many_through(self, connect: Connect) -> None:
        logs = [await connect() for _ in range(3)]
        appends = [
            logs[n % 3].append("ord.cut", b"%d" % n, id=f"cut-{n}", after=0) for n in range(9)
        ]
        outcomes = await asyncio.gather(*appends)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict"] * 8 + [
            "Stored"
        ]
        assert await logs[0].last() == 1

    async def test_a_guard_looks_at_its_own_subject_only(self, connect: Connect) -> None:
        log = await connect()
        await log.append("ord.cut", b"cut 1", id="c1", after=0)
        await log.append("ord.A", b"between", id="a1")
        assert await log.last_of("ord.cut") == 1
        assert await log.append("ord.cut", b"cut 2", id="c2", after=1) == Stored(sequence=3)
        assert await log.append("ord.cut", b"late", id="c3", after=1) == Conflict()
        assert await log.last_of("ord.cut") == 3

    async def test_read_takes_what_is_asked_and_no_more(self, connect: Connect) -> None:
        log = await connect()
        for number in range(5):
            await log.append("ord.A", b"%d" % number, id=str(number))
        await whole(log)
        assert [message.sequence for message in await log.read(2, 3)] == [2, 3, 4]
        assert [message.sequence for message in await log.read(5, 3)] == [5]
        assert list(await log.read(6, 3)) == []
        assert list(await log.read(60, 3)) == []

    async def test_large_messages_come_whole(self, connect: Connect) -> None:
        log = await connect()
        large = [bytes([number]) * 900_000 for number in range(4)]
        for data in large:
            assert isinstance(await log.append("ord.A", data, id=str(data[0])), Stored)
        assert [message.data for message in await whole(log)] == large

    async def test_fewer_than_asked_are_the_end(self, connect: Connect) -> None:
        """However many bytes that is: a reader takes a short answer for the end of the log."""
        log = await connect()
        for number in range(6):
            await log.append("ord.A", bytes([number]) * 900_000, id=str(number))
        await whole(log)
        assert len(await log.read(1, 500)) == 6

    async def test_what_is_told_is_heard_by_the_others_and_kept_nowhere(
        self, connect: Connect
    ) -> None:
        ours, theirs = await connect(), await connect()
        heard = theirs.heard()

        async def telling() -> None:
            while True:  # promised to nobody: told again until it is heard
                await ours.tell("vote.A", b"yes")
                await asyncio.sleep(0.05)

        telling_task = asyncio.create_task(telling())
        try:
            assert await hears(heard, ("vote.A", b"yes"))
        finally:
            telling_task.cancel()
        assert await ours.last() == 0

    async def test_growth_is_hinted(self, connect: Connect) -> None:
        ours, theirs = await connect(), await connect()
        heard = theirs.heard()
        # A first hint may still be on its way to a reader that has just connected.
        await asyncio.sleep(0.1)
        await ours.append("ord.A", b"one", id="1")
        assert await hears(heard, ("", b""))

    async def test_a_reader_ends_with_its_connection(self, connect: Connect) -> None:
        log = await connect()
        heard = log.heard()
        await log.close()
        assert [pair async for pair in heard if pair != ("", b"")] == []
