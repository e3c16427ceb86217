"""The log on one server and on three: the contract, who may do what, and what is refused."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web

from gateway.embedded.nats_settings import new_seed
from ledgers.icsd.direct import Sent
from ledgers.icsd.entry import MESSAGE_MAX
from ledgers.icsd.link import Access
from ledgers.icsd.log import (
    Conflict,
    LogBroken,
    LogRefused,
    LogUnreachable,
    OrderedLog,
    Stored,
)
from ledgers.icsd.stream import JetStreamLog
from ledgers.icsd.stream_setup import configuration, create, self_test
from tests.ledgers.icsd.log_contract import Connect, LogContract, hears, whole
from tests.ledgers.icsd.log_faults import disk_lost, suffer
from tests.ledgers.icsd.servers import STREAM, BlackHole, Servers, running

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alone() -> AsyncIterator[Servers]:
    async with running(1) as servers:
        yield servers


@pytest_asyncio.fixture(loop_scope="module")
async def log_of_one(alone: Servers) -> AsyncIterator[Servers]:
    await alone.make()
    yield alone
    await alone.start()
    await alone.unmake()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def three() -> AsyncIterator[Servers]:
    async with running(3) as servers:
        yield servers


@pytest_asyncio.fixture(loop_scope="module")
async def log_of_three(three: Servers) -> AsyncIterator[Servers]:
    await three.make()
    yield three
    await three.unmake()


def connecting(servers: Servers) -> Connect:
    """As the administrator: for the contract one connection publishes on every subject."""

    async def connect() -> OrderedLog:
        return await servers.open("admin")

    return connect


class TestOfOneServer(LogContract):
    @pytest.fixture
    def connect(self, log_of_one: Servers) -> Connect:
        return connecting(log_of_one)


class TestOfThreeServers(LogContract):
    @pytest.fixture
    def connect(self, log_of_three: Servers) -> Connect:
        return connecting(log_of_three)


async def test_the_largest_message_fits(log_of_one: Servers) -> None:
    log = await log_of_one.open()
    data = bytes(MESSAGE_MAX)
    assert await log.append("ord.A", data, id="f" * 64, after=0) == Stored(sequence=1)
    assert [message.data for message in await log.read(1, 1)] == [data]


async def test_a_registry_cannot_publish_as_another(log_of_one: Servers) -> None:
    log = await log_of_one.open("A")
    with pytest.raises(LogRefused, match=r"denies us publish to ord\.b"):
        await log.append("ord.B", b"forged", id="1")
    assert await log.append("ord.cut", b"a cut", id="2", after=0) == Stored(sequence=1)


async def test_a_supervisor_reads_and_hears_and_publishes_nothing(log_of_one: Servers) -> None:
    registry, supervisor = await log_of_one.open("A"), await log_of_one.open("sup")
    await registry.append("ord.A", b"one", id="1")
    assert [message.data for message in await whole(supervisor)] == [b"one"]
    heard = supervisor.heard()
    await registry.tell("vote.A", b"yes")
    assert await hears(heard, ("vote.A", b"yes"))
    with pytest.raises(LogRefused):
        await supervisor.append("ord.cut", b"a cut", id="2")


async def test_who_is_not_known_is_told_so(log_of_one: Servers) -> None:
    stranger = Access(name="A", seed=new_seed(os.urandom(32)))
    with pytest.raises(LogRefused, match="does not know A"):
        await JetStreamLog.open(log_of_one.urls, stranger, STREAM)


async def test_what_is_new_is_read_without_being_asked_for(
    log_of_one: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = await log_of_one.open("A"), await log_of_one.open("B")
    assert not await theirs.read(1, 9)

    async def unanswered(*_: object, **__: object) -> list[Sent]:
        raise LogUnreachable("asked")

    monkeypatch.setattr(theirs, "_ask", unanswered)
    await ours.append("ord.A", b"one", id="1")
    async with asyncio.timeout(5):
        while True:
            with suppress(LogUnreachable):
                [message] = await theirs.read(1, 9)
                break
            await asyncio.sleep(0.01)
    assert (message.sequence, message.subject, message.data) == (1, "ord.A", b"one")
    with pytest.raises(LogUnreachable, match="asked"):
        await theirs.read(1, 9)


async def test_nobody_hears_the_replies_to_another(log_of_one: Servers) -> None:
    spy = Access(name="A", seed=log_of_one.access("B").seed)
    with pytest.raises(LogRefused, match="denies us subscription to _inbox_a"):
        await JetStreamLog.open(log_of_one.urls, spy, STREAM)


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    with pytest.raises(LogUnreachable):
        await JetStreamLog.open(["nats://127.0.0.1:9"], Access(name="A"), STREAM, seconds=0.5)


async def test_the_self_test_passes_what_we_set_up(log_of_three: Servers) -> None:
    log = await log_of_three.open()
    await self_test(log, STREAM, [server.monitor for server in log_of_three.servers])


async def test_the_self_test_names_what_is_wrong_with_a_stream(alone: Servers) -> None:
    wanted = configuration(STREAM, replicas=1, bytes_max=1 << 20)
    await create(alone.urls, alone.access("admin"), wanted | {"discard": "old"})
    log = await alone.open()
    with pytest.raises(LogRefused, match="discard is 'old' and must be 'new'"):
        await self_test(log, STREAM, [alone.servers[0].monitor])
    await alone.unmake()


async def test_making_a_stream_again_needs_no_room_and_another_one_is_refused(
    log_of_one: Servers,
) -> None:
    await log_of_one.make()
    wanted = configuration(STREAM, replicas=1, bytes_max=160 << 20)
    with pytest.raises(LogRefused, match=STREAM):
        await create(log_of_one.urls, log_of_one.access("admin"), wanted | {"discard": "old"})


@pytest.mark.parametrize("said", [{"config": {"sync_always": False}}, {"config": {}}])
async def test_a_log_that_acknowledges_before_its_disk_has_it_is_refused(
    log_of_one: Servers, said: dict[str, object]
) -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.json_response(said)

    server = web.Server(answer)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    log = await log_of_one.open()
    try:
        with pytest.raises(LogRefused, match="sync_interval: always"):
            await self_test(log, STREAM, [f"http://{host}:{port}"])
    finally:
        await runner.cleanup()


async def test_a_log_whose_disk_nobody_vouches_for_is_not_used(log_of_one: Servers) -> None:
    log = await log_of_one.open()
    with pytest.raises(LogUnreachable, match="none of the log's monitors"):
        await self_test(log, STREAM, [])


async def test_a_gap_breaks_the_log(log_of_one: Servers) -> None:
    wanted = configuration("GAP", replicas=1, bytes_max=1 << 20)
    await log_of_one.unmake()
    gapped = wanted | {"deny_delete": False, "deny_purge": False}
    await create(log_of_one.urls, log_of_one.access("admin"), gapped)
    log = await JetStreamLog.open(log_of_one.urls, log_of_one.access("A"), "GAP")
    for number in range(5):
        await log.append("ord.A", b"%d" % number, id=str(number))
    await log_of_one.administer("STREAM.MSG.DELETE.GAP", b'{"seq":3}')
    assert [message.sequence for message in await log.read(1, 2)] == [1, 2]
    with pytest.raises(LogBroken, match="message 3 is missing: 4 stands there"):
        await log.read(1, 10)
    await log.close()
    await log_of_one.administer("STREAM.DELETE.GAP")
    await log_of_one.make()


async def test_a_log_that_was_made_anew_is_broken(log_of_one: Servers) -> None:
    log = await log_of_one.open()
    await log.append("ord.A", b"one", id="1")
    assert await log.last() == 1
    await log_of_one.administer(f"STREAM.DELETE.{STREAM}")
    with pytest.raises(LogUnreachable):
        await log.last()
    await log_of_one.make()
    with pytest.raises(LogBroken, match="was made at"):
        await log.last()


async def test_a_message_stored_long_ago_is_recognised_by_its_guard(log_of_one: Servers) -> None:
    """The engine has forgotten the id: a restart, or more than its window."""
    log = await log_of_one.open()
    assert await log.append("ord.cut", b"ours", id="as it was", after=0) == Stored(sequence=1)
    again = await log.append("ord.cut", b"ours", id="forgotten", after=0)
    assert again == Stored(sequence=1, repeated=True)
    assert await log.append("ord.cut", b"other", id="x", after=0) == Conflict()


async def test_an_append_outlives_its_server(log_of_one: Servers) -> None:
    log = await log_of_one.open()
    await log.append("ord.A", b"one", id="1")
    [server] = log_of_one.servers
    server.signal(signal.SIGKILL)
    await server.wait()
    appending = asyncio.create_task(log.append("ord.A", b"two", id="2"))
    await asyncio.sleep(0.3)
    assert not appending.done()
    await server.start()
    assert await appending == Stored(sequence=2)
    assert [message.data for message in await whole(log)] == [b"one", b"two"]


async def test_the_description_of_a_stream_is_what_the_engine_says(log_of_one: Servers) -> None:
    log = await log_of_one.open()
    told = msgspec.json.decode(await log_of_one.administer(f"STREAM.INFO.{STREAM}"))
    assert (await log.info()).created == told["created"]


async def test_a_link_that_swallows_everything_is_left_for_another_server(
    log_of_one: Servers,
) -> None:
    hole = BlackHole(log_of_one.urls[0])
    async with hole as url:
        log = await log_of_one.open("A", [url, *log_of_one.urls])
        await log.append("ord.A", b"one", id="1")
        hole.swallow()
        began = time.monotonic()
        assert isinstance(await log.append("ord.A", b"two", id="2"), Stored)
        assert time.monotonic() - began < 15, (
            "five on a quiet machine; the append itself would give up after 20"
        )
        assert [message.data for message in await whole(log)] == [b"one", b"two"]
        await log.close()


async def test_a_server_that_has_lost_its_disk_gets_the_log_from_the_others(
    log_of_three: Servers,
) -> None:
    """The other faults take long and have a command: `python -m tests.ledgers.icsd.log_faults`."""
    seen = await suffer(log_of_three, disk_lost)
    assert seen.unresolved == 0
