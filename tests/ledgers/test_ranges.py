"""History in ranges: made ahead, filled in time or late, moved away and back under load."""

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from htlc.units import Quantity
from ledgers import ranges, store
from ledgers.migrate import migrate
from ledgers.port import Issue
from ledgers.ranges import AHEAD, LEDGER, Months, Numbers, Ranges
from tests.ledgers.worlds import (
    ALICE_ACCOUNT,
    CENTRAL_BANK,
    EUR,
    World,
    new_id,
    postgres_world,
)

RUNBOOK = Path(__file__).parents[2] / "k8s" / "README.md"

RANGES = """
    SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = $1::text::regclass ORDER BY 1"""

SMALL = Numbers(
    table="postings", key="height", width=10, margin=9, reached="SELECT height FROM head"
)


async def narrow(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    """Let the first range of a ledger end at height 10, so that blocks of a test go beyond."""
    await pool.execute("ALTER TABLE postings DETACH PARTITION postings_first")
    await pool.execute(
        "ALTER TABLE postings ATTACH PARTITION postings_first FOR VALUES FROM (MINVALUE) TO (10)"
    )


async def issue(world: World, blocks: int) -> None:
    """So many blocks of one operation each."""
    for _ in range(blocks):
        [answer] = await world.hosted.submit(
            CENTRAL_BANK,
            [Issue(id=new_id(), account=ALICE_ACCOUNT, asset=EUR, quantity=Quantity(1))],
        )
        assert answer.refusal is None


async def heights(pool: "asyncpg.Pool[asyncpg.Record]", table: str) -> list[int]:
    rows = await pool.fetch(f"SELECT DISTINCT height FROM {table} ORDER BY 1")
    return [row["height"] for row in rows]


async def test_ranges_are_made_two_ahead_and_then_no_more(dsn: str) -> None:
    async with postgres_world(dsn), asyncpg.create_pool(dsn, min_size=1, max_size=2) as pool:
        keeper = Ranges(pool, LEDGER, print)
        for history in LEDGER:
            table = history.table
            made = [await keeper.make_next(history) for _ in range(AHEAD + 1)]
            assert made == [f"{table}_1", f"{table}_2", None]
            found = [row[0] for row in await pool.fetch(RANGES, table)]
            assert found == [f"{table}_{part}" for part in ("1", "2", "first", "rest")]


async def test_replicas_that_make_the_same_range_make_one(dsn: str) -> None:
    async with postgres_world(dsn), asyncpg.create_pool(dsn, min_size=4, max_size=4) as pool:
        keepers = [Ranges(pool, LEDGER, print) for _ in range(4)]
        made = await asyncio.gather(*(keeper.make_next(LEDGER[0]) for keeper in keepers))
        assert sorted(name for name in made if name) == ["postings_1", "postings_2"]


async def test_a_range_that_cannot_be_made_is_told_until_it_is(dsn: str) -> None:
    async with postgres_world(dsn), asyncpg.create_pool(dsn, min_size=2, max_size=2) as pool:
        said: list[str] = []
        keeper = Ranges(pool, LEDGER, said.append)
        async with pool.acquire() as reader, reader.transaction():
            await reader.fetch("SELECT * FROM postings_rest")  # holds its lock to the end
            await keeper.keep_ahead(LEDGER[0])
            assert keeper.late == {"postings": True, "movements": False}
        assert len(said) == 1
        assert "no new range for postings yet" in said[0]
        await keeper.keep_ahead(LEDGER[0])
        assert keeper.late == {"postings": False, "movements": False}
        assert len(said) == 1


async def test_blocks_go_on_over_the_end_of_a_range(dsn: str) -> None:
    async with postgres_world(dsn) as world, asyncpg.create_pool(dsn, min_size=1) as pool:
        await narrow(pool)
        keeper = Ranges(pool, [SMALL], print)
        start = (await heights(pool, "postings"))[-1]
        await issue(world, 12)  # no range was made in time: into the rest
        late = await heights(pool, "postings_rest")
        assert late == list(range(10, start + 13))

        assert await keeper.make_next(SMALL) == "postings_1"
        assert await heights(pool, "postings_rest") == [h for h in late if h >= 20]
        assert await heights(pool, "postings_1") == [h for h in late if h < 20]

        writing = asyncio.create_task(issue(world, 40))
        while not writing.done():
            await keeper.make_next(SMALL)
            await asyncio.sleep(0.01)
        await writing
        while await keeper.make_next(SMALL):
            pass
        assert await heights(pool, "postings_rest") == []
        assert await heights(pool, "postings") == list(range(1, start + 53))
        count, total = await pool.fetchrow(
            "SELECT (SELECT count(*) FROM postings), (SELECT sum(count) FROM blocks)"
        )
        assert count == total, "each block has its postings, wherever they stand"


async def test_a_full_range_is_taken_out_and_put_back_while_blocks_are_written(dsn: str) -> None:
    async with postgres_world(dsn) as world, asyncpg.create_pool(dsn, min_size=1) as pool:
        await narrow(pool)
        await issue(world, 12)
        before = await heights(pool, "postings")
        writing = asyncio.create_task(issue(world, 30))
        await pool.execute("ALTER TABLE postings DETACH PARTITION postings_first")
        assert min(await heights(pool, "postings")) == 10
        await pool.execute(
            "ALTER TABLE postings ATTACH PARTITION postings_first "
            "FOR VALUES FROM (MINVALUE) TO (10)"
        )
        await writing
        assert (await heights(pool, "postings"))[: len(before)] == before


async def test_the_runbook_moves_a_range_while_blocks_are_written(dsn: str) -> None:
    runbook = RUNBOOK.read_text("utf-8").partition("SET default_tablespace = history;")[2]
    small = runbook.replace("1000000", "10").replace("2000000", "20")
    steps = [step.strip() for step in small.partition("COMMIT;")[0].split(";")][:-1]
    assert len(steps) == 9, "the copy, the vacuum, and a transaction of six"
    async with postgres_world(dsn) as world, asyncpg.create_pool(dsn, min_size=2) as pool:
        await narrow(pool)
        keeper = Ranges(pool, [SMALL], print)
        while await keeper.make_next(SMALL):
            pass
        await issue(world, 20)
        before = await heights(pool, "postings_1")
        assert before == list(range(10, 20))
        old = await pool.fetchval("SELECT 'postings_1'::regclass::oid")
        writing = asyncio.create_task(issue(world, 30))
        async with pool.acquire() as connection:
            for step in steps:
                await connection.execute(step)
            await connection.execute("COMMIT")
        await writing
        assert await pool.fetchval("SELECT 'postings_1'::regclass::oid") != old
        assert await heights(pool, "postings_1") == before
        assert (await heights(pool, "postings"))[-1] >= 50


async def test_a_ledger_of_before_keeps_its_history(dsn: str, tmp_path: Path) -> None:
    earlier = tmp_path / "migrations"
    earlier.mkdir()
    shutil.copy(store.MIGRATIONS / "0001_ledger.sql", earlier)
    connection = await asyncpg.connect(dsn)
    try:
        await migrate(connection, earlier)
        high = 2 * ranges.BLOCKS + 7
        for height in (1, high):
            await connection.execute("INSERT INTO postings VALUES ($1, 0, '{}')", height)
            await connection.execute("INSERT INTO movements VALUES ('a', $1, '{0}')", height)
        await connection.execute("INSERT INTO blocks VALUES ($1, '', '', 1, 0, '', '')", high)
        assert "0010_ranges" in await migrate(connection, store.MIGRATIONS)
        bound = await connection.fetchval(
            "SELECT pg_get_expr(relpartbound, oid) FROM pg_class "
            "WHERE oid = 'postings_first'::regclass"
        )
        assert bound == "FOR VALUES FROM (MINVALUE) TO ('3000000')"
        assert [row[0] for row in await connection.fetch("SELECT height FROM entries")] == [1, high]
        await connection.execute("INSERT INTO postings VALUES ($1, 0, '{}')", 3 * ranges.BLOCKS)
        assert await connection.fetchval("SELECT count(*) FROM postings_rest") == 1
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("begins", "name", "end"),
    [
        (datetime(2026, 11, 1, tzinfo=UTC), "journal_2026_11", datetime(2026, 12, 1, tzinfo=UTC)),
        (datetime(2026, 12, 1, tzinfo=UTC), "journal_2026_12", datetime(2027, 1, 1, tzinfo=UTC)),
        (datetime(2028, 2, 1, tzinfo=UTC), "journal_2028_02", datetime(2028, 3, 1, tzinfo=UTC)),
    ],
)
def test_months_of_ids(begins: datetime, name: str, end: datetime) -> None:
    def first(at: datetime) -> str:
        millis = f"{int(at.timestamp()) * 1000:012x}"
        return f"{millis[:8]}-{millis[8:]}-0000-0000-000000000000"

    months = Months(table="journal", key="settlement")
    assert months.following(first(begins)) == (name, first(end))
