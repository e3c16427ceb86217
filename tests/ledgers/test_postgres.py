"""The PostgreSQL ledger where it differs from a book in memory: crashes, queues, clocks, plans."""

import asyncio
from typing import Any

import asyncpg
import msgspec
import pytest

from htlc.contract import Answer, Refusal, Unknown
from htlc.units import AccountId, AssetId, HtlcId, Quantity
from ledgers import postgres, store
from ledgers.administration import Act, DefineInstrument, OpenAccount, Record
from ledgers.block import Seal
from ledgers.currency import currency
from ledgers.parties import Balance
from ledgers.port import Cancel, Execute, Issue, LedgerUnreachable, Lock
from ledgers.postgres import open_pool, prepare
from tests.ledgers.proxy import Proxy
from tests.ledgers.worlds import (
    ALICE_ACCOUNT,
    BOB,
    BOB_ACCOUNT,
    CANCELLATION_KEY,
    CENTRAL_BANK,
    EUR,
    EXECUTION_KEY,
    FUNDS,
    GATEWAY,
    LEDGER_OPERATOR,
    TEST_KEY,
    ManualClock,
    World,
    new_id,
    postgres_ledger,
    postgres_world,
)

OTHERS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND datname = current_database()"""


async def insist(world: World, operation: Any) -> tuple[Answer, int]:
    """Ask until there is an answer; also how often there was none."""
    for unknown in range(200):
        [answer] = await world.as_(GATEWAY).apply([operation])
        if isinstance(answer, Answer):
            return answer, unknown
        await asyncio.sleep(0.005)
    raise AssertionError("the ledger never came back")


async def insist_all(world: World, operations: list[Any]) -> None:
    """Ask until each is done: on a starved machine a batch may miss its deadline."""
    for _ in range(20):
        answers = await world.as_(GATEWAY).apply(operations)
        if all(isinstance(answer, Answer) for answer in answers):
            assert not any(answer.refusal for answer in answers)  # type: ignore[union-attr]
            return
    raise AssertionError(f"the ledger never came back: {answers[0]}")


async def test_connections_killed_in_the_middle_lose_and_double_nothing(dsn: str) -> None:
    async with postgres_world(dsn) as world:
        terms = [world.terms(quantity=FUNDS // 200) for _ in range(200)]
        killer = await asyncpg.connect(dsn)

        async def settle(each: Any) -> int:
            locked, first = await insist(world, Lock(terms=each))
            done, second = await insist(world, Execute(id=each.id, key=EXECUTION_KEY))
            assert locked.refusal is None and done.refusal is None
            return first + second

        async def kill() -> None:
            for _ in range(12):
                await killer.fetch(OTHERS)
                await asyncio.sleep(0.02)

        async def settle_some(start: int) -> int:
            return sum([await settle(each) for each in terms[start::8]])

        *unknown, _ = await asyncio.gather(*(settle_some(n) for n in range(8)), kill())
        await killer.close()
        assert sum(unknown) > 0, "no kill met a batch: the test has no teeth"
        alice = await world.hosted.account(ALICE_ACCOUNT)
        bob = await world.hosted.account(BOB_ACCOUNT)
        assert alice.holdings == {} and bob.holdings["EUR"].available == 2 * FUNDS
        assert [p.difference for p in await world.hosted.conservation()] == [0]
        facts = await world.hosted.facts(GATEWAY, "", 1000)
        assert len(facts) == len({(f.kind, f.id) for f in facts}) == 2 + 2 * 200


async def test_while_the_database_is_away_nothing_is_known_and_then_all_goes_on(
    dsn: str, postgres_server: str
) -> None:
    async with (
        Proxy(postgres_server) as proxy,
        postgres_world(proxy.dsn(dsn)) as world,
    ):
        lock = Lock(terms=world.terms())
        proxy.take_away()
        [answer] = await world.as_(GATEWAY).apply([lock])
        assert isinstance(answer, Unknown)
        with pytest.raises(LedgerUnreachable):
            await world.hosted.account(ALICE_ACCOUNT)
        with pytest.raises(LedgerUnreachable):
            await world.hosted.describe()
        assert world.hosted.statistics.unknown == 1
        await proxy.bring_back()
        assert await world.hosted.account(ALICE_ACCOUNT) is not None
        [answer] = await world.as_(GATEWAY).apply([lock])
        assert isinstance(answer, Answer) and answer.refusal is None


async def test_a_commit_whose_answer_is_lost_is_unknown_and_found_done(
    dsn: str, postgres_server: str
) -> None:
    async with (
        Proxy(postgres_server) as proxy,
        postgres_world(proxy.dsn(dsn)) as world,
    ):
        terms = world.terms()
        proxy.lose_the_answer_to(b'"op":"lock"')  # a leaf: the statement that writes the batch
        [answer] = await world.as_(GATEWAY).apply([Lock(terms=terms)])
        assert isinstance(answer, Unknown)
        [found] = await world.as_(GATEWAY).look([terms.id])
        assert isinstance(found, Answer) and found.htlc is not None
        [again] = await world.as_(GATEWAY).apply([Lock(terms=terms)])
        assert isinstance(again, Answer) and again.refusal is None
        alice = await world.hosted.account(ALICE_ACCOUNT)
        assert alice.holdings["EUR"].locked == terms.quantity


async def test_a_batch_that_follows_one_of_ours_is_a_transaction_by_itself(
    dsn: str, postgres_server: str
) -> None:
    """Acts of administration begin one and lock the head, and so does a first batch; operations
    and questions after it do not."""
    async with (
        Proxy(postgres_server) as proxy,
        postgres_world(proxy.dsn(dsn)) as world,
    ):
        ledger, terms = world.as_(GATEWAY), [world.terms(quantity=1) for _ in range(3)]
        await ledger.apply([Lock(terms=terms[0])])
        proxy.lose_the_answer_to(b"BEGIN ISOLATION")
        for batch in (
            [Lock(terms=terms[0]), Lock(terms=terms[1])],
            [Execute(id=each.id, key=EXECUTION_KEY) for each in terms[:2]],
            [Execute(id=terms[2].id, key=EXECUTION_KEY)],
        ):
            assert all(isinstance(answer, Answer) for answer in await ledger.apply(batch))
        assert isinstance((await ledger.look([terms[0].id]))[0], Answer)
        assert not proxy.has_lost
        act = OpenAccount(account=AccountId("new-1"), owner=BOB.name)
        await world.hosted.administer(LEDGER_OPERATOR, [act])
        assert proxy.has_lost


async def test_a_lock_is_taken_to_be_new_and_told_as_it_is_where_it_was_not(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read for new locks. A contract that has ended, and whose row is let go of, is
    still told before whatever else would be said of a lock that names it."""
    asked: list[str] = []
    fetch = store.Session.fetch

    async def noting(self: store.Session, name: str, *values: Any) -> Any:
        asked.append(name)
        return await fetch(self, name, *values)

    async with postgres_world(dsn) as world:
        ledger, old = world.as_(GATEWAY), world.terms(quantity=1)
        await ledger.apply([Lock(terms=old), Execute(id=old.id, key=EXECUTION_KEY)])
        monkeypatch.setattr(store.Session, "fetch", noting)
        await ledger.apply([Lock(terms=world.terms(quantity=1))])
        assert asked == ["write_batch"]
        other = msgspec.structs.replace(old, quantity=Quantity(2))
        dear = msgspec.structs.replace(old, quantity=Quantity(10 * FUNDS))  # refused anyway
        for terms, refusal in ((old, None), (other, Refusal.CONFLICT), (dear, Refusal.CONFLICT)):
            blocks = len(await world.hosted.blocks(0, 100))
            new = Lock(terms=world.terms(quantity=1))
            told = await ledger.apply([Lock(terms=terms), new])
            assert all(isinstance(answer, Answer) for answer in told)
            assert [answer.refusal for answer in told] == [refusal, None]  # type: ignore[union-attr]
            assert told[0].htlc.key == EXECUTION_KEY  # type: ignore[union-attr]
            assert len(await world.hosted.blocks(0, 100)) == blocks + 1
            await ledger.apply([Execute(id=new.terms.id, key=EXECUTION_KEY)])


