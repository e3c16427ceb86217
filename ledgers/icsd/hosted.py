"""The whole network as one ledger, as one of its registries serves it: a `HostedLedger`.

Everything told is of the last final block. Operations and acts are entries that the registry
vouches for; they are answered when they are final. Every registry serves the same ordinary chain of
blocks (`ledgers.block`), identical but for the signature, which is its own.
"""

import asyncio
from collections.abc import Sequence
from typing import TypeVar

import asyncpg
import msgspec

from htlc.units import AccountId, Duration, HtlcId, Instant
from ledgers.administration import Act
from ledgers.block import LAST, Block, Proof, Seal, place
from ledgers.books import Holdings, Position
from ledgers.hosted import AccountView, Clock, Spoken, Traits, description
from ledgers.icsd.entry import ENTRIES_MAX, Entry
from ledgers.icsd.node import Node
from ledgers.icsd.proof import Result
from ledgers.icsd.store import Store
from ledgers.parties import Principal
from ledgers.port import (
    Answer,
    Cursor,
    Description,
    Fact,
    LedgerUnreachable,
    Operation,
    Refusal,
    Unknown,
)
from ledgers.problems import Kind, ProblemError
from ledgers.reading import Reader

Value = TypeVar("Value")


class RegistryLedger:
    """The network's ledger at one registry. `fresh` is how old the state may be that `look` tells,
    by our clock; older, and a block is made for the question."""

    def __init__(
        self,
        node: Node,
        pool: "asyncpg.Pool[asyncpg.Record]",
        seal: Seal,
        clock: Clock,
        traits: Traits,
        fresh: Duration,
    ) -> None:
        self.node = node
        self.seal = seal
        self.traits = traits
        self.pool = pool
        self._store = Store(pool)
        self._reader = Reader(pool, seal.ledger)
        self._clock = clock
        self._fresh = fresh

    def as_principal(self, by: Principal) -> Spoken:
        return Spoken(self, by)

    # --- what is ordered -------------------------------------------------------------------------

    async def submit(
        self, by: Principal, operations: Sequence[Operation]
    ) -> list[Answer | Unknown]:
        entries = [Entry(by=by, operation=operation) for operation in operations]
        told = await asyncio.gather(*(self._answers(part) for part in _parts(entries)))
        return [answer for part in told for answer in part]

    async def _answers(self, entries: Sequence[Entry]) -> list[Answer | Unknown]:
        try:
            results = await self.node.ask(entries)
        except LedgerUnreachable as error:
            return [Unknown(why=str(error))] * len(entries)
        return [_answer(result) for result in results]

    async def administer(self, by: Principal, acts: Sequence[Act]) -> list[Refusal | None]:
        entries = [Entry(by=by, act=act) for act in acts]
        told = await asyncio.gather(*(self.node.ask(part) for part in _parts(entries)))
        return [_outcome(result) for part in told for result in part]

    # --- what is read ----------------------------------------------------------------------------

    async def look(self, ids: Sequence[HtlcId]) -> list[Answer | Unknown]:
        try:
            at = await self._time()
        except LedgerUnreachable as error:
            return [Unknown(why=str(error))] * len(ids)
        return [Answer(at=at, htlc=self.node.contract(id)) for id in ids]

    async def _time(self) -> Instant:
        """Ledger time, as fresh as we promise."""
        await self.node.reach(Instant(self._clock() - self._fresh))
        return self.node.at

    async def describe(self) -> Description:
        at = await self._time()
        instruments = await self._reader.instruments()
        return description(self.seal.ledger, self.traits, instruments, at, self.seal.public_key)

    async def account(self, id: AccountId) -> AccountView | None:
        self.node.require_service()
        return await self._reader.account(id)

    async def accounts(self, owner: str | None, after: AccountId, limit: int) -> list[AccountView]:
        self.node.require_service()
        return await self._reader.accounts(owner, after, limit)

    async def blocks(self, after: int, limit: int) -> list[Block]:
        self.node.require_service()
        self._require_since((after, LAST[1]))
        return await self._reader.blocks(after, limit)

    async def proof(self, height: int, position: int) -> Proof | None:
        self.node.require_service()
        self._require_since((height - 1, LAST[1]))
        return await self._reader.proof(height, position)

    async def facts(self, by: Principal, after: Cursor, limit: int) -> list[Fact]:
        self.node.require_service()
        self._require_since(place(after))
        return await self._reader.facts(by, after, limit)

    async def holdings(self, account: AccountId | None, after: str, limit: int) -> Holdings:
        self.node.require_service()
        found = await self._reader.holdings(account, after, limit)
        return msgspec.structs.replace(found, as_of=found.as_of or self.node.head.base_cursor)

    async def movements(
        self, account: AccountId, after: Cursor, until: Cursor | None, limit: int
    ) -> list[Fact]:
        self.node.require_service()
        self._require_since(place(after))
        return await self._reader.movements(account, after, until, limit)

    async def last_before(self, at: Instant) -> Cursor:
        self.node.require_service()
        found, head = await self._reader.last_before(at), self.node.head
        if not found and head.base and at <= head.base_at:
            raise self._gone()
        return found or head.base_cursor

    async def conservation(self) -> list[Position]:
        self.node.require_service()
        found, base = await self._store.conservation(), self.node.head.base_cursor
        return [msgspec.structs.replace(each, as_of=each.as_of or base) for each in found]

    def _require_since(self, after: tuple[int, int]) -> None:
        """Raises ProblemError for history from before the snapshot by which this registry joined:
        to leave it out unsaid would be a lie."""
        if after < place(self.node.head.base_cursor):
            raise self._gone()

    def _gone(self) -> ProblemError:
        head = self.node.head
        return ProblemError(
            Kind.BEFORE_SNAPSHOT,
            f"this registry joined by a snapshot at height {head.base}: what was posted up to "
            f"{head.base_cursor} is told by the other registries",
        )


def _parts(entries: Sequence[Entry]) -> list[Sequence[Entry]]:
    """As bundles hold them. They leave in this order, so they are done in this order."""
    return [entries[i : i + ENTRIES_MAX] for i in range(0, len(entries), ENTRIES_MAX)]


def _answer(result: Result) -> Answer:
    assert isinstance(result, Answer), "an operation is told an answer"
    return result


def _outcome(result: Result) -> Refusal | None:
    assert not isinstance(result, Answer), "an act is told its refusal, or nothing"
    return result
