"""One batch of the PostgreSQL ledger: load, judge, write; what is kept for the next.

`postgres` says why it is safe.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import asyncpg
import msgspec

from htlc.contract import Status
from htlc.units import HtlcId, Instant
from ledgers import store
from ledgers.administration import Act, Record, administer
from ledgers.block import Seal, leaf
from ledgers.book import Book, Effect, apply_all
from ledgers.distribution import SIZES, Distribution
from ledgers.hosted import Clock
from ledgers.parties import Principal
from ledgers.port import Answer, Lock, Operation, Refusal
from ledgers.profile import Profile
from ledgers.reading import LOST

KEPT_ROWS_MAX: Final = 50_000
"""Rows kept between batches, about 50 MB: open contracts and busy balances of a busy day."""


class Statistics(msgspec.Struct):
    """The ledger's own numbers since it started; metrics read them."""

    batches: int = 0
    operations: int = 0
    effects: int = 0
    unknown: int = 0  # operations whose outcome was not learned
    overloaded: int = 0  # operations turned away
    largest_batch: int = 0
    height: int = 0
    ahead: int = 0  # nanoseconds that ledger time was before the wall clock, at the last batch
    seconds: Distribution = msgspec.field(default_factory=Distribution)  # of a transaction
    sizes: Distribution = msgspec.field(default_factory=lambda: Distribution(SIZES))


class Request(msgspec.Struct):
    """What one caller wants of the next batch."""

    future: "asyncio.Future[Reply]"
    by: Principal | None = None
    operations: Sequence[Operation] = ()
    ids: Sequence[HtlcId] = ()
    acts: Sequence[Act] = ()

    @property
    def size(self) -> int:
        return len(self.operations) + len(self.ids) + len(self.acts)


class Reply(msgspec.Struct):
    at: Instant
    answers: list[Answer]
    outcomes: list[Refusal | None]


class _Kept(msgspec.Struct):
    """The rows of the last batch, and the state that they belong to."""

    book: Book
    head: store.Head