async def test_what_was_told_once_binds_a_replica_whose_clock_is_behind(dsn: str) -> None:
    """Also when nothing but a look told it, and the process that did is gone."""
    async with postgres_world(dsn) as world:
        terms = world.terms(lock_by=world.clock.at + 10)
        world.clock.advance(10)
        [absent] = await world.as_(GATEWAY).look([terms.id])
        assert absent == Answer(at=terms.lock_by)
    async with postgres_ledger(dsn, ManualClock()) as behind:
        [answer] = await behind.submit(GATEWAY, [Lock(terms=terms)])
        assert isinstance(answer, Answer)
        assert answer.refusal is Refusal.TOO_LATE and answer.at == terms.lock_by


async def test_a_batch_of_refusals_makes_no_block_but_stores_the_time(dsn: str) -> None:
    async with postgres_world(dsn) as world:
        before = await world.hosted.blocks(0, 100)
        world.clock.advance(5)
        execute = Execute(id=HtlcId(new_id()), key=EXECUTION_KEY)
        [answer] = await world.as_(GATEWAY).apply([execute])
        assert await world.hosted.blocks(0, 100) == before
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("SELECT clock FROM head") == answer.at == world.clock.at
        await connection.close()


async def test_a_block_has_one_row_for_the_postings_of_an_account(dsn: str) -> None:
    """Whatever the account's balances are that they move: of two assets, one of them new, or one
    that is in the end as it was."""
    async with postgres_world(dsn) as world:
        counter, gbp = AccountId("reserves-gbp"), AssetId("GBP")
        pound = currency(
            code="GBP", scale=2, central_bank=CENTRAL_BANK.name, reserves_account=counter
        )
        await world.hosted.administer(
            LEDGER_OPERATOR,
            [
                OpenAccount(account=counter, owner=CENTRAL_BANK.name),
                DefineInstrument(instrument=pound),
            ],
        )
        issued = await world.hosted.submit(
            CENTRAL_BANK,
            [
                Issue(id=f"two-{asset}", account=ALICE_ACCOUNT, asset=asset, quantity=Quantity(7))
                for asset in (EUR, gbp)
            ],
        )
        terms = world.terms()
        undone = await world.as_(GATEWAY).apply(
            [Lock(terms=terms), Cancel(id=terms.id, key=CANCELLATION_KEY)]
        )
        assert not any(answer.refusal for answer in (*issued, *undone))  # type: ignore[union-attr]
        connection = await asyncpg.connect(dsn)
        rows = await connection.fetch(
            "SELECT positions FROM movements WHERE account = $1 ORDER BY height", ALICE_ACCOUNT
        )
        await connection.close()
        assert [row["positions"] for row in rows] == [[0], [0, 1], [0, 1]]
        alice = await world.hosted.account(ALICE_ACCOUNT)
        assert alice.holdings == {EUR: Balance(FUNDS + 7, 0), gbp: Balance(7, 0)}
        assert [p.difference for p in await world.hosted.conservation()] == [0, 0]


