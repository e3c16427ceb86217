"""Balances of an account at a place of its ledger's order.

A ledger tells holdings as of its last posting, page by page, while it goes on posting. What was
there at an earlier place follows: less the movements since. Nothing is kept of a large account but
what has moved since that place.
"""

from collections import defaultdict
from collections.abc import AsyncIterator

from htlc.units import AccountId
from ledgers.block import place
from ledgers.books import Books, Holding, change_of
from ledgers.port import Cursor, Fact


async def movements(
    books: Books, account: AccountId, after: Cursor, until: Cursor
) -> AsyncIterator[Fact]:
    """The facts of an account after a place, up to and with another, in order."""
    if place(until) <= place(after):
        return
    while page := await books.movements(account, after, until):
        for fact in page:
            yield fact
        after = page[-1].cursor


class Since:
    """What has moved on an account after a place, up to a later one that is moved on."""

    def __init__(self, books: Books, account: AccountId, after: Cursor) -> None:
        self._books = books
        self._account = account
        self._reached = after
        self._available: defaultdict[str, int] = defaultdict(int)
        self._locked: defaultdict[str, int] = defaultdict(int)

    async def reach(self, until: Cursor) -> None:
        """Take in what was posted up to here."""
        async for fact in movements(self._books, self._account, self._reached, until):
            change = change_of(fact, self._account)
            self._available[fact.asset] += change.available
            self._locked[fact.asset] += change.locked
        self._reached = max(self._reached, until, key=place)

    def before(self, holding: Holding) -> tuple[int, int]:
        """Available and locked as they were at the place."""
        return (
            holding.available - self._available[holding.asset],
            holding.locked - self._locked[holding.asset],
        )


async def balances(
    books: Books, account: AccountId, at: Cursor
) -> AsyncIterator[tuple[str, int, int]]:
    """Every asset of an account with what was available and locked at a place, by its name."""
    since, after = Since(books, account, at), ""
    while True:
        page = await books.holdings(account, after)
        await since.reach(page.as_of)
        for holding in page.holdings:
            available, locked = since.before(holding)
            yield holding.asset, available, locked
        if page.next is None:
            return
        after = page.next
