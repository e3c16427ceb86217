"""What people do with a registry: mend its book, rebuild it from another, begin a new log."""

import asyncio
from collections.abc import Sequence

import asyncpg
import msgspec
import pytest

from htlc.contract import Answer
from ledgers.icsd.entry import Entry
from ledgers.icsd.hosted import RegistryLedger
from ledgers.icsd.memory_log import MemoryLog
from ledgers.icsd.rebuild import RebuildStopped, rebuild
from ledgers.icsd.recover import RecoveryRefused, begin, consent, stop
from ledgers.icsd.recovery import Begun, Record, propose, unpack_word
from ledgers.icsd.repair import differences, repair
from ledgers.icsd.start import Altered, Ended, Identity, Lost
from ledgers.icsd.store import Placed, Store, prepare
from ledgers.port import Execute, Lock, Transfer
from ledgers.postgres import open_pool
from tests.ledgers.icsd.registries import (
    AT_ONCE,
    KEYS,
    NAMES,
    Registry,
    agree,
    all_alive,
    databases,
    network,
    registries,
)
from tests.ledgers.icsd.test_node import moved, transfer
from tests.ledgers.worlds import (
    ALICE,
    EXECUTION_KEY,
    GATEWAY,
    LEDGER,
    ManualClock,
    World,
    furnish,
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


class Archive:
    """Another registry's database as a source."""

    def __init__(self, store: Store, blocks_of_a_page: int = 5) -> None:
        self.store = store
        self.limit = blocks_of_a_page

    async def page(self, after: int) -> Sequence[Placed]:
        return await self.store.archive(after, self.limit, 1 << 20)

    async def begun(self) -> Sequence[Begun]:
        return await self.store.begun()


async def some_history(ledgers: Sequence[RegistryLedger], clock: ManualClock) -> None:
    """A contract that is executed, one that is open, and transfers."""
    world = await furnish(World(ledgers[0], clock))
    terms = [world.terms(), world.terms()]
    await ledgers[0].submit(GATEWAY, [Lock(terms=each) for each in terms])
    await ledgers[0].submit(GATEWAY, [Execute(id=terms[0].id, key=EXECUTION_KEY)])
    for _ in range(3):
        await ledgers[0].submit(ALICE, [transfer()])


def identity(registry: Registry, clock: ManualClock) -> Identity:
    return Identity(registry=registry.name, key=KEYS[registry.name], clock=clock)


ONE_OPERATION = "WHERE id = (SELECT min(id) FROM operations)"

# --- repair --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        ("UPDATE balances SET available = available + 5 WHERE account = 'bob-1'", "balances"),
        ("UPDATE sequences SET sequence = sequence + 1", "sequences"),
        ("DELETE FROM contracts WHERE status = 'EXECUTED'", "contracts"),
        ("UPDATE accounts SET owner = 'mallory' WHERE id = 'alice-1'", "accounts"),
        ("DELETE FROM mandates WHERE account = 'alice-1'", "mandates"),
        ("INSERT INTO operations VALUES ('invented', sha256('x'), 3)", "operations"),
        (f"DELETE FROM operations {ONE_OPERATION}", "operations"),
        (f"UPDATE operations SET height = -height {ONE_OPERATION}", "operations"),
        (f"UPDATE operations SET height = height + 1 {ONE_OPERATION}", "operations"),
        (f"UPDATE operations SET digest = sha256(digest) {ONE_OPERATION}", "operations"),
    ],
)
async def test_altered_rows_are_found_named_and_mended(
    postgres_server: str, clock: ManualClock, damage: str, where: str
) -> None:
    [alone] = await registries(postgres_server, clock, names=NAMES[:1])
    async with all_alive([alone]) as ledgers:
        await some_history(ledgers, clock)
        before = await moved(ledgers[0])
    its = network(AT_ONCE, NAMES[:1])
    async with await open_pool(alone.dsn) as pool:
        store = Store(pool)
        assert await differences(its, store) == []
        await pool.execute(damage)
        with pytest.raises((Altered, AssertionError, KeyError)):
            async with alone.alive():
                pass
        found = await differences(its, store)
        assert [each.table for each in found] == [where], found
        assert await repair(its, store) == found
        assert await differences(its, store) == []
    async with all_alive([alone]) as ledgers:
        await ledgers[0].submit(ALICE, [transfer()])
        assert await moved(ledgers[0]) == before + 1