async def test_callers_that_come_together_share_a_transaction(dsn: str) -> None:
    async with postgres_world(dsn) as world:
        before = world.hosted.statistics.batches
        locks = [Lock(terms=world.terms(quantity=1)) for _ in range(100)]
        await asyncio.gather(*(world.as_(GATEWAY).apply([lock]) for lock in locks))
        assert world.hosted.statistics.batches - before <= 2
        assert world.hosted.statistics.largest_batch >= 99


async def test_a_caller_that_is_cancelled_harms_nobody(dsn: str) -> None:
    async with postgres_world(dsn) as world:
        locks = [Lock(terms=world.terms(quantity=1)) for _ in range(20)]
        tasks = [asyncio.create_task(world.as_(GATEWAY).apply([lock])) for lock in locks]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        told = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in told[::2])
        assert all(one[0].refusal is None for one in told[1::2])
        looked = await world.as_(GATEWAY).look([lock.terms.id for lock in locks])
        assert all(answer.htlc is not None for answer in looked[1::2])
        assert [p.difference for p in await world.hosted.conservation()] == [0]


async def test_more_than_the_queue_holds_is_told_at_once(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "QUEUE_MAX", 10)
    async with postgres_world(dsn) as world:
        locks = [Lock(terms=world.terms(quantity=1)) for _ in range(15)]
        told = await asyncio.gather(*(world.as_(GATEWAY).apply([lock]) for lock in locks))
        unknown = [answer for [answer] in told if isinstance(answer, Unknown)]
        assert len(unknown) == 5 and unknown[0].why == "overloaded"
        assert world.hosted.statistics.overloaded == 5


