"""What a PostgreSQL ledger answers to readers: accounts, blocks, proofs, facts, conservation.

Reads take no lock and see committed batches only. They move no ledger time: only `look` binds.
"""

from collections.abc import Sequence
from typing import Any, Final, cast

import asyncpg
from asyncpg.exceptions import DataError, InternalClientError

from htlc.units import AccountId, HtlcId, Instant
from ledgers import rows
from ledgers.block import LAST, Block, Proof, cursor, fact, place, prove, read_leaf
from ledgers.books import Holding, Holdings, Position, key, placed
from ledgers.hosted import BATCH_MAX, AccountView
from ledgers.instruments import Instrument
from ledgers.names import is_name, is_uuid
from ledgers.parties import Balance, Principal
from ledgers.port import Cursor, Fact, LedgerUnreachable
from ledgers.store import QUERIES

LOST: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,  # among them: shutdown by the administrator, cannot connect now
    asyncpg.InterfaceError,
    InternalClientError,  # often the sign of a lost connection (asyncpg issue 1069)
)
"""What may come out of asyncpg when the database is away: the outcome is not known."""

LEAVES_PER_PAGE: Final = 5 * BATCH_MAX
"""Leaves of one page of blocks: some 10 MB of JSON at the most."""


def is_our_own_error(error: Exception) -> bool:
    """A broken constraint or a value that does not fit its column: a fault in this program."""
    own = (asyncpg.IntegrityConstraintViolationError, DataError, asyncpg.SyntaxOrAccessError)
    return isinstance(error, own) or not isinstance(error, LOST)


class Reader:
    """Reads of one ledger over a pool."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", ledger: str) -> None:
        self._pool = pool
        self._ledger = ledger

    async def _fetch(self, name: str, *values: Any) -> Sequence[rows.Row]:
        """Run a named query; once more on new connections if the first try met a dead one."""
        try:
            return await self._once(name, *values)
        except LOST as error:
            if is_our_own_error(error):
                raise
            await self._pool.expire_connections()
        try:
            return await self._once(name, *values)
        except LOST as error:
            raise LedgerUnreachable(f"{type(error).__name__}: {error}") from error

    async def _once(self, name: str, *values: Any) -> Sequence[rows.Row]:
        found: Any = await self._pool.fetch(QUERIES[name], *values)  # records are mappings
        return cast("Sequence[rows.Row]", found)

    async def instruments(self) -> list[Instrument]:
        return [rows.instrument(row) for row in await self._fetch("load_instruments")]

    async def account(self, id: AccountId) -> AccountView | None:
        if not is_name(id):
            return None
        views = await self._views(await self._fetch("read_account", id))
        return views[0] if views else None

    async def accounts(self, owner: str | None, after: AccountId, limit: int) -> list[AccountView]:
        return await self._views(await self._fetch("read_accounts", after, owner, limit))

    async def _views(self, accounts: Sequence[rows.Row]) -> list[AccountView]:
        ids = [row["id"] for row in accounts]
        balances = await self._fetch("read_balances", ids)
        mandates = await self._fetch("read_mandates", ids)
        return [
            AccountView(
                account=rows.account(row),
                holdings={
                    b["asset"]: Balance(b["available"], b["locked"])
                    for b in balances
                    if b["account"] == row["id"]
                },
                mandates=tuple(rows.mandate(m) for m in mandates if m["account"] == row["id"]),
            )
            for row in accounts
        ]

    async def blocks(self, after: int, limit: int) -> list[Block]:
        found = await self._fetch("read_blocks", after, limit, LEAVES_PER_PAGE)
        if not found:
            return []
        leaves: dict[int, list[bytes]] = {row["height"]: [] for row in found}
        heights = found[0]["height"], found[-1]["height"]
        for row in await self._fetch("read_leaves", *heights):
            leaves[row["height"]].append(row["leaf"])
        return [rows.block(row, self._ledger, leaves[row["height"]]) for row in found]

    async def proof(self, height: int, position: int) -> Proof | None:
        found = await self.blocks(height - 1, 1)
        if not found or found[0].header.height != height:
            return None
        return prove(found[0], position) if position < found[0].header.count else None

    async def facts(self, by: Principal, after: Cursor, limit: int) -> list[Fact]:
        height, position = place(after)
        if by.follows_the_ledger:
            found = await self._fetch("read_postings", height, position, limit)
        else:
            found = await self._fetch(
                "read_postings_of_owner", height, position, limit, by.name, BATCH_MAX
            )
        return await self._facts(found)

    async def _facts(self, postings: Sequence[rows.Row]) -> list[Fact]:
        ids = {read_leaf(row["leaf"]).id for row in postings}
        wanted = [id for id in ids if is_uuid(id)]
        contracts = {
            HtlcId(str(row["id"])): rows.htlc(row)
            for row in await self._fetch("load_contracts", wanted)
        }
        return [
            fact(
                row["height"],
                row["position"],
                row["leaf"],
                contracts.get(HtlcId(read_leaf(row["leaf"]).id)),
            )
            for row in postings
        ]

    async def holdings(self, account: AccountId | None, after: str, limit: int) -> Holdings:
        start = placed(after)
        if account is None:
            found = await self._fetch("read_holdings", *start, limit)
        else:
            found = await self._fetch("read_holdings_of", account, start[1], limit)
        held = [row for row in found if row["account"] is not None]
        holdings = tuple(
            Holding(
                account=row["account"],
                asset=row["asset"],
                available=row["available"],
                locked=row["locked"],
            )
            for row in held
        )
        return Holdings(
            as_of=found[0]["as_of"],
            holdings=holdings,
            next=key(holdings[-1]) if len(holdings) == limit else None,
        )

    async def movements(
        self, account: AccountId, after: Cursor, until: Cursor | None, limit: int
    ) -> list[Fact]:
        end = LAST if until is None else place(until)
        return await self._facts(
            await self._fetch("read_movements", account, *place(after), *end, limit)
        )

    async def last_before(self, at: Instant) -> Cursor:
        for row in await self._fetch("read_last_before", at):
            return cursor(row["height"], row["position"])
        return ""

    async def conservation(self) -> list[Position]:
        return [Position(**row) for row in await self._fetch("read_conservation")]
