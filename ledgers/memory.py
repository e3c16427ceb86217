"""A ledger in memory: the book, a clock and its blocks. For tests, simulation and examples."""

from collections.abc import Sequence

from htlc.units import AccountId, AssetId, HtlcId, Instant
from ledgers.administration import Act, administer
from ledgers.block import (
    GENESIS,
    LAST,
    Block,
    Proof,
    Seal,
    cursor,
    fact,
    leaf,
    place,
    prove,
    read_leaf,
)
from ledgers.book import Book, Effect, apply_all
from ledgers.books import Holding, Holdings, Position, key, placed
from ledgers.hosted import (
    BATCH_MAX,
    AccountView,
    Clock,
    Spoken,
    Traits,
    description,
)
from ledgers.parties import Balance, Principal
from ledgers.port import Answer, Cursor, Description, Fact, Operation, Refusal, Unknown


class MemoryLedger:
    """All of a ledger in one process; nothing survives it."""

    def __init__(self, seal: Seal, clock: Clock, traits: Traits | None = None) -> None:
        self.traits = Traits() if traits is None else traits
        self.seal = seal
        self.book = Book(self.traits.profile)
        self.chain: list[Block] = []
        self._clock = clock
        self._at = Instant(0)

    def as_principal(self, by: Principal) -> Spoken:
        return Spoken(self, by)

    def _now(self) -> Instant:
        """Ledger time: the wall clock, but never earlier than it was told before."""
        self._at = max(self._at, self._clock())
        return self._at

    async def describe(self) -> Description:
        instruments = list(self.book.instruments.values())
        return description(
            self.seal.ledger, self.traits, instruments, self._now(), self.seal.public_key
        )

    async def submit(
        self, by: Principal, operations: Sequence[Operation]
    ) -> list[Answer | Unknown]:
        answers: list[Answer | Unknown] = []
        for start in range(0, len(operations), BATCH_MAX):
            batch = operations[start : start + BATCH_MAX]
            batch_answers, effects = apply_all(self.book, batch, by, self._now())
            answers += batch_answers
            self._append(effects)
        return answers

    def _append(self, effects: Sequence[Effect]) -> None:
        if effects:
            previous = self.chain[-1].hash if self.chain else GENESIS
            leaves = [leaf(effect) for effect in effects]
            self.chain.append(self.seal.block(len(self.chain) + 1, previous, leaves))

    async def look(self, ids: Sequence[HtlcId]) -> list[Answer | Unknown]:
        at = self._now()
        return [Answer(at=at, htlc=self.book.contracts.get(id)) for id in ids]

    async def administer(self, by: Principal, acts: Sequence[Act]) -> list[Refusal | None]:
        self._now()  # an act moves ledger time like any other batch
        outcomes = [administer(self.book, act, by) for act in acts]
        return [outcome if isinstance(outcome, Refusal) else None for outcome in outcomes]

    async def account(self, id: AccountId) -> AccountView | None:
        account = self.book.accounts.get(id)
        if account is None:
            return None
        balances, mandates = self.book.balances, self.book.mandates
        return AccountView(
            account=account,
            holdings={
                asset: balance
                for (owner, asset), balance in balances.items()
                if owner == id and balance not in (None, Balance())
            },
            mandates=tuple(m for m in mandates.values() if m is not None and m.account == id),
        )

    async def accounts(self, owner: str | None, after: AccountId, limit: int) -> list[AccountView]:
        ids = sorted(
            account.id
            for account in self.book.accounts.values()
            if account is not None and account.id > after and owner in (None, account.owner)
        )
        views = [await self.account(id) for id in ids[:limit]]
        return [view for view in views if view is not None]

    async def blocks(self, after: int, limit: int) -> list[Block]:
        return self.chain[after : after + limit]

    async def proof(self, height: int, position: int) -> Proof | None:
        if not 1 <= height <= len(self.chain):
            return None
        block = self.chain[height - 1]
        return prove(block, position) if position < block.header.count else None

    async def facts(self, by: Principal, after: Cursor, limit: int) -> list[Fact]:
        start = place(after)
        found: list[Fact] = []
        for block in self.chain[max(start[0] - 1, 0) :]:
            for position, data in enumerate(block.leaves):
                if (block.header.height, position) > start and self._may_see(by, data):
                    found.append(self._fact(block.header.height, position, data))
        return found[:limit]

    def _fact(self, height: int, position: int, data: bytes) -> Fact:
        return fact(height, position, data, self.book.contracts.get(HtlcId(read_leaf(data).id)))

    def _may_see(self, by: Principal, data: bytes) -> bool:
        entry = read_leaf(data)
        sides = (AccountId(entry.debit.account), AccountId(entry.credit.account))
        accounts = (self.book.accounts.get(side) for side in sides)
        return by.follows_the_ledger or any(a is not None and a.owner == by.name for a in accounts)

    async def holdings(self, account: AccountId | None, after: str, limit: int) -> Holdings:
        found = [
            Holding(account=id, asset=asset, available=held.available, locked=held.locked)
            for (id, asset), held in sorted(self.book.balances.items())
            if held is not None and (id, asset) > placed(after) and account in (None, id)
        ][:limit]
        return Holdings(
            as_of=self._last(),
            holdings=tuple(found),
            next=key(found[-1]) if len(found) == limit else None,
        )

    def _last(self) -> Cursor:
        """The place of the last posting."""
        header = self.chain[-1].header if self.chain else None
        return "" if header is None else cursor(header.height, header.count - 1)

    async def movements(
        self, account: AccountId, after: Cursor, until: Cursor | None, limit: int
    ) -> list[Fact]:
        start, end = place(after), LAST if until is None else place(until)
        found = []
        for block in self.chain[max(start[0] - 1, 0) :]:
            for position, data in enumerate(block.leaves):
                entry, here = read_leaf(data), (block.header.height, position)
                if start < here <= end and account in (entry.debit.account, entry.credit.account):
                    found.append(self._fact(*here, data))
        return found[:limit]

    async def last_before(self, at: Instant) -> Cursor:
        before = [block.header for block in self.chain if block.header.at < at]
        return cursor(before[-1].height, before[-1].count - 1) if before else ""

    async def conservation(self) -> list[Position]:
        return [self._position(asset) for asset in sorted(self.book.instruments)]

    def _position(self, asset: AssetId) -> Position:
        counter = self.book.instruments[asset].counter
        holders = [
            balance
            for (account, held), balance in self.book.balances.items()
            if held == asset and account != counter and balance is not None
        ]
        return Position(
            asset=asset,
            issued=-self.book.balance(counter, asset).available,
            available=sum(balance.available for balance in holders),
            locked=sum(balance.locked for balance in holders),
            as_of=self._last(),
        )