async def test_a_stuck_transaction_ends_by_its_deadline(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process holds the head: callers are answered Unknown, and all goes on after it."""
    async with postgres_world(dsn) as world:
        lock = Lock(terms=world.terms())
        stuck = await asyncpg.connect(dsn)
        await stuck.execute("BEGIN; SELECT FROM head FOR UPDATE")
        monkeypatch.setattr(postgres, "BATCH_SECONDS", 0.2)
        [answer] = await world.as_(GATEWAY).apply([lock])
        assert isinstance(answer, Unknown)
        await stuck.close()
        monkeypatch.setattr(postgres, "BATCH_SECONDS", 10.0)
        assert (await insist(world, lock))[0].refusal is None


async def test_a_database_belongs_to_one_ledger(dsn: str) -> None:
    async with postgres_world(dsn), await open_pool(dsn) as pool:
        other = Seal("another", TEST_KEY)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="cash-eur"):
            await prepare(pool, other)


async def test_acts_and_operations_of_others_are_seen_by_a_replica_that_keeps_rows(
    dsn: str,
) -> None:
    """A replica's kept rows are dropped when another one has written."""
    async with postgres_world(dsn) as world, postgres_ledger(dsn, world.clock) as other:
        await other.submit(GATEWAY, [Lock(terms=world.terms(quantity=1))])
        terms = world.terms(quantity=FUNDS - 1)
        assert (await insist(world, Lock(terms=terms)))[0].refusal is None
        [answer] = await other.submit(GATEWAY, [Lock(terms=world.terms(quantity=1))])
        assert isinstance(answer, Answer) and answer.refusal is Refusal.INSUFFICIENT_BALANCE
        await other.submit(GATEWAY, [Execute(id=terms.id, key=EXECUTION_KEY)])
        [done] = await world.as_(GATEWAY).look([terms.id])
        assert isinstance(done, Answer) and done.htlc is not None and done.htlc.key


async def test_contracts_end_in_place_and_balances_too(dsn: str) -> None:
    """HOT updates: no index entry is written when a contract ends or a balance moves."""
    async with postgres_world(dsn) as world:
        terms = [world.terms(quantity=1) for _ in range(400)]
        await insist_all(world, [Lock(terms=each) for each in terms])
        executes = [Execute(id=each.id, key=EXECUTION_KEY) for each in terms]
        for start in range(0, 400, 50):
            await insist_all(world, executes[start : start + 50])
    connection = await asyncpg.connect(dsn)
    try:
        for table, least in (("contracts", 400), ("balances", 8)):
            updated, hot = await updates(connection, table, least)
            assert updated >= least and hot == updated, (table, updated, hot)
    finally:
        await connection.close()


async def updates(
    connection: "asyncpg.Connection[asyncpg.Record]", table: str, least: int
) -> tuple[int, int]:
    """Updates of a table and those in place, as soon as the ledger's backends have told: they do
    when they end, which is a moment after their connections."""
    counted = (  # other tests' registries have tables of these names in schemas of their own
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables"
        " WHERE schemaname = 'public' AND relname = $1"
    )
    for _ in range(1200):
        row = await connection.fetchrow(counted, table)
        if row["n_tup_upd"] >= least:
            break
        await asyncio.sleep(0.05)
    return row["n_tup_upd"], row["n_tup_hot_upd"]


async def test_the_log_of_administration_is_chained(dsn: str) -> None:
    async with postgres_world(dsn) as world:
        act = OpenAccount(account="new-1", owner=BOB.name)  # type: ignore[arg-type]
        for _ in range(2):
            assert await world.hosted.administer(LEDGER_OPERATOR, [act]) == [None]
    connection = await asyncpg.connect(dsn)
    lines = await connection.fetch("SELECT * FROM administration ORDER BY number")
    head = await connection.fetchval("SELECT administration FROM head")
    await connection.close()
    assert len(lines) == 5 + 2 + 1, "the act that changed nothing left no line"
    previous = bytes(32)
    for line in lines:
        record = Record(
            at=line["at"],
            by=line["by"],
            act=msgspec.json.decode(line["act"], type=Act),  # type: ignore[arg-type]
            previous=previous,
        )
        previous = record.hash()
        assert line["hash"] == previous
    assert head == previous