class Writer:
    """Runs the batches of one replica, one at a time, over one connection."""

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        seal: Seal,
        clock: Clock,
        profile: Profile,
    ) -> None:
        self.statistics = Statistics()
        self._pool = pool
        self._seal = seal
        self._clock = clock
        self._profile = profile
        self._session: store.Session | None = None
        self._kept: _Kept | None = None

    async def run(self, requests: list[Request]) -> list[Reply]:
        """Serve the requests in one transaction. Whatever it raises, the outcome is open; then
        `discard` comes before the next run."""
        begun = time.monotonic()
        replies = await self._on_what_is_kept(requests)
        if replies is None:
            replies = await self._alone(requests)
        self._count(requests, time.monotonic() - begun)
        return replies

    async def _on_what_is_kept(self, requests: list[Request]) -> list[Reply] | None:
        """Judge by the rows of the last batch, and write with one statement that does nothing if
        the head has moved on since: then it is None, and the batch is run `_alone`. What is read
        before is as the last batch has left it, if the head is still so when it is written.

        A lock is taken to be new, without a look whether its contract is there: the primary key
        stops the statement if it is not, and what would be refused is looked for after all, for a
        contract that is there is told before anything else.

        Only of administration, which is rare, several statements are to be written at once."""
        kept, session = self._kept, self._session
        if kept is None or session is None or not session.is_alive:
            return None
        if any(request.acts for request in requests):
            return None
        self._kept = None
        at = self._time(kept.head)
        needs = _needs(kept.book, requests)
        known = kept.book.contracts  # may be many: the locks are gone through, not they
        unseen = {id for id in needs.locks if id not in known and id not in needs.contracts}
        before = await _load(session, kept.book, needs)
        try:
            answers, effects = _judge_all(kept.book, requests, at)
        except AssertionError:
            # Kept rows and rows read now may be of two states, if somebody else has written. Should
            # it be an error of ours, it is met again with the head locked.
            return None
        if unseen and await _were_there(session, kept.book, _refused(requests, answers) & unseen):
            return None
        try:
            head = await self._write(session, kept.head, kept.book, effects, before, at)
        except asyncpg.UniqueViolationError:
            return None
        if head is None:
            return None
        self._keep(kept.book, effects, head)
        return [Reply(at=at, answers=told, outcomes=[]) for told in answers]

    async def _alone(self, requests: list[Request]) -> list[Reply]:
        """With the head locked from before anything is read until all is written."""
        session, head = await self._begin()
        assert head.ledger == self._seal.ledger, "the database still belongs to this ledger"
        self.statistics.height = head.height
        book = await self._book(session, head)
        at = self._time(head)
        needs = _needs(book, requests)
        needs.contracts |= needs.locks
        before = await _load(session, book, needs)
        administration, outcomes = head.administration, []
        for request in requests:
            told, administration = await self._administer(
                session, book, request, at, administration
            )
            outcomes.append(told)
        answers, effects = _judge_all(book, requests, at)
        written = await self._write(session, head, book, effects, before, at)
        assert written is not None, "nobody else writes while the head is locked"
        if administration != head.administration:
            await session.fetch("write_administration", at, administration)
            written = msgspec.structs.replace(written, administration=administration)
        await session.commit()
        self._keep(book, effects, written)
        return [
            Reply(at=at, answers=told, outcomes=done)
            for told, done in zip(answers, outcomes, strict=True)
        ]

    def _time(self, head: store.Head) -> Instant:
        """Of this batch. It never decreases, whatever the wall clock does."""
        wall = self._clock()
        at = max(head.clock, wall)
        self.statistics.ahead = at - wall
        return at

    async def _begin(self) -> tuple[store.Session, store.Head]:
        """Begin on the kept connection. One that died while idle (a restart of PostgreSQL) has not
        done anything of this batch yet, so a new one may be tried at once."""
        if self._session is not None:
            try:
                return self._session, await self._session.begin()
            except LOST:
                await self.discard()
        self._session = store.Session(await self._pool.acquire())
        return self._session, await self._session.begin()

    async def discard(self) -> None:
        """End the connection and what it has open; rows of an open outcome are not kept."""
        session, self._session, self._kept = self._session, None, None
        if session is not None:
            with suppress(*LOST):
                session.connection.terminate()
                await self._pool.release(session.connection)
            await self._pool.expire_connections()

    async def close(self) -> None:
        """Give the connection back, after the last batch."""
        session, self._session, self._kept = self._session, None, None
        if session is not None:
            with suppress(*LOST):
                await self._pool.release(session.connection)

    async def _book(self, session: store.Session, head: store.Head) -> Book:
        """The rows kept from the last batch, as far as nobody else has written since."""
        kept, self._kept = self._kept, None
        if kept is not None and kept.head.administration == head.administration:
            if kept.head.hash == head.hash:
                return kept.book
            book = Book(self._profile)
            book.instruments, book.accounts = kept.book.instruments, kept.book.accounts
            book.mandates = kept.book.mandates
            return book
        book = Book(self._profile)
        await store.load_instruments(session, book)
        return book

    async def _administer(
        self,
        session: store.Session,
        book: Book,
        request: Request,
        at: Instant,
        previous: bytes,
    ) -> tuple[list[Refusal | None], bytes]:
        """Do the acts of a request; returns the new end of the log of administration."""
        outcomes: list[Refusal | None] = []
        for act in request.acts:
            assert request.by is not None, "an act has somebody who does it"
            outcome = administer(book, act, request.by)
            outcomes.append(outcome if isinstance(outcome, Refusal) else None)
            if outcome is True:
                await store.write_act(session, book, act)
                record = Record(at=at, by=request.by.name, act=act, previous=previous)
                previous = await store.write_record(session, record)
        return outcomes, previous

    async def _write(
        self,
        session: store.Session,
        head: store.Head,
        book: Book,
        effects: Sequence[Effect],
        before: store.Balances,
        at: Instant,
    ) -> store.Head | None:
        """Write the block of the batch, or the clock alone; returns the head as it is then, or
        None if it was not any more as given."""
        if not effects:
            if not await store.write_clock(session, head, at):
                return None
            return msgspec.structs.replace(head, clock=at)
        block = self._seal.block(head.height + 1, head.hash, [leaf(effect) for effect in effects])
        if not await store.write_batch(session, block, effects, book, before, head.administration):
            return None
        height = self.statistics.height = block.header.height
        self.statistics.effects += len(effects)
        return msgspec.structs.replace(head, height=height, hash=block.hash, clock=at)

    def _keep(self, book: Book, effects: Sequence[Effect], head: store.Head) -> None:
        """Keep the rows for the next batch: open contracts and balances, which are asked again."""
        for effect in effects:
            if effect.htlc is not None and effect.htlc.status is not Status.LOCKED:
                book.contracts.pop(effect.htlc.terms.id, None)
        book.operations.clear()
        kept_rows = (book.contracts, book.balances, book.accounts, book.mandates)
        if sum(len(rows) for rows in kept_rows) <= KEPT_ROWS_MAX:
            self._kept = _Kept(book, head)

    def _count(self, requests: Sequence[Request], seconds: float) -> None:
        size = sum(request.size for request in requests)
        numbers = self.statistics
        numbers.batches += 1
        numbers.seconds.observe(seconds)
        numbers.sizes.observe(size)
        numbers.operations += size
        numbers.largest_batch = max(numbers.largest_batch, size)


def _needs(book: Book, requests: Sequence[Request]) -> store.Needs:
    """What the requests touch."""
    needs = store.Needs()
    for request in requests:
        needs.contracts.update(request.ids)
        for act in request.acts:
            needs.add_act(act)
        if request.by is not None:
            needs.add_operations(book, request.by, request.operations)
    return needs


async def _load(session: store.Session, book: Book, needs: store.Needs) -> store.Balances:
    """Load what is needed; returns the balances as they are before the batch."""
    await store.load(session, book, needs)
    balances = book.balances
    return {key: balances[key] for key in needs.balances}


def _refused(requests: Sequence[Request], answers: Sequence[Sequence[Answer]]) -> set[HtlcId]:
    """The contracts that locks were not to make."""
    return {
        operation.terms.id
        for request, told in zip(requests, answers, strict=True)
        for operation, answer in zip(request.operations, told, strict=False)  # questions come last
        if answer.refusal is not None and isinstance(operation, Lock)
    }


async def _were_there(session: store.Session, book: Book, ids: set[HtlcId]) -> bool:
    """Whether there is any of these contracts that the book has not looked for."""
    await store.load_contracts(session, book, ids)
    return any(book.contracts[id] is not None for id in ids)


def _judge_all(
    book: Book, requests: Sequence[Request], at: Instant
) -> tuple[list[list[Answer]], list[Effect]]:
    """Every operation and every question in order; a question sees what came before it."""
    answers: list[list[Answer]] = []
    effects: list[Effect] = []
    for request in requests:
        told: list[Answer] = []
        if request.by is not None:
            told, changed = apply_all(book, request.operations, request.by, at)
            effects += changed
        told += [Answer(at=at, htlc=book.contracts.get(id)) for id in request.ids]
        answers.append(told)
    return answers, effects
