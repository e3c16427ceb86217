"""Registry nodes over a log in memory, each with its database: lives, deaths and what they find."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings

from htlc.contract import Answer, Refusal, Status, Unknown
from htlc.units import AccountId, Duration, Quantity
from ledgers.administration import OpenAccount
from ledgers.icsd import node as node_module
from ledgers.icsd.client import LightClient
from ledgers.icsd.entry import SIGNATURE_TAG, Entry, Membership
from ledgers.icsd.epoch import Member, RegistryId
from ledgers.icsd.hosted import RegistryLedger
from ledgers.icsd.memory_log import MemoryConnection, MemoryLog
from ledgers.icsd.outbox import QUEUE_MAX
from ledgers.icsd.proof import membership_statement
from ledgers.icsd.start import Altered
from ledgers.icsd.store import Store, prepare
from ledgers.parties import Balance
from ledgers.port import Execute, LedgerUnreachable, Lock, Transfer
from ledgers.postgres import open_pool
from tests.ledgers.icsd.registries import (
    KEYS,
    NAMES,
    Registry,
    agree,
    all_alive,
    icsd_world,
    network,
    registries,
    serving,
    until,
)
from tests.ledgers.proxy import Proxy
from tests.ledgers.test_differential import steps, the_same
from tests.ledgers.worlds import (
    ALICE,
    ALICE_ACCOUNT,
    BOB,
    BOB_ACCOUNT,
    EUR,
    EXECUTION_KEY,
    FUNDS,
    GATEWAY,
    LEDGER,
    LEDGER_OPERATOR,
    ManualClock,
    World,
    furnish,
    memory_world,
    new_id,
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def transfer(id: str | None = None, quantity: int = 1) -> Transfer:
    return Transfer(
        id=id or new_id(),
        debit=ALICE_ACCOUNT,
        credit=BOB_ACCOUNT,
        asset=EUR,
        quantity=Quantity(quantity),
    )


def watched(log: MemoryLog, some: Sequence[Registry]) -> list[MemoryConnection]:
    """The connections that these registries will make to the log, to be troubled."""
    made: list[MemoryConnection] = []

    def connect() -> MemoryConnection:
        made.append(log.connect())
        return made[-1]

    for each in some:
        each.connect = connect
    return made


async def moved(ledger: RegistryLedger) -> int:
    """What Bob has more than at the beginning."""
    view = await ledger.account(BOB_ACCOUNT)
    assert view is not None
    return view.holdings[EUR].available - FUNDS


async def furnished(ledgers: Sequence[RegistryLedger], clock: ManualClock) -> World:
    return await furnish(World(ledgers[0], clock))


# --- lives and deaths ----------------------------------------------------------------------------


async def test_killed_anywhere_a_node_goes_on_and_nothing_is_lost_or_doubled(
    postgres_server: str, clock: ManualClock
) -> None:
    """One registry is killed again and again, each time somewhere else; the other three go on.
    What it was asked is asked again under the same id, as its callers do."""
    random.seed(7)
    four = await registries(postgres_server, clock)
    async with all_alive(four[1:]) as others:
        async with four[0].alive() as first:
            await furnished([await _serving(first), *others], clock)
        ids = [new_id() for _ in range(40)]
        for life in range(8):
            async with four[0].alive() as mortal:
                await serving(mortal.node)
                asked = [
                    asyncio.create_task(mortal.submit(ALICE, [transfer(id)]))
                    for id in ids[life * 5 : life * 5 + 5]
                ]
                await asyncio.sleep(random.random() * 0.03)
            told = await asyncio.gather(*asked)
            assert all(_is_done_or_unknown(answers[0]) for answers in told)
        async with four[0].alive() as again:
            await serving(again.node)
            for id in ids:
                [answer] = await again.submit(ALICE, [transfer(id)])
                assert isinstance(answer, Answer) and answer.refusal is None
            assert await moved(again) == len(ids)
            await agree([again, *others])


def _is_done_or_unknown(answer: Answer | Unknown) -> bool:
    return isinstance(answer, Unknown) or answer.refusal is None


async def _serving(ledger: RegistryLedger) -> RegistryLedger:
    await serving(ledger.node)
    return ledger


async def test_a_cut_off_registry_catches_up_and_the_others_did_not_wait(
    postgres_server: str, clock: ManualClock
) -> None:
    log = MemoryLog()
    four = await registries(postgres_server, clock, log=log)

    connections = watched(log, four[3:])
    async with all_alive(four) as ledgers:
        world = await furnished(ledgers, clock)
        connections[0].trouble.unreachable = True
        terms = [world.terms() for _ in range(5)]
        for each in terms:
            await ledgers[0].submit(GATEWAY, [Lock(terms=each)])
        await ledgers[1].submit(GATEWAY, [Execute(id=terms[0].id, key=EXECUTION_KEY)])
        assert ledgers[3].node.contract(terms[0].id) is None
        connections[0].trouble.unreachable = False
        clock.advance(1)  # the last block's votes were told while nobody heard: the next cut
        await ledgers[0].look([])  # carries their certificate
        await agree(ledgers)
        known = ledgers[3].node.contract(terms[0].id)
        assert known is not None and known.status is Status.EXECUTED


async def test_without_a_quorum_the_outcome_is_not_known_and_comes_later(
    postgres_server: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    four = await registries(postgres_server, clock)
    async with all_alive(four[:2]) as two:
        async with all_alive(four[2:]) as others:
            await furnished([*two, *others], clock)
            await agree([*two, *others])
        monkeypatch.setattr(node_module, "ANSWER_SECONDS", 0.3)
        once = transfer()
        [answer] = await two[0].submit(ALICE, [once])
        assert isinstance(answer, Unknown)
        assert await moved(two[0]) == 0, "nothing is told that is not final"
        monkeypatch.setattr(node_module, "ANSWER_SECONDS", 60.0)
        async with all_alive(four[2:]) as others:
            [answer] = await two[0].submit(ALICE, [once])
            assert isinstance(answer, Answer) and answer.refusal is None
            assert await moved(two[0]) == 1, "it was done once, though asked twice"
            await agree([*two, *others])


async def test_an_answer_of_the_database_that_is_lost_does_no_harm(
    postgres_server: str, clock: ManualClock
) -> None:
    [alone] = await registries(postgres_server, clock, names=NAMES[:1])
    async with Proxy(postgres_server) as proxy:
        alone.dsn = proxy.dsn(alone.dsn)
        async with all_alive([alone]) as ledgers:
            await furnished(ledgers, clock)
            proxy.lose_the_answer_to(b"Alice-was-here")
            [answer] = await ledgers[0].submit(ALICE, [transfer("Alice-was-here")])
            assert isinstance(answer, Answer) and answer.refusal is None
            assert await moved(ledgers[0]) == 1


# --- what stops a node ---------------------------------------------------------------------------


async def test_of_two_processes_with_one_database_one_ends_at_least(
    postgres_server: str, clock: ManualClock
) -> None:
    [alone] = await registries(postgres_server, clock, names=NAMES[:1])
    async with all_alive([alone]) as ledgers:
        await furnished(ledgers, clock)
        async with alone.alive() as second:
            await serving(second.node)
            for ledger in (*ledgers, second):
                await ledger.submit(ALICE, [transfer()])
            both = [ledgers[0].node, second.node]
            await until(lambda: any(node.stopped for node in both))
            assert all("Fenced" in node.stopped for node in both if node.stopped)


async def test_a_node_with_another_book_than_the_quorum_stops_and_the_others_go_on(
    postgres_server: str, clock: ManualClock
) -> None:
    async with all_alive(await registries(postgres_server, clock)) as ledgers:
        await furnished(ledgers, clock)
        balances = ledgers[3].node.replica.view.book.balances
        balances[BOB_ACCOUNT, EUR] = Balance(FUNDS + 1)
        await ledgers[0].submit(ALICE, [transfer()])
        await until(lambda: ledgers[3].node.stopped is not None)
        assert "AssertionError" in str(ledgers[3].node.stopped), "its own links do not agree"
        with pytest.raises(LedgerUnreachable, match="out of service"):
            await ledgers[3].account(BOB_ACCOUNT)
        await ledgers[1].submit(ALICE, [transfer()])
        await agree(ledgers[:3])


async def test_a_node_that_refuses_what_the_quorum_does_finds_the_other_certificate(
    postgres_server: str, clock: ManualClock
) -> None:
    async with all_alive(await registries(postgres_server, clock)) as ledgers:
        world = await furnished(ledgers, clock)
        ledgers[3].node.replica.view.book.mandates.clear()
        [answer] = await ledgers[0].submit(GATEWAY, [Lock(terms=world.terms())])
        assert isinstance(answer, Answer) and answer.refusal is None
        await until(lambda: ledgers[3].node.stopped is not None)
        assert "the results: we answer an entry of it differently" in str(ledgers[3].node.stopped)
        await agree(ledgers[:3])


async def test_a_row_that_was_altered_is_found_at_the_start(
    postgres_server: str, clock: ManualClock
) -> None:
    [alone] = await registries(postgres_server, clock, names=NAMES[:1])
    async with all_alive([alone]) as ledgers:
        await furnished(ledgers, clock)
    connection = await asyncpg.connect(alone.dsn)
    await connection.execute("UPDATE balances SET available = 5 WHERE account = $1", BOB_ACCOUNT)
    await connection.close()
    with pytest.raises((Altered, AssertionError)):
        async with alone.alive():
            pass


async def test_the_database_of_another_registry_is_refused(
    postgres_server: str, clock: ManualClock
) -> None:
    two = await registries(postgres_server, clock, names=NAMES[:2])
    async with two[0].alive():
        pass
    async with await open_pool(two[0].dsn) as pool:
        with pytest.raises(ValueError, match="of registry 'DE' in network"):
            await prepare(pool, LEDGER, NAMES[1], network().epoch)


async def test_more_than_the_queue_holds_is_turned_away(
    postgres_server: str, clock: ManualClock
) -> None:
    async with icsd_world(postgres_server, NAMES[:1]) as world:
        node = world.hosted.node
        node.outbox.waiting = QUEUE_MAX
        [answer] = await world.hosted.submit(ALICE, [transfer()])
        assert answer == Unknown(why="overloaded")
        node.outbox.waiting = 0
        [answer] = await world.hosted.submit(ALICE, [transfer()])
        assert isinstance(answer, Answer) and answer.refusal is None


# --- authority over registries -------------------------------------------------------------------


async def test_only_the_home_registry_moves_an_account(
    postgres_server: str, clock: ManualClock
) -> None:
    async with all_alive(await registries(postgres_server, clock)) as ledgers:
        world = await furnished(ledgers, clock)
        [answer] = await ledgers[1].submit(ALICE, [transfer()])
        assert isinstance(answer, Answer) and answer.refusal is Refusal.NOT_AUTHORISED
        lock = Lock(terms=world.terms())
        assert [a.refusal for a in await ledgers[1].submit(GATEWAY, [lock])] == [
            Refusal.NOT_AUTHORISED
        ]
        await ledgers[0].submit(GATEWAY, [lock])
        execute = Execute(id=lock.terms.id, key=EXECUTION_KEY)
        [done] = await ledgers[2].submit(BOB, [execute])
        assert isinstance(done, Answer) and done.refusal is None, "the key is the right"


# --- against the memory ledger -------------------------------------------------------------------


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def test_any_batches_have_the_same_outcome_as_in_the_pure_book(
    postgres_server: str, runner: asyncio.Runner
) -> None:
    """Answers, rows, facts, and the very blocks."""

    @settings(
        max_examples=8,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(steps)
    def explore(script: list[Any]) -> None:
        runner.run(_compare(postgres_server, script))

    explore()


async def _compare(server: str, script: list[Any]) -> None:
    expected = await memory_world()
    async with icsd_world(server, NAMES[:1]) as told:
        for _, passed, (by, batch), act in script:
            for world in (told, expected):
                world.clock.advance(max(passed, 0))
            if act is not None:
                done = [await w.hosted.administer(act[0], [act[1]]) for w in (told, expected)]
                assert done[0] == done[1]
            answers = [await w.as_(by).apply(batch) for w in (told, expected)]
            assert answers[0] == answers[1]
        await the_same(told, expected)


# --- other members -------------------------------------------------------------------------------


def membership(number: int, names: Sequence[RegistryId]) -> Entry:
    """Signed by all who were members."""
    members = tuple(
        Member(registry=name, public_key=KEYS[name].public_key().public_bytes_raw())
        for name in names
    )
    text = SIGNATURE_TAG + membership_statement(LEDGER, number, members)
    change = Membership(
        epoch=number,
        members=members,
        signatures=tuple((name, key.sign(text)) for name, key in KEYS.items()),
    )
    return Entry(by=LEDGER_OPERATOR, membership=change)


async def test_what_waits_while_the_members_change_is_signed_again(
    postgres_server: str, clock: ManualClock
) -> None:
    """UZ leaves while KZ, cut off from the log, asks for something: signed for the epoch that is
    over when it arrives."""
    log = MemoryLog()
    four = await registries(postgres_server, clock, log=log)

    connections = watched(log, four[2:3])
    async with all_alive(four) as ledgers:
        await furnished(ledgers, clock)
        change = membership(2, NAMES[:3])
        connections[0].trouble.unreachable = True
        asked = asyncio.create_task(
            ledgers[2].administer(
                LEDGER_OPERATOR, [OpenAccount(account=AccountId("kz-1"), owner=ALICE.name)]
            )
        )
        await until(lambda: ledgers[2].node.outbox.under_way == 1)
        assert await ledgers[0].node.ask([change]) == [None]
        for _ in range(3):
            clock.advance(1)
            await ledgers[0].look([])
        assert ledgers[0].node.replica.view.epoch.number == 2
        connections[0].trouble.unreachable = False
        assert await asked == [None]
        assert await ledgers[0].account(AccountId("kz-1")) is not None
        assert ledgers[2].node.replica.view.tables.last(NAMES[2])[0] == 1
        anybody = LightClient(LEDGER, network().epoch, Duration(0))
        anybody.follow_all(await Store(ledgers[1].pool).lineage())
        assert anybody.epochs == [network().epoch, ledgers[0].node.replica.view.epoch]


async def test_votes_that_were_stored_and_never_told_are_told_after_a_restart(
    postgres_server: str, clock: ManualClock
) -> None:
    """All die between storing their votes and telling them: nobody may vote again, so the block is
    certified by the votes of before or never."""
    log = MemoryLog()
    four = await registries(postgres_server, clock, log=log)

    connections = watched(log, four)
    async with all_alive(four) as ledgers:
        await furnished(ledgers, clock)
        await agree(ledgers)
        for connection in connections:
            connection.trouble.lost_tells = 1_000
        height = ledgers[0].node.head.height
        asked = asyncio.create_task(ledgers[0].submit(ALICE, [transfer()]))
        await until(lambda: all(ledger.node.head.height > height for ledger in ledgers))
        assert all(ledger.node.head.final < height for ledger in ledgers)
    assert isinstance((await asked)[0], Unknown)
    async with all_alive(four) as ledgers:
        await until(lambda: any(ledger.node.head.final > height for ledger in ledgers))
        clock.advance(1)  # whoever was late for the votes hears of them in the next cut
        await ledgers[0].look([])
        assert await moved(ledgers[0]) == 1
