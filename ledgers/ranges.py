"""History in ranges: the tables that only grow are partitioned, and ranges are made ahead.

PostgreSQL's declarative partitioning (RANGE) by what the rows are written in order of: heights,
numbers of messages, months. What is written today goes into one table and one index of bounded
size; a range that is full is frozen by one vacuum and never looked at by another; an operator moves
it to a cheaper disk while everything runs (`k8s/README.md`). The program sees one table.

- A range begins where the last one ends, and is made while the last but one before it is written.
  Whoever writes does not wait for that (SHARE UPDATE EXCLUSIVE).
- Nobody waits for a range either: a row that none was made for goes into TABLE_rest, and is moved
  when the range is made. Only then the table is locked for that moment.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import msgspec

_log = logging.getLogger("ranges")

AHEAD: Final = 2
"""Whole ranges beyond the one that is being written: at the widths below hours at the highest load
that was measured, so that the database may be away for a while when one is due."""

PERIOD_SECONDS: Final = 60.0
"""Between two looks, each a read of some rows of the catalogue."""

LOCK_TIMEOUT: Final = "2s"
"""TABLE_rest is locked while a range is attached. Whoever reads it for longer, with a report of an
auditor, is not interrupted, others wait behind us for no longer than this, and the next look tries
again."""

_LOCK: Final = 0x72616E676573
"""Key of the advisory lock ("ranges" in ASCII): of several replicas, one makes a range."""

BLOCKS: Final = 1_000_000
"""Heights of a range: 0.5 GB where every block has one operation, 30 GB where they are full."""

BLOCKS_SOON: Final = 1_000
"""Ten seconds of the shortest blocks."""

MESSAGES: Final = 5_000_000
"""Numbers of a range of mailboxes: 7 GB for a member, at the 1.5 kB of a status advice."""

MESSAGES_SOON: Final = 50_000
"""Ten seconds of twice what was measured."""

CLOCKS_APART: Final = timedelta(hours=1)
"""Ids are made by other clocks than ours, on machines without NTP even."""

_BOUNDS: Final = """
SELECT pg_get_expr(c.relpartbound, c.oid) AS bound
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::text::regclass"""

# DDL takes no parameters; all names and bounds that are put in are of this module.
_MAKING: Final = (
    "CREATE TABLE {name} (LIKE {table} INCLUDING ALL)",
    """WITH late AS (
        DELETE FROM {table}_rest WHERE {key} >= '{begin}' AND {key} < '{end}' RETURNING *
    ) INSERT INTO {name} SELECT * FROM late""",
    "ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{begin}') TO ('{end}')",
)

_UPPER: Final = re.compile(r"TO \('?([^')]+)'?\)$")
"""The end of a range, as PostgreSQL spells it: FOR VALUES FROM (MINVALUE) TO ('1000000')."""


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """A table whose rows go by a number that counts up."""

    table: str
    key: str
    width: int  # of a range
    margin: int  # what may be written while a range is attached
    reached: str  # SQL: how far it is written

    async def due(self, connection: Any) -> str:
        """Ranges must reach beyond this."""
        return str(await self._reached(connection) + AHEAD * self.width)

    async def soon(self, connection: Any) -> str:
        """Rows up to this may be on their way."""
        return str(await self._reached(connection) + self.margin)

    async def _reached(self, connection: Any) -> int:
        reached: int = await connection.fetchval(self.reached) or 0
        return reached

    def reaches(self, upper: str, place: str) -> bool:
        return int(upper) > int(place)

    def following(self, upper: str) -> tuple[str, str]:
        """The range that begins there: its name, and where it ends."""
        return f"{self.table}_{int(upper) // self.width}", str(int(upper) + self.width)


class Months(msgspec.Struct, frozen=True, kw_only=True):
    """A table whose rows go by ids that begin with their time (UUIDv7, RFC 9562, section 5.7)."""

    table: str
    key: str

    async def due(self, _connection: Any) -> str:
        upper = _first_id(_month(time.time_ns() // 1_000_000))
        for _ in range(AHEAD):
            upper = self.following(upper)[1]
        return upper

    async def soon(self, _connection: Any) -> str:
        return _first_id(datetime.now(UTC) + CLOCKS_APART)

    def reaches(self, upper: str, place: str) -> bool:
        return upper > place  # text of one length: as PostgreSQL orders UUIDs

    def following(self, upper: str) -> tuple[str, str]:
        begins = _month(int(upper.replace("-", "")[:12], 16))
        year, month = (begins.year + begins.month // 12, begins.month % 12 + 1)
        end = _first_id(datetime(year, month, 1, tzinfo=UTC))
        return f"{self.table}_{begins:%Y_%m}", end


History = Numbers | Months


def _heights(table: str, reached: str) -> Numbers:
    return Numbers(table=table, key="height", width=BLOCKS, margin=BLOCKS_SOON, reached=reached)


LEDGER: Final = (
    _heights("postings", "SELECT height FROM head"),
    _heights("movements", "SELECT height FROM head"),
)

REGISTRY: Final = (
    _heights("network_blocks", "SELECT height FROM head"),
    _heights("postings", "SELECT chain FROM head"),
    _heights("movements", "SELECT chain FROM head"),
)

MAILBOX: Final = Numbers(
    table="mailbox",
    key="sequence",
    width=MESSAGES,
    margin=MESSAGES_SOON,
    reached="SELECT max(last) FROM mailbox_head",
)
"""Of a gateway, and of a registry node."""

GATEWAY: Final = (Months(table="journal", key="settlement"), MAILBOX)


def _month(millis: int) -> datetime:
    """The first of the month of an instant."""
    at = datetime.fromtimestamp(millis // 1000, UTC)
    return datetime(at.year, at.month, 1, tzinfo=UTC)


def _first_id(at: datetime) -> str:
    """No id of that instant or later is smaller."""
    millis = f"{int(at.timestamp()) * 1000:012x}"
    return f"{millis[:8]}-{millis[8:]}-0000-0000-000000000000"


class Ranges:
    """Makes ranges ahead for as long as a service runs. Replicas may do it side by side."""

    def __init__(self, pool: Any, histories: Sequence[History], say: Callable[[str], None]) -> None:
        self._pool = pool
        self._histories = histories
        self._say = say
        self.late = {history.table: False for history in histories}
        """Whether the last look could not make a range that was due."""

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            for history in self._histories:
                await self.keep_ahead(history)
            await asyncio.sleep(PERIOD_SECONDS)

    async def keep_ahead(self, history: History) -> None:
        """Make the ranges that are due, or say why not."""
        try:
            while name := await self.make_next(history):
                _log.debug("%s has a new range, %s", history.table, name)
            self.late[history.table] = False
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            self.late[history.table] = True
            self._say(
                f"no new range for {history.table} yet, rows go into {history.table}_rest "
                f"meanwhile: {error!r}"
            )

    async def make_next(self, history: History) -> str | None:
        """Make the next range if it is due, and return its name."""
        async with self._pool.acquire() as connection:
            due = await history.due(connection)
            if history.reaches(await _upper(connection, history), due):
                return None
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                await connection.execute("SET LOCAL statement_timeout = 0")
                await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
                upper = await _upper(connection, history)
                if history.reaches(upper, due):
                    return None  # another replica was here
                return await _make(connection, history, upper)


async def _upper(connection: Any, history: History) -> str:
    """Where the last range ends."""
    uppers: list[str] = []
    for row in await connection.fetch(_BOUNDS, history.table):
        if found := _UPPER.search(row["bound"]):
            uppers.append(found[1])
    assert uppers, f"{history.table} is in ranges, by a migration"
    return max(uppers, key=lambda upper: (len(upper), upper))  # numbers grow longer, ids never


async def _make(connection: Any, history: History, upper: str) -> str:
    """The range that begins at `upper`, with what had to go into the rest meanwhile."""
    if not history.reaches(upper, await history.soon(connection)):
        # Its rows may be on their way into the rest at this moment, and would be refused there.
        await connection.execute(f"LOCK TABLE {history.table} IN ACCESS EXCLUSIVE MODE")
    name, end = history.following(upper)
    places = {"table": history.table, "key": history.key, "name": name, "begin": upper, "end": end}
    for statement in _MAKING:
        await connection.execute(statement.format(**places))
    return name
