"""The network as one ledger: it conforms, asks whom it must, and does without a node."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from htlc.contract import Answer, Unknown
from htlc.units import AccountId, HtlcId
from ledgers.hosted import Spoken
from ledgers.icsd.nodes import NetworkLedger, home
from ledgers.parties import Principal
from ledgers.port import (
    Cursor,
    Description,
    Execute,
    Fact,
    Ledger,
    LedgerUnreachable,
    Lock,
    Operation,
    Transfer,
)
from ledgers.remote import RemoteLedgerError
from tests.ledgers.conformance import CHECKS
from tests.ledgers.worlds import (
    ALICE,
    ALICE_ACCOUNT,
    BOB,
    BOB_ACCOUNT,
    EUR,
    EXECUTION_KEY,
    GATEWAY,
    World,
    memory_world,
    new_id,
)


class Node:
    """One node over the common book; it counts, and fails as it is told."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.asked: list[str] = []
        self.away = False
        self.pause_seconds = 0.0
        self.facts_at_once: int | None = None
        self.refusing = False

    async def _serve(self, what: str) -> None:
        self.asked.append(what)
        if self.refusing:
            raise RemoteLedgerError("401")
        await asyncio.sleep(self.pause_seconds)
        if self.away:
            raise LedgerUnreachable("away")

    async def describe(self) -> Description:
        await self._serve("describe")
        return await self.ledger.describe()

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Answer | Unknown]:
        try:
            await self._serve("apply")
        except LedgerUnreachable as error:
            return [Unknown(why=str(error))] * len(operations)
        return await self.ledger.apply(operations)

    async def look(self, ids: Sequence[HtlcId]) -> Sequence[Answer | Unknown]:
        try:
            await self._serve("look")
        except LedgerUnreachable as error:
            return [Unknown(why=str(error))] * len(ids)
        return await self.ledger.look(ids)

    async def facts(self, after: Cursor = "") -> AsyncIterator[Fact]:
        await self._serve("facts")
        told = 0
        async for fact in self.ledger.facts(after):
            if told == self.facts_at_once:
                raise LedgerUnreachable("away in the middle")
            told += 1
            yield fact


Pair = tuple[NetworkLedger, Node, Node, World]


async def network(by: Principal = GATEWAY) -> Pair:
    """Registries `alice` and `bob`, each the home of the accounts that begin so."""
    world = await memory_world()
    alice, bob = Node(world.as_(by)), Node(world.as_(by))
    return NetworkLedger({"alice": alice, "bob": bob}, patience_seconds=0.05), alice, bob, world


@pytest.mark.parametrize("check", CHECKS)
async def test_it_conforms(check: str) -> None:
    world = await memory_world()

    def speak(by: Principal) -> NetworkLedger:
        return NetworkLedger({"alice": Spoken(world.hosted, by), "bob": Spoken(world.hosted, by)})

    await CHECKS[check](World(world.hosted, world.clock, speak))


def test_an_account_is_at_home_where_its_name_says() -> None:
    registries = {"KZ": 1, "KZX": 2}
    assert home(AccountId("KZ-5f3a"), registries) == "KZ"
    assert home(AccountId("KZX-5f3a"), registries) == "KZX"
    assert home(AccountId("UZ-5f3a"), registries) is None
    assert home(AccountId("KZ"), registries) is None


async def test_locks_and_transfers_go_to_the_home_of_whom_they_debit() -> None:
    ledger, alice, bob, world = await network(ALICE)
    lock = Lock(terms=world.terms(payer=ALICE_ACCOUNT))
    transfer = Transfer(
        id=new_id(),
        debit=BOB_ACCOUNT,
        credit=ALICE_ACCOUNT,
        asset=EUR,
        quantity=world.terms().quantity,
    )
    locked, moved = await ledger.apply([lock, transfer])
    assert isinstance(locked, Answer) and locked.refusal is None
    assert isinstance(moved, Answer) and moved.refusal is not None  # Alice has no say over Bob's
    assert (alice.asked, bob.asked) == (["apply"], ["apply"])


async def test_nobody_stands_in_for_the_home_of_a_lock() -> None:
    ledger, alice, bob, world = await network()
    alice.away = True
    [told] = await ledger.apply([Lock(terms=world.terms())])
    assert isinstance(told, Unknown)
    assert bob.asked == []


async def test_a_node_that_is_away_is_left_for_another() -> None:
    ledger, alice, _bob, world = await network()
    terms = world.terms()
    await ledger.apply([Lock(terms=terms)])
    alice.away = True
    [told] = await ledger.apply([Execute(id=terms.id, key=EXECUTION_KEY)])
    assert isinstance(told, Answer) and told.refusal is None
    asked = len(alice.asked)
    [seen] = await ledger.look([terms.id])
    assert seen == Answer(at=seen.at, htlc=told.htlc)  # type: ignore[union-attr]
    assert len(alice.asked) == asked, "who answered last is asked first"
    await ledger.describe()


async def test_a_node_that_hangs_does_not_hold_anybody_up() -> None:
    ledger, alice, _bob, world = await network()
    alice.pause_seconds = 30
    began = time.monotonic()
    [told] = await ledger.look([world.terms().id])
    assert isinstance(told, Answer)
    assert time.monotonic() - began < 25, "it hangs for 30"


async def test_when_nobody_answers_it_is_unknown() -> None:
    ledger, alice, bob, world = await network()
    alice.away = bob.away = True
    assert [type(told) for told in await ledger.look([world.terms().id])] == [Unknown]
    with pytest.raises(LedgerUnreachable):
        await ledger.describe()
    with pytest.raises(LedgerUnreachable):
        [fact async for fact in ledger.facts()]


async def test_a_node_that_refuses_us_is_reported_not_passed_over() -> None:
    ledger, alice, _, _ = await network()
    alice.refusing = True
    with pytest.raises(RemoteLedgerError):
        await ledger.describe()


async def test_facts_go_on_at_another_node_where_the_first_broke_off() -> None:
    ledger, alice, bob, world = await network()
    whole = [fact async for fact in world.as_(GATEWAY).facts()]
    assert len(whole) > 1
    alice.facts_at_once = 1
    assert [fact async for fact in ledger.facts()] == whole
    assert (alice.asked, bob.asked) == (["facts"], ["facts"])


async def test_nothing_asked_is_nothing_answered() -> None:
    ledger, _alice, _bob, _ = await network(BOB)
    assert list(await ledger.apply([])) == []
    assert list(await ledger.look([])) == []
