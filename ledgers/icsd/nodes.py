"""The registry network as one ledger, spoken to through several of its nodes.

All nodes keep one book, so whoever answers, answers for the network. Two rules decide who is asked:

- What only the home registry of an account may submit (a lock, a transfer) goes to its node, which
  the account's name begins with: `KZ-…`. While that node is away, nobody else can stand in.
- Everything else (execute, cancel, refund, looking, facts) any node may be asked. It goes to one;
  to the next as well when that one fails or is slow; and the first who knows is believed. What is
  asked twice is done once: every operation is idempotent in the network's order.

Whoever issues and redeems speaks to the node of the issuer's registry, which no name here tells.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

from htlc.units import AccountId, HtlcId, Instant
from ledgers.books import Holdings, KeptLedger, Position
from ledgers.port import (
    Answer,
    Cancel,
    Cursor,
    Description,
    Execute,
    Fact,
    LedgerUnreachable,
    Lock,
    Operation,
    Refund,
    Transfer,
    Unknown,
)

PATIENCE_SECONDS: Final = 3.0
"""How long one node is waited for before the next is asked too. A block is final in 0.1 to 0.6 s
when all is well; while the log elects a leader (4 to 9 s) every node is slow."""

Answers = Sequence[Answer | Unknown]

_T = TypeVar("_T")


def home(account: AccountId, registries: Mapping[str, object]) -> str | None:
    """The registry that an account's name begins with."""
    name, separator, _ = account.partition("-")
    return name if separator and name in registries else None


class NetworkLedger:
    """A ledger with its books over the nodes of some or all registries, by name."""

    def __init__(
        self, nodes: Mapping[str, KeptLedger], *, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        assert nodes, "a network has nodes"
        self._nodes = dict(nodes)
        self._patience = patience_seconds
        self._first = next(iter(self._nodes))  # who answered last

    async def describe(self) -> Description:
        """Raises LedgerUnreachable."""
        return await self._any(lambda node: node.describe())

    async def apply(self, operations: Sequence[Operation]) -> Answers:
        """Each operation where it belongs: those of one registry in the order given, with whatever
        else concerns a contract that is locked here; beside them those that may go anywhere."""
        groups: dict[str | None, list[int]] = {}
        for place, where in enumerate(self._where(operations)):
            groups.setdefault(where, []).append(place)
        told = await asyncio.gather(
            *(
                self._apply(registry, [operations[place] for place in places])
                for registry, places in groups.items()
            )
        )
        answers: dict[int, Answer | Unknown] = {}
        for places, group in zip(groups.values(), told, strict=True):
            answers |= zip(places, group, strict=True)
        return [answers[place] for place in range(len(operations))]

    async def look(self, ids: Sequence[HtlcId]) -> Answers:
        return await self._known(len(ids), lambda node: node.look(ids))

    async def facts(self, after: Cursor = "") -> AsyncIterator[Fact]:
        """In the network's order, which is the same at every node: one that fails is followed by
        the next at the same place. Raises LedgerUnreachable when none goes on."""
        failed: set[str] = set()
        while True:
            name = next((name for name in self._order() if name not in failed), None)
            if name is None:
                raise LedgerUnreachable("no node of the network tells its facts")
            try:
                async for fact in self._nodes[name].facts(after):
                    yield fact
                    after = fact.cursor
                    failed.clear()
                return
            except LedgerUnreachable:
                failed.add(name)

    # --- books: any node may be asked; the places of postings are the same at all of them ---------

    async def holdings(self, account: AccountId | None, after: str = "") -> Holdings:
        return await self._any(lambda node: node.holdings(account, after))

    async def movements(self, account: AccountId, after: Cursor, until: Cursor) -> Sequence[Fact]:
        return await self._any(lambda node: node.movements(account, after, until))

    async def conservation(self) -> Sequence[Position]:
        return await self._any(lambda node: node.conservation())

    async def last_before(self, at: Instant) -> Cursor:
        return await self._any(lambda node: node.last_before(at))

    def _where(self, operations: Sequence[Operation]) -> list[str | None]:
        """The registry whose node must be asked, for each; None is any."""
        locked = {
            operation.terms.id: home(operation.terms.payer, self._nodes)
            for operation in operations
            if isinstance(operation, Lock)
        }
        return [self._place(operation, locked) for operation in operations]

    def _place(self, operation: Operation, locked: Mapping[HtlcId, str | None]) -> str | None:
        match operation:
            case Lock(terms=terms):
                return locked[terms.id]
            case Transfer(debit=debit):
                return home(debit, self._nodes)
            case Execute(id=id) | Cancel(id=id) | Refund(id=id):
                return locked.get(id)
            case _:
                return None

    async def _apply(self, registry: str | None, operations: Sequence[Operation]) -> Answers:
        if registry is not None:
            return await self._nodes[registry].apply(operations)
        return await self._known(len(operations), lambda node: node.apply(operations))

    async def _known(self, count: int, ask: Callable[[KeptLedger], Awaitable[Answers]]) -> Answers:
        """The first answers that are any."""

        async def known(node: KeptLedger) -> Answers:
            answers = await ask(node)
            if answers and all(isinstance(answer, Unknown) for answer in answers):
                assert isinstance(answers[0], Unknown)
                raise LedgerUnreachable(answers[0].why)
            return answers

        try:
            return await self._any(known)
        except LedgerUnreachable as error:
            return [Unknown(why=str(error))] * count

    async def _any(self, ask: Callable[[KeptLedger], Awaitable[_T]]) -> _T:
        """What the first node says that answers. Raises LedgerUnreachable, and whatever else a
        node raises."""
        waiting = self._order()
        asked: dict[asyncio.Task[_T], str] = {}
        why = ""
        try:
            while waiting or asked:
                if waiting:
                    name = waiting.pop(0)
                    asked[asyncio.ensure_future(_run(ask, self._nodes[name]))] = name
                patience = self._patience if waiting else None
                done, _ = await asyncio.wait(
                    asked, timeout=patience, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    name = asked.pop(task)
                    error = task.exception()
                    if error is None:
                        self._first = name
                        return task.result()
                    if not isinstance(error, LedgerUnreachable):
                        raise error
                    why = f"{name}: {error}"
            raise LedgerUnreachable(why)
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    def _order(self) -> list[str]:
        """Who answered last is asked first."""
        return sorted(self._nodes, key=lambda name: name != self._first)


async def _run(ask: Callable[[KeptLedger], Awaitable[_T]], node: KeptLedger) -> _T:
    return await ask(node)