async def test_an_archive_that_was_changed_proves_nothing(
    postgres_server: str, clock: ManualClock
) -> None:
    [alone] = await registries(postgres_server, clock, names=NAMES[:1])
    async with all_alive([alone]) as ledgers:
        await some_history(ledgers, clock)
    async with await open_pool(alone.dsn) as pool:
        await pool.execute(
            "UPDATE network_blocks SET body = (SELECT body FROM network_blocks WHERE height = 3) "
            "WHERE height = 2"
        )
        with pytest.raises((Lost, AssertionError)):
            await differences(network(AT_ONCE, NAMES[:1]), Store(pool))


# --- rebuild -------------------------------------------------------------------------------------


async def test_a_lost_database_is_read_again_from_another_registry_and_goes_on_with_the_log(
    postgres_server: str, clock: ManualClock
) -> None:
    four = await registries(postgres_server, clock)
    async with all_alive(four) as ledgers:
        await some_history(ledgers, clock)
        await agree(ledgers)
    await databases(postgres_server, [four[3].name])
    async with await open_pool(four[3].dsn) as pool, await open_pool(four[0].dsn) as other:
        await prepare(pool, LEDGER, four[3].name, network().epoch)
        height = await rebuild(
            network(), identity(four[3], clock), Store(pool), Archive(Store(other))
        )
        assert height == (await Store(other).head()).height
    async with all_alive(four) as ledgers:
        await ledgers[0].submit(ALICE, [transfer()])
        clock.advance(1)
        await ledgers[0].look([])
        await agree(ledgers)
        chains = [await ledger.blocks(0, 100) for ledger in ledgers]
        hashes = [[block.hash for block in chain] for chain in chains]
        assert hashes == [hashes[0]] * 4 and hashes[0], "the whole chain is there again"


async def test_a_forged_archive_stops_the_rebuilding(
    postgres_server: str, clock: ManualClock
) -> None:
    four = await registries(postgres_server, clock)
    async with all_alive(four) as ledgers:
        await some_history(ledgers, clock)
    await databases(postgres_server, [four[3].name])

    class Forger(Archive):
        async def page(self, after: int) -> Sequence[Placed]:
            return [_without_messages(placed) for placed in await super().page(after)]

    async with await open_pool(four[3].dsn) as pool, await open_pool(four[0].dsn) as other:
        await prepare(pool, LEDGER, four[3].name, network().epoch)
        with pytest.raises(RebuildStopped, match="a quorum certified something else"):
            await rebuild(network(), identity(four[3], clock), Store(pool), Forger(Store(other)))


def _without_messages(placed: Placed) -> Placed:
    """The block without the first of its messages, which is made to look as if it never was."""
    block = placed.block
    if block.header.height != 2:
        return placed
    changed = msgspec.structs.replace(block, messages=(b"", *block.messages[1:]))
    return Placed(placed.log, placed.position, changed)


# --- recovery ------------------------------------------------------------------------------------


