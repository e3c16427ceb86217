"""What is durable of reconciliation: the last run of each ledger, and every break."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Final

import msgspec

from gateway.journal import Notice, deliver
from gateway.port import Difference, Total
from gateway.reconciliation.book import QUERIES
from gateway.reconciliation.compare import Found
from gateway.sql import Pool, Record

BREAKS_MAX: Final = 1_000
"""Breaks of one run that are kept, and shown: a ledger with more is wrong as a whole."""

_totals: Final = msgspec.json.Decoder(tuple[Total, ...])


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The last reconciliation of a ledger."""

    ledger: str
    business_date: date
    started_at: int
    ended_at: int
    as_of: str
    holdings: int
    facts: int
    totals: tuple[Total, ...]


Announce = Callable[[str, Sequence[Difference], Sequence[Difference], int], Iterable[Notice]]
"""What members are told of breaks of a ledger that are new, and of those that are lifted."""


class Store:
    """Runs and breaks, shared by the replicas of a gateway."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def keep(
        self, run: Run, found: Sequence[Found], announce: Announce
    ) -> tuple[list[Difference], list[Difference], set[str]]:
        """Write a run down with what it found; the breaks that are new and those that are lifted,
        and who was told. Where there are too many, none is taken to be lifted."""
        complete, found = len(found) <= BREAKS_MAX, found[:BREAKS_MAX]
        now = run.ended_at
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(
                QUERIES["put_breaks"],
                run.ledger,
                [each.asset for each in found],
                [each.account for each in found],
                [each.kind for each in found],
                [each.expected for each in found],
                [each.found for each in found],
                [each.what for each in found],
                now,
            )
            lifted = (
                [
                    _break(row)
                    for row in await connection.fetch(QUERIES["close_breaks"], run.ledger, now)
                ]
                if complete
                else []
            )
            await connection.execute(
                QUERIES["put_run"],
                run.ledger,
                run.business_date,
                run.started_at,
                run.ended_at,
                run.as_of,
                run.holdings,
                run.facts,
                msgspec.json.encode(run.totals).decode(),
            )
            fresh = _fresh(run, found, rows)
            notices = list(announce(run.ledger, fresh, lifted, now)) if fresh or lifted else []
            await deliver(connection, notices)
        return fresh, lifted, {notice.member for notice in notices}

    async def runs(self) -> list[Run]:
        rows = await self._pool.fetch(QUERIES["runs"])
        return [Run(**{**dict(row), "totals": _totals.decode(row["totals"])}) for row in rows]

    async def breaks(self, since: int) -> list[Difference]:
        """The open ones, and those that were lifted after an instant; oldest first."""
        rows = await self._pool.fetch(QUERIES["breaks"], since, BREAKS_MAX)
        return [_break(row) for row in rows]

    async def stops(self) -> dict[tuple[str, str], int]:
        """How many breaks are open, by ledger and asset (empty: the whole ledger)."""
        rows = await self._pool.fetch(QUERIES["stops"])
        return {(row["ledger"], row["asset"]): row["breaks"] for row in rows}

    async def legs(self, ledger: str, before: int) -> list[Record]:
        """Legs that ended otherwise than their settlement, or long before it."""
        await self._pool.execute(QUERIES["forget_agreed_legs"], ledger)
        rows: list[Record] = await self._pool.fetch(QUERIES["open_legs"], ledger, before)
        return rows


def _fresh(run: Run, found: Sequence[Found], rows: Sequence[Record]) -> list[Difference]:
    """The breaks that were not open before."""
    numbers = {
        (row["asset"], row["account"], row["kind"]): row["number"] for row in rows if row["is_new"]
    }
    return [
        Difference(
            number=numbers[each.key],
            ledger=run.ledger,
            asset=each.asset,
            account=each.account,
            kind=each.kind,
            expected=each.expected,
            found=each.found,
            what=each.what,
            first_seen_at=run.ended_at,
            last_seen_at=run.ended_at,
        )
        for each in found
        if each.key in numbers
    ]


def _break(row: Record) -> Difference:
    values = dict(row)
    return Difference(
        **{**values, "expected": int(values["expected"]), "found": int(values["found"])}
    )
