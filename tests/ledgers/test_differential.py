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
from ledgers.parties import Principal
from ledgers.port import Cancel, Execute, Fact, Issue, Lock, Redeem, Refund, Transfer
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
# In an order that the foreign keys allow. DELETE, because TRUNCATE makes new files each time.
TABLES = (
    *("head", "mandates", "instruments", "accounts", "balances", "contracts"),
    *("operations", "blocks", "postings", "movements", "administration"),
)

ids = st.sampled_from(CONTRACT_IDS)
keys = st.sampled_from(KEYS)
usually_funded = st.sampled_from([ALICE_ACCOUNT] * 6 + ACCOUNTS)
usually_payee = st.sampled_from([BOB_ACCOUNT] * 6 + ACCOUNTS)
small = st.sampled_from([1, 2, 3, 5, FUNDS // 2, FUNDS - 1, FUNDS, FUNDS + 1, 0])
huge = st.sampled_from([1, 100, QUANTITY_MAX - 2 * FUNDS, QUANTITY_MAX - 2 * FUNDS + 1, 0])
instants = st.integers(0, 12).map(lambda step: START + step)


def _locks(**terms: st.SearchStrategy[Any]) -> st.SearchStrategy[Lock]:
    """Locks of the three shapes: two keys, two keys with a backstop, a plain HTLC."""
    world = World(None, ManualClock())
    shapes = st.one_of(
        st.just({"expires_at": None}),
        st.fixed_dictionaries({"expires_at": instants}),
        st.fixed_dictionaries({"expires_at": instants, "cancellation_lock": st.none()}),
    )
    return st.builds(
        lambda base, shape: Lock(terms=world.terms(settlement=CONTRACT_IDS[0], **base, **shape)),
        st.fixed_dictionaries({"id": ids, **terms}),
        shapes,
    )


good_locks = _locks(quantity=st.integers(1, 5))
odd_locks = _locks(
    payer=usually_funded,
    payee=usually_payee,
    quantity=small,
    lock_by=instants.map(lambda at: at + 2),
)
transfers = st.builds(
    Transfer,
    id=st.sampled_from(["t1", "t2", "t3", "not a name"]),
    debit=usually_funded,
    credit=usually_payee,
    asset=st.just(EUR),
    quantity=small,
)
ends = st.sampled_from(
    [
        *(lambda id, key=key: Execute(id=id, key=key) for key in [EXECUTION_KEY] * 4 + KEYS),
        *(lambda id, key=key: Cancel(id=id, key=key) for key in [CANCELLATION_KEY] * 4 + KEYS),
        *[lambda id: Refund(id=id)] * 6,
    ]
)
operations = st.one_of(odd_locks, transfers, st.builds(lambda end, id: end(id), ends, ids))
lives = st.builds(  # a lock and what is tried to end it, in one batch
    lambda lock, tried: [lock, *(end(lock.terms.id) for end in tried)],
    good_locks,
    st.lists(ends, max_size=3),
)
mixed = st.lists(lives | lives | operations.map(lambda one: [one]), min_size=2, max_size=10).map(
    lambda parts: [operation for part in parts for operation in part]
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
    st.tuples(st.sampled_from([GATEWAY, GATEWAY, ALICE, BOB]), mixed),
    st.tuples(st.just(CENTRAL_BANK), st.lists(issuance, min_size=1, max_size=6)),
    st.tuples(st.just(ALICE), st.lists(transfers, min_size=1, max_size=4)),
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
Seen = set[tuple[str, Refusal | None]]
steps = st.lists(
    st.tuples(
        st.integers(0, 1),  # which replica serves it
        st.sampled_from([0, 0, 1, 3, 6, -3]),  # how the wall clock moves before
        batches,
        st.none() | st.none() | acts,
    ),
    min_size=2,
    max_size=6,
)


@asynccontextmanager
async def replicas(pool: Any, clock: ManualClock) -> AsyncIterator[list[World]]:
    """Two replicas of one new ledger in this database."""
    seal = Seal(LEDGER, TEST_KEY)
    await pool.execute(";".join(f"DELETE FROM {table}" for table in TABLES))
    await prepare(pool, seal)
    worlds = [World(PostgresLedger(pool, seal, clock, TRAITS), clock) for _ in range(2)]
    try:
        await furnish(worlds[0])
        yield worlds
    finally:
        for world in worlds:
            await world.hosted.close()


async def _paged(world: World, by: Principal) -> list[Fact]:
    """The first nine facts, in pages that end within blocks."""
    found: list[Fact] = []
    for limit in (1, 2, 3, 2, 1):
        found += await world.hosted.facts(by, found[-1].cursor if found else "", limit)
    return found


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
        assert await _paged(told, by) == facts[0][:9]
    positions = await told.hosted.conservation()
    assert positions == await expected.hosted.conservation()
    assert [position.difference for position in positions] == [0]


async def compare(pool: Any, script: list[Any], seen: Seen) -> None:
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
            answers = [await w.as_(by).apply(batch) for w in (told[replica], expected)]
            assert answers[0] == answers[1]
            refusals = [answer.refusal for answer in answers[0] if isinstance(answer, Answer)]
            seen |= {(type(one).__name__, why) for one, why in zip(batch, refusals, strict=True)}
            assert [p.difference for p in await told[replica].hosted.conservation()] == [0]
        await the_same(told[0], expected)


def test_any_batches_have_the_same_outcome_as_in_the_pure_book(
    postgres_server: str, dsn: str
) -> None:
    with asyncio.Runner() as runner:
        pool = runner.run(_migrated_pool(dsn))
        seen: Seen = set()

        @settings(
            max_examples=150,
            deadline=None,
            database=None,
            derandomize=True,  # what was seen is asserted below: it must not change by chance
            suppress_health_check=list(HealthCheck),
        )
        @given(steps)
        def explore(script: list[Any]) -> None:
            runner.run(compare(pool, script, seen))

        try:
            explore()
        finally:
            runner.run(pool.close())
        done = {name for name, refusal in seen if refusal is None}
        assert done == {"Lock", "Execute", "Cancel", "Refund", "Issue", "Redeem", "Transfer"}
        refusals = {refusal for _, refusal in seen if refusal is not None}
        assert len(refusals) >= 14, "of 17 that a single asset and an idle queue can give"


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
