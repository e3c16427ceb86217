"""The journal by months and mailboxes by numbers, as the migration and the gateway leave them."""

import asyncpg

from gateway.ids import new_id
from ledgers.ranges import AHEAD, GATEWAY, MAILBOX, Ranges
from tests.gateway.systems import System

INSERT = """
    INSERT INTO journal VALUES ($1, 1, 1, NULL, 'PROPOSED', '[]')
    RETURNING tableoid::regclass::text"""


async def ranges_of(pool: "asyncpg.Pool[asyncpg.Record]", table: str) -> dict[str, str]:
    rows = await pool.fetch(
        "SELECT c.relname::text, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i "
        "JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::text::regclass",
        table,
    )
    return {row[0]: row[1] for row in rows}


async def test_the_month_that_has_begun_and_the_next_two_have_a_range(running: System) -> None:
    pool = running.engine.pool
    keeper = Ranges(pool, GATEWAY, print)
    for history in GATEWAY:
        while await keeper.make_next(history):
            pass
        found = await ranges_of(pool, history.table)
        assert len(found) == 2 + AHEAD, "the first, the rest, and those ahead"
    assert await pool.fetchval(INSERT, new_id()) == "journal_first"


async def test_an_id_of_a_month_without_a_range_waits_in_the_rest(running: System) -> None:
    pool = running.engine.pool
    late = f"ffff{new_id()[4:]}"  # long after any range
    assert await pool.fetchval(INSERT, late) == "journal_rest"


async def test_messages_beyond_a_range_are_read_in_order(running: System) -> None:
    pool = running.engine.pool
    keeper = Ranges(pool, [MAILBOX], print)
    edge = MAILBOX.width
    await pool.execute("INSERT INTO mailbox_head VALUES ('M', $1, $1)", edge - 2)
    for sequence in range(edge - 1, edge + 2):
        await pool.execute(
            "INSERT INTO mailbox VALUES ('M', $1, $2, 'd', NULL, 0, NULL, '{}')",
            sequence,
            new_id(),
        )
    while await keeper.make_next(MAILBOX):  # or the gateway's own keeper has
        pass
    assert await pool.fetchval("SELECT count(*) FROM mailbox_1") == 2
    page = await running.engine.mailboxes.read("M", edge - 2, 10)
    assert [message.sequence for message in page] == [edge - 1, edge, edge + 1]
