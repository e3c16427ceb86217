"""Where what an order asked for stands in the chain: the posting that a confirmation names."""

from typing import Final

import msgspec

from htlc.units import SECOND, AccountId, Instant
from ledgers.block import place
from ledgers.hosted import PAGE_MAX
from ledgers.icsd.hosted import RegistryLedger
from ledgers.port import Answer, Cursor, Fact, Htlc, Lock, Refund, Transfer
from ledgers.problems import ProblemError

SKEW: Final = 60 * SECOND
"""How far ledger time may be behind the clock that noted when a message came: a block may be 30 s
off the clock of who votes for it, and stands still until the next one is made."""

Asked = Lock | Refund | Transfer


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """When something was done, by ledger time, and its posting: none where it was done long before
    the message came, or before the registry joined (to one that had lost its database)."""

    at: Instant
    posting: Cursor | None = None

    @property
    def height(self) -> int | None:
        """Of its block."""
        return None if self.posting is None else place(self.posting)[0]


class _Read:
    """The facts of an account from a place on, as far as they were read."""

    def __init__(self, after: Cursor) -> None:
        self.reached = after
        self.facts: dict[tuple[str, str], Fact] = {}  # by kind and id

    def take(self, page: list[Fact]) -> None:
        self.facts |= {(fact.kind, fact.id): fact for fact in page}
        self.reached = page[-1].cursor


class Postings:
    """Looks up the postings of orders that were answered together; mostly of one block."""

    def __init__(self, ledger: RegistryLedger) -> None:
        self._ledger = ledger
        self._places: dict[Instant, Cursor] = {}
        self._read: dict[tuple[AccountId, Cursor], _Read] = {}

    async def done(self, asked: Asked, answer: Answer, received_at: int, *, doubtful: bool) -> Done:
        """`doubtful`: it may have been done before, so the time of the answer says nothing. A
        contract says so itself."""
        if isinstance(asked, Transfer):
            since = max(received_at - SKEW, 0) if doubtful else answer.at
            return await self._found(asked.debit, "transfer", asked.id, Instant(since), answer.at)
        assert isinstance(answer.htlc, Htlc), "a lock or a release that was done has its contract"
        made, payer = answer.htlc, answer.htlc.terms.payer
        if isinstance(asked, Lock):
            return await self._found(payer, "lock", made.terms.id, made.locked_at, made.locked_at)
        at = made.locked_at if made.ended_at is None else made.ended_at
        return await self._found(payer, "refund", asked.id, at, at)

    async def _found(
        self, account: AccountId, kind: str, id: str, since: Instant, told_at: Instant
    ) -> Done:
        fact = await self._fact(account, (kind, id), since)
        return Done(at=told_at) if fact is None else Done(at=fact.at, posting=fact.cursor)

    async def _fact(
        self, account: AccountId, wanted: tuple[str, str], since: Instant
    ) -> Fact | None:
        try:
            if since not in self._places:
                self._places[since] = await self._ledger.last_before(since)
        except ProblemError:  # it was done before the snapshot by which this registry joined
            return None
        after = self._places[since]
        read = self._read.setdefault((account, after), _Read(after))
        while wanted not in read.facts:
            page = await self._ledger.movements(account, read.reached, None, PAGE_MAX)
            if not page:
                return None
            read.take(page)
        return read.facts[wanted]