@pytest.mark.parametrize("child_certified", [True, False])
async def test_the_network_goes_on_in_a_new_log_when_the_old_one_is_lost(
    postgres_server: str, clock: ManualClock, child_certified: bool
) -> None:
    """UZ is gone for good. The others stop, consent and begin; what KZ had on its way when the log
    was lost is done in the new one."""
    four = await registries(postgres_server, clock)
    late = transfer()
    async with all_alive(four) as ledgers:
        await some_history(ledgers, clock)
        await agree(ledgers)
        before = await moved(ledgers[0])
    async with four[0].alive() as alone:  # its bundle stands in a log that is then lost
        await alone.node.serving()
        asked = [alone.node.outbox.ask([_entry(late)])]
        while alone.node.outbox.under_way == 0 or not await _kept(four[0]):
            await _soon()
    assert not asked[0].done() or asked[0].exception() is not None
    if not child_certified:  # nobody who stops knows that the last final block has a child
        for each in four[:3]:
            await _forget_certificates_of_children(each)
    record = await _agree_on_a_record(four[:3], clock)
    new_log = MemoryLog()
    for each in four[:3]:
        each.connect = new_log.connect
    async with all_alive(four[:3]) as ledgers:
        await ledgers[1].look([])
        await _until_moved(ledgers[0], before + 1)
        [answer] = await ledgers[0].submit(ALICE, [late])
        assert isinstance(answer, Answer) and answer.refusal is None
        assert await moved(ledgers[0]) == before + 1, "done once"
        assert {ledger.node.replica.view.epoch.number for ledger in ledgers} == {record.number}
        clock.advance(1)
        await ledgers[0].look([])
        await agree(ledgers)
    await databases(postgres_server, [four[3].name])
    async with await open_pool(four[3].dsn) as pool, await open_pool(four[0].dsn) as other:
        await prepare(pool, LEDGER, four[3].name, network().epoch)
        source = Archive(Store(other))
        await rebuild(network(), identity(four[3], clock), Store(pool), source)
        head, theirs = await Store(pool).head(), await source.store.head()
        assert head.log == theirs.log == 2 and theirs.final <= head.height <= theirs.height


async def _agree_on_a_record(three: Sequence[Registry], clock: ManualClock) -> Record:
    its = network()
    pools = [await open_pool(each.dsn) for each in three]
    stores = [Store(pool) for pool in pools]
    who = [identity(each, clock) for each in three]
    stops = [await stop(its, i, s) for i, s in zip(who, stores, strict=True)]
    assert stops == [await stop(its, i, s) for i, s in zip(who, stores, strict=True)]
    with pytest.raises(Ended):
        async with three[0].alive():
            pass
    record = propose(LEDGER, its.epoch, None, [unpack_word(word)[0] for word in stops])
    too_few = propose(LEDGER, its.epoch, None, [unpack_word(word)[0] for word in stops[:2]])
    with pytest.raises(RecoveryRefused, match="too-few-stops"):
        await consent(its, who[0], stores[0], too_few)
    ballots = [await consent(its, i, s, record) for i, s in zip(who, stores, strict=True)]
    signed = tuple(unpack_word(ballot)[0] for ballot in ballots)
    with pytest.raises(RecoveryRefused, match="too few"):
        await begin(its, who[0], stores[0], Begun(record=record, ballots=signed[:2]))
    for i, store in zip(who, stores, strict=True):
        begun = Begun(record=record, ballots=signed)
        await begin(its, i, store, begun, Archive(stores[0]))
        await begin(its, i, store, begun)
    for pool in pools:
        await pool.close()
    return record


def _entry(operation: Transfer) -> Entry:
    return Entry(by=ALICE, operation=operation)


async def _soon() -> None:
    await asyncio.sleep(0.005)


async def _kept(registry: Registry) -> bool:
    connection = await asyncpg.connect(registry.dsn)
    try:
        return bool(await connection.fetchval("SELECT count(*) FROM outbox"))
    finally:
        await connection.close()


async def _forget_certificates_of_children(registry: Registry) -> None:
    connection = await asyncpg.connect(registry.dsn)
    await connection.execute("DELETE FROM certificates WHERE height > (SELECT final FROM head)")
    await connection.close()


async def _until_moved(ledger: RegistryLedger, quantity: int) -> None:
    async with asyncio.timeout(60):
        while await moved(ledger) < quantity:
            await _soon()
