"""What is durable of statements: which were sent, and pages on their way into a mailbox."""

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Final

import msgspec

from gateway.ids import new_id
from gateway.sql import Pool, Record
from gateway.statements.periods import Numbered, Period, Subject
from ledgers.queries import named_queries
from protocols.iso20022 import reports
from protocols.iso20022.statements import Frequency, StatementPage

QUERIES: Final = named_queries(Path(__file__).with_name("queries.sql"))

ABANDONED: Final = 3600 * 1_000_000_000
"""Pages older than an hour are of a statement whose making was cut off: it takes seconds."""

_encoder = msgspec.json.Encoder()


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """The last statement of its series."""

    number: int
    business_date: date
    to_cursor: str
    to_at: int
    closing: int | None


class Store:
    """The statements of one gateway, shared by its replicas."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def last(self, subject: Subject, frequency: Frequency) -> Sent | None:
        """The last one of a series; None before the first."""
        row = await self._pool.fetchrow(QUERIES["last_statement"], *_series(subject), frequency)
        return None if row is None else Sent(**dict(row))

    async def daily(self, subject: Subject, day: date) -> Numbered | None:
        """The statement of a business day, as it was sent."""
        row = await self._pool.fetchrow(QUERIES["daily_statement"], *_series(subject), day)
        return None if row is None else _numbered(subject, row)

    async def stage(
        self, statement: str, pages: AsyncIterator[StatementPage], now: int
    ) -> tuple[int, str]:
        """Keep pages as they are made; their number, and the message definition they have."""
        count, definition = 0, ""
        async for page in pages:
            count, definition = page.head.page, reports.definition(page)
            content = _encoder.encode(page).decode()
            await self._pool.execute(QUERIES["put_page"], statement, count, new_id(), now, content)
        return count, definition

    async def drop(self, statement: str) -> None:
        """Forget pages that will not be sent."""
        await self._pool.execute(QUERIES["drop_pages"], statement)

    async def send(
        self,
        wanted: Numbered,
        definition: str,
        pages: int,
        now: int,
        *,
        closing: int | None,
        again: bool,
        staged: str,
    ) -> bool:
        """Put the staged pages into the mailbox and remember the statement, both or none of them;
        False if another replica has made it meanwhile."""
        async with self._pool.acquire() as connection, connection.transaction():
            if not again:
                values = _values(wanted, closing, pages)
                if await connection.fetchval(QUERIES["put_statement"], *values) is None:
                    return False
            member = wanted.subject.member
            await connection.execute(QUERIES["deliver_pages"], member, staged, definition, now)
            await connection.execute(QUERIES["drop_pages"], staged)
            return True

    async def day(self, ledger: str) -> tuple[date, int] | None:
        """The last business day whose daily statements were all sent, and when it had ended."""
        row = await self._pool.fetchrow(QUERIES["statement_day"], ledger)
        return None if row is None else (row["business_date"], row["closed_at"])

    async def close(self, ledger: str, day: date, closed_at: int) -> None:
        """Every daily statement of this day was sent."""
        await self._pool.execute(QUERIES["put_statement_day"], ledger, day, closed_at)

    async def tidy(self, now: int) -> None:
        """Forget the pages of statements whose making was cut off."""
        await self._pool.execute(QUERIES["drop_old_pages"], now - ABANDONED)


def _series(subject: Subject) -> tuple[str, str, str, str]:
    return subject.ledger, subject.account, subject.kind, subject.asset


def _numbered(subject: Subject, row: Record) -> Numbered:
    return Numbered(
        id=str(row["statement"]),
        subject=subject,
        number=row["number"],
        period=Period(
            frequency=Frequency.DAILY,
            business_date=row["business_date"],
            from_cursor=row["from_cursor"],
            to_cursor=row["to_cursor"],
            from_at=row["from_at"],
            to_at=row["to_at"],
            opening_date=row["opening_date"],
        ),
    )


def _values(wanted: Numbered, closing: int | None, pages: int) -> tuple[object, ...]:
    subject, period = wanted.subject, wanted.period
    return (
        wanted.id,
        subject.member,
        *_series(subject),
        period.frequency,
        wanted.number,
        period.business_date,
        period.opening_date,
        period.from_cursor,
        period.to_cursor,
        period.from_at,
        period.to_at,
        closing,
        pages,
    )
