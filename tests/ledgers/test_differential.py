"""PostgreSQL against the pure book: the same batches give the same answers, rows and blocks."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from htlc.contract import Answer, Refusal, Unknown
from htlc.units import QUANTITY_MAX, AccountId, HtlcId, Instant, Quantity
from ledgers.administration import BlockAccount, RevokeMandate, UnblockAccount
from ledgers.block import Seal, is_signed
from ledgers.hosted import PAGE_MAX
from ledgers.port import Cancel, Execute, Issue, Lock, Redeem, Refund, Transfer
from ledgers.postgres import PostgresLedger, open_pool, prepare
from tests.ledgers.worlds import (
    ALICE,
    ALICE_ACCOUNT,
    ALICE_SECOND,
    BOB,
    BOB_ACCOUNT,
    CANCELLATION_KEY,
    CENTRAL_BANK,
    EUR,
    EXECUTION_KEY,
    FUNDS,
    GATEWAY,
    LEDGER,
    LEDGER_OPERATOR,
    RESERVES,
    START,
    SUPERVISOR,
    TEST_KEY,
    TRAITS,
    ManualClock,
    World,
    furnish,
    mandate,
    memory_world,
)

CONTRACT_IDS = [HtlcId(f"00000000-0000-4000-8000-{number:012x}") for number in range(8)]
KEYS = [EXECUTION_KEY, CANCELLATION_KEY, bytes(32), EXECUTION_KEY[:31], EXECUTION_KEY + b"\0"]
ACCOUNTS = [ALICE_ACCOUNT, ALICE_SECOND, BOB_ACCOUNT, RESERVES, AccountId("nobody")]
TABLES = "head, accounts, instruments, balances, mandates, contracts, operations, blocks, postings"

ids = st.sampled_from(CONTRACT_IDS)
keys = st.sampled_from(KEYS)
usually_funded = st.sampled_from([ALICE_ACCOUNT] * 6 + ACCOUNTS)
usually_payee = st.sampled_from([BOB_ACCOUNT] * 6 + ACCOUNTS)
small = st.sampled_from([1, 2, FUNDS // 2, FUNDS - 1, FUNDS, FUNDS + 1, 0])
huge = st.sampled_from([1, 100, QUANTITY_MAX - 2 * FUNDS, QUANTITY_MAX - 2 * FUNDS + 1, 0])
instants = st.integers(0, 12).map(lambda step: START + step)


def _locks() -> st.SearchStrategy[Lock]:
    world = World(None, ManualClock())
    two_keys = {"expires_at": None}
    backstop = st.fixed_dictionaries({"expires_at": instants})
    plain = st.fixed_dictionaries({"expires_at": instants, "cancellation_lock": st.none()})
    return st.builds(
        lambda base, kind: Lock(terms=world.terms(settlement=CONTRACT_IDS[0], **base, **kind)),
        st.fixed_dictionaries(
            {
                "id": ids,
                "payer": usually_funded,
                "payee": usually_payee,
                "quantity": small,
                "lock_by": instants.map(lambda at: at + 2),
            }
        ),
        st.just(two_keys) | backstop | plain,
    )


operations = st.one_of(
    _locks(),
    _locks(),
    st.builds(Execute, id=ids, key=keys),
    st.builds(Execute, id=ids, key=st.just(EXECUTION_KEY)),
    st.builds(Cancel, id=ids, key=keys),
    st.builds(Cancel, id=ids, key=st.just(CANCELLATION_KEY)),
    st.builds(Refund, id=ids),
    st.builds(
        Transfer,
        id=st.sampled_from(["t1", "t2", "t3", "not a name"]),
        debit=usually_funded,
        credit=usually_payee,
        asset=st.just(EUR),
        quantity=small,
    ),
)
issuance = st.builds(
    lambda kind, id, account, quantity: kind(
        id=id, account=account, asset=EUR, quantity=Quantity(quantity)
    ),
    st.sampled_from([Issue, Redeem]),
    st.sampled_from(["i1", "i2", "i3", "i4"]),
    st.sampled_from(ACCOUNTS),
    huge | small,
)
batches = st.one_of(
    st.tuples(st.sampled_from([GATEWAY, GATEWAY, ALICE, BOB]), st.lists(operations, max_size=12)),
    st.tuples(st.just(CENTRAL_BANK), st.lists(issuance | operations, max_size=6)),
)
acts = st.sampled_from(
    [
        (LEDGER_OPERATOR, BlockAccount(account=ALICE_ACCOUNT)),
        (LEDGER_OPERATOR, UnblockAccount(account=ALICE_ACCOUNT)),
        (ALICE, RevokeMandate(account=ALICE_ACCOUNT, operator=GATEWAY.name)),
        (ALICE, mandate(ALICE, ALICE_ACCOUNT, limit=Quantity(FUNDS // 2))),
        (ALICE, mandate(ALICE, ALICE_ACCOUNT, until=Instant(START + 5))),
        (BOB, mandate(BOB, ALICE_ACCOUNT)),
    ]
)
steps = st.lists(
    st.tuples(
        st.integers(0, 1),  # which replica serves it
        st.sampled_from([0, 0, 1, 1, 2, -3]),  # how the wall clock moves before
        batches,
        st.none() | st.none() | acts,
    ),
    max_size=6,
)


@asynccontextmanager
async def replicas(pool: Any, clock: ManualClock) -> AsyncIterator[list[World]]:
    """Two replicas of one new ledger in this database."""
    seal = Seal(LEDGER, TEST_KEY)
    await pool.execute(f"TRUNCATE {TABLES}, administration")
    await prepare(pool, seal)
    worlds = [World(PostgresLedger(pool, seal, clock, TRAITS), clock) for _ in range(2)]
    try:
        await furnish(worlds[0])
        yield worlds
    finally:
        for world in worlds:
            await world.hosted.close()


async def the_same(told: World, expected: World) -> None:
    """Every row that can be read is the same, and so is every block."""
    for account in ACCOUNTS:
        assert await told.hosted.account(account) == await expected.hosted.account(account)
    looked = [await world.as_(GATEWAY).look(CONTRACT_IDS) for world in (told, expected)]
    assert looked[0] == looked[1]
    chains = [await world.hosted.blocks(0, PAGE_MAX) for world in (told, expected)]
    assert chains[0] == chains[1]
    for by in (GATEWAY, ALICE, BOB, SUPERVISOR):
        facts = [await world.hosted.facts(by, "", PAGE_MAX) for world in (told, expected)]
        assert facts[0] == facts[1]
    positions = await told.hosted.conservation()
    assert positions == await expected.hosted.conservation()
    assert [position.difference for position in positions] == [0]


async def compare(pool: Any, script: list[Any]) -> None:
    expected = await memory_world()
    clock = ManualClock()
    async with replicas(pool, clock) as told:
        for replica, passed, (by, batch), act in script:
            for one in (clock, expected.clock):
                one.advance(passed)
            if act is not None:
                done = [
                    await w.hosted.administer(act[0], [act[1]]) for w in (told[replica], expected)
                ]
                assert done[0] == done[1]
            answers = [await world.as_(by).apply(batch) for world in (told[replica], expected)]
            assert answers[0] == answers[1]
            assert [p.difference for p in await told[replica].hosted.conservation()] == [0]
        await the_same(told[0], expected)


def test_any_batches_have_the_same_outcome_as_in_the_pure_book(
    postgres_server: str, dsn: str
) -> None:
    with asyncio.Runner() as runner:
        pool = runner.run(_migrated_pool(dsn))

        @settings(
            max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(steps)
        def explore(script: list[Any]) -> None:
            runner.run(compare(pool, script))

        try:
            explore()
        finally:
            runner.run(pool.close())


async def _migrated_pool(dsn: str) -> "asyncpg.Pool[asyncpg.Record]":
    pool = await open_pool(dsn)
    await prepare(pool, Seal(LEDGER, TEST_KEY))
    return pool


async def test_ten_thousand_operations_on_a_hot_account_in_one_call(dsn: str) -> None:
    """Locks until nothing is available, repeats and conflicts among them, then executes of all."""
    pool = await _migrated_pool(dsn)
    expected, clock = await memory_world(), ManualClock()
    locks = [Lock(terms=expected.terms(quantity=FUNDS // 3_000)) for _ in range(4_500)]
    conflicts = [Lock(terms=expected.terms(id=lock.terms.id, quantity=1)) for lock in locks[:500]]
    executes = [Execute(id=lock.terms.id, key=EXECUTION_KEY) for lock in locks]
    batch = [*locks, *conflicts, *locks[:500], *executes]
    assert len(batch) == 10_000
    async with pool, replicas(pool, clock) as told:
        answers = [await world.as_(GATEWAY).apply(batch) for world in (told[0], expected)]
        assert answers[0] == answers[1]
        refusals = [answer.refusal for answer in answers[0] if isinstance(answer, Answer)]
        assert refusals.count(Refusal.CONFLICT) == 500
        assert refusals.count(Refusal.INSUFFICIENT_BALANCE) == 4_500 - 3_003
        await the_same(told[0], expected)


async def test_two_replicas_of_one_ledger_at_once(dsn: str) -> None:
    """Both are sent the same locks and executes, mixed; each takes effect once, in one chain."""
    pool, clock = await _migrated_pool(dsn), ManualClock()
    async with pool, replicas(pool, clock) as told:
        terms = [told[0].terms(quantity=FUNDS // 100) for _ in range(150)]

        async def drive(world: World, mine: list[Any]) -> list[Any]:
            answers: list[Answer | Unknown] = []
            for each in mine:
                answers += await world.as_(GATEWAY).apply([Lock(terms=each)])
                answers += await world.as_(GATEWAY).apply([Execute(id=each.id, key=EXECUTION_KEY)])
            return answers

        results = await asyncio.gather(
            drive(told[0], terms[:100]),
            drive(told[1], terms[50:]),
            drive(told[0], terms[::-1]),
            drive(told[1], terms),
        )
        told_refusals = {answer.refusal for answers in results for answer in answers}
        assert told_refusals <= {
            None,
            Refusal.INSUFFICIENT_BALANCE,
            Refusal.UNKNOWN_CONTRACT,
        }
        view = await told[0].hosted.account(ALICE_ACCOUNT)
        assert view is not None and EUR not in view.holdings
        chain = await told[1].hosted.blocks(0, PAGE_MAX)
        assert [block.header.height for block in chain] == list(range(1, len(chain) + 1))
        assert all(a.hash == b.header.previous for a, b in itertools.pairwise(chain))
        assert all(is_signed(block, Seal(LEDGER, TEST_KEY).public_key) for block in chain)
        facts = await told[0].hosted.facts(GATEWAY, "", PAGE_MAX)
        effects = [(fact.kind, fact.id) for fact in facts]
        assert len(effects) == len(set(effects)) == 2 + 2 * 100
        assert [p.difference for p in await told[0].hosted.conservation()] == [0]
