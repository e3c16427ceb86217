"""The journal's statements: what goes out with an entry is there exactly if the entry is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

import gateway
from gateway.epoch import SupersededError
from gateway.ids import new_id
from gateway.journal import QUERIES, Entry, Journal, Notice, Opening, registered
from gateway.sql import Pool, open_pool
from htlc.events import CancelRequested, Decision
from htlc.settlement import Phase
from htlc.units import MemberId, SettlementId
from ledgers.migrate import migrate
from tests import postgres

MEMBERS = ("AAAADEFFXXX", "BBBBDEFFXXX")


@pytest.fixture
async def pool(postgres_server: str) -> AsyncIterator[Pool]:
    async with (
        postgres.database(postgres_server, f"journal_{new_id()[-12:]}") as dsn,
        open_pool(dsn, "one") as pool,
    ):
        async with pool.acquire() as connection:
            migrations = Path(gateway.__file__).with_name("migrations")
            await migrate(connection, migrations)  # type: ignore[arg-type]
        await pool.execute(QUERIES["ensure_mailboxes"], list(MEMBERS))
        yield pool


async def journal(pool: Pool, name: str) -> Journal:
    async def nobody_asked(*_: Any) -> None:
        raise AssertionError("no entry of these tests concludes anything")

    return await registered(pool, nobody_asked, name)


def entry(id: SettlementId, sequence: int, *told: str, **its: Any) -> Entry:
    """Of a settlement; `told` are the members who get a notice with it."""
    notices = tuple(
        Notice(
            member=member,
            id=new_id(),
            definition="lockstep.settlement.1",
            related=None,
            created_at=1,
            settlement=id,
            content=f"{sequence}",
        )
        for member in told
    )
    asked = CancelRequested(by=MemberId(MEMBERS[0]))
    made = Entry(
        settlement=id, sequence=sequence, events=(asked,), phase=Phase.LOCKING, notices=notices
    )
    return replace(made, **its)


def opening(id: SettlementId, *told: str) -> Opening:
    return Opening(entry=entry(id, 1, *told), created_at=1, members=MEMBERS, digest=b"\1" * 32)


async def mailbox(pool: Pool, member: str) -> list[tuple[int, str, str]]:
    rows = await pool.fetch(
        "SELECT sequence, settlement::text, content FROM mailbox WHERE member = $1 ORDER BY 1",
        member,
    )
    return [tuple(row) for row in rows]


def ids(count: int) -> Sequence[SettlementId]:
    return [SettlementId(new_id()) for _ in range(count)]


async def test_what_is_known_is_not_opened_again_and_tells_nobody(pool: Pool) -> None:
    one, two = await journal(pool, "one"), await journal(pool, "two")
    first, second, third = ids(3)
    assert await one.open([opening(first, MEMBERS[0]), opening(second)]) == [True, True]
    again = [opening(first, *MEMBERS), opening(third, *MEMBERS)]
    assert await two.open(again) == [False, True]
    assert await mailbox(pool, MEMBERS[0]) == [(1, first, "1"), (2, third, "1")]
    assert await mailbox(pool, MEMBERS[1]) == [(1, third, "1")]
    assert await pool.fetchval("SELECT count(*) FROM party") == 3 * len(MEMBERS)
    owners = await pool.fetch("SELECT replica FROM open_settlement ORDER BY replica")
    assert [row[0] for row in owners] == [one.replica, one.replica, two.replica]


async def test_an_entry_whose_place_is_taken_is_left_out_with_all_that_hangs_on_it(
    pool: Pool,
) -> None:
    one, two = await journal(pool, "one"), await journal(pool, "two")
    ours, theirs = ids(2)
    pair = new_id()
    await one.open([opening(ours), opening(theirs)])
    columns = "pair, due_at, attempts, advised, replica"
    await pool.execute(f"INSERT INTO pending_pair ({columns}) VALUES ($1, 1, 1, '', 1)", pair)
    commit = entry(theirs, 2, MEMBERS[1], decision=Decision.COMMIT)
    assert await two.append([commit]) == [True]
    late = entry(theirs, 2, *MEMBERS, ended=True, settled_pair=pair)
    also = entry(theirs, 3, MEMBERS[0], decision=Decision.CANCEL)  # one decision per settlement
    good = entry(ours, 2, *MEMBERS, ended=True)
    assert await one.append([late, good]) == [False, True]
    assert await one.append([also]) == [False]
    assert await mailbox(pool, MEMBERS[0]) == [(1, ours, "2")]
    assert await mailbox(pool, MEMBERS[1]) == [(1, theirs, "2"), (2, ours, "2")]
    assert await pool.fetchval("SELECT count(*) FROM pending_pair") == 1
    still_open = await pool.fetch("SELECT settlement::text FROM open_settlement")
    assert [row[0] for row in still_open] == [theirs]
    assert await one.append([entry(theirs, 3, settled_pair=pair)]) == [True]
    assert await pool.fetchval("SELECT count(*) FROM pending_pair") == 0


async def test_replicas_that_append_at_once_number_each_mailbox_without_a_gap(pool: Pool) -> None:
    one, two = await journal(pool, "one"), await journal(pool, "two")
    settlements = ids(12)
    await one.open([opening(id) for id in settlements])
    taken = [entry(settlements[0], 2, MEMBERS[0]) for _ in range(2)]  # one of them is too late
    pairs = zip(settlements[::2], settlements[1::2], strict=True)
    batches = [[entry(a, 2, *MEMBERS), entry(b, 2, *reversed(MEMBERS))] for a, b in pairs]
    batches[0][0], batches[1][0] = taken
    told = await asyncio.gather(
        *(each.append(batch) for each, batch in zip((one, two) * 3, batches, strict=True))
    )
    assert sorted(told[0] + told[1]) == [False, True, True, True]
    assert all(all(written) for written in told[2:])
    for member, count in zip(MEMBERS, (11, 10), strict=True):
        assert [row[0] for row in await mailbox(pool, member)] == list(range(1, count + 1))


async def test_nothing_of_an_older_epoch_is_written(pool: Pool) -> None:
    one, [ours] = await journal(pool, "one"), ids(1)
    await one.open([opening(ours)])
    await pool.execute("UPDATE epoch SET epoch = epoch + 1, mark = gen_random_uuid()")
    with pytest.raises(SupersededError):
        await one.append([entry(ours, 2, *MEMBERS, ended=True)])
    assert await pool.fetchval("SELECT count(*) FROM journal") == 1
    assert await pool.fetchval("SELECT count(*) FROM mailbox") == 0
    assert await pool.fetchval("SELECT count(*) FROM open_settlement") == 1


@pytest.mark.parametrize("take_over", ["take_over_settlements", "take_over_pairs"])
async def test_what_others_left_is_found_without_reading_all_that_is_open(
    pool: Pool, take_over: str
) -> None:
    ours, left = await journal(pool, "one"), await journal(pool, "two")
    await pool.execute(QUERIES["release"], left.replica)
    await pool.execute(
        "INSERT INTO open_settlement (settlement, replica)"
        " SELECT gen_random_uuid(), $1 FROM generate_series(1, 5000)",
        ours.replica,
    )
    await pool.execute(
        "INSERT INTO pending_pair (pair, due_at, attempts, advised, replica)"
        " SELECT settlement, 1, 1, '', replica FROM open_settlement"
    )
    explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
    plan = await pool.fetchval(explain + QUERIES[take_over], ours.replica, 30.0)
    pages = msgspec.json.decode(plan)[0]["Plan"]["Shared Hit Blocks"]
    assert pages < 20, "5,000 rows are on more than that"


async def test_what_was_said_of_a_settlement_is_found_without_reading_the_mailbox(
    pool: Pool,
) -> None:
    [swap] = ids(1)
    await pool.execute(
        "INSERT INTO mailbox (member, sequence, id, definition, related, created_at, settlement,"
        " content) SELECT $1, n, gen_random_uuid(), 'd',"
        " CASE WHEN n % 2 = 0 THEN format('header %s', n / 4) END, 1,"
        " CASE WHEN n = 2501 THEN $2 ELSE gen_random_uuid() END, 'c'"
        " FROM generate_series(1, 5000) AS n",
        MEMBERS[0],
        swap,
    )
    asked = (QUERIES["answered"], MEMBERS[0], swap, ["header 7", "header 1000"])
    assert [row["sequence"] for row in await pool.fetch(*asked)] == [28, 30, 2501, 4000, 4002]
    assert await pool.fetch(asked[0], MEMBERS[1], *asked[2:]) == []
    explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
    plan = await pool.fetchval(explain + asked[0], *asked[1:])
    pages = msgspec.json.decode(plan)[0]["Plan"]["Shared Hit Blocks"]
    assert pages < 50, "5,000 rows are on more than that"
