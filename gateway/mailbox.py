"""Mailboxes: what each member has been sent, numbered without a gap, read by cursor."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from gateway.journal import QUERIES
from gateway.port import Received, Stored
from gateway.sql import Pool, Record

WAIT_SECONDS: Final = 1.0
"""A stream looks again after this, whether told or not: another replica may have delivered."""

PAGE_BYTES: Final = 2_000_000
"""Of what one request reads: a thousand notices, or forty pages of a statement (50 kB). As XML, and
escaped in JSON, it is some five times as much."""


class Mailboxes:
    """Reading and acknowledging; `journal.deliver` puts messages in, with what caused them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def read(self, member: str, after: int, limit: int) -> Sequence[Stored]:
        """Messages after a cursor, in order: at most `limit`, and at most about PAGE_BYTES."""
        rows = await self._pool.fetch(QUERIES["read_mailbox"], member, after, limit, PAGE_BYTES)
        return [_stored(row) for row in rows]

    async def conversation(
        self, member: str, settlement: str, pair: str | None
    ) -> list[Received | Stored]:
        """What a member has sent and was told about a settlement, in the order of time; of two at
        one instant, what was sent first."""
        headers, sent = [], []
        for row in await self._pool.fetch(QUERIES["received"], pair, member) if pair else ():
            headers.append(row["header"])
            sent.append(
                Received(
                    id=row["message_id"],
                    definition=row["definition"],
                    received_at=row["received_at"],
                    raw=row["raw"],
                )
            )
        rows = await self._pool.fetch(QUERIES["answered"], member, settlement, headers)
        # Each list is in its own order, and a sort keeps it: nothing is told before it was asked.
        return sorted([*sent, *(_stored(row) for row in rows)], key=_time)

    async def acknowledge(self, member: str, through: int) -> int | None:
        """The member has everything up to here; None if there is no such message yet."""
        acknowledged: int | None = await self._pool.fetchval(
            QUERIES["acknowledge"], member, through
        )
        return acknowledged

    def delivered(self, members: Iterable[str]) -> None:
        """Something has been put into these mailboxes: wake their streams."""
        for member in members:
            if (event := self._waiting.pop(member, None)) is not None:
                event.set()

    async def arrived(self, member: str) -> None:
        """Returns when something may have arrived."""
        try:
            await asyncio.wait_for(self._waiting[member].wait(), WAIT_SECONDS)
        except TimeoutError:
            return


def _stored(row: Record) -> Stored:
    return Stored(
        sequence=row["sequence"],
        id=row["id"],
        definition=row["definition"],
        related=row["related"],
        created_at=row["created_at"],
        settlement=row["settlement"],
        content=row["content"],
    )


def _time(message: Received | Stored) -> int:
    return message.received_at if isinstance(message, Received) else message.created_at
