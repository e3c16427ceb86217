"""The books made anew from the postings are the books; a posting that the book would not have made
is found, whoever signed it."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from htlc.canonical import canonical
from htlc.contract import Status
from htlc.units import HtlcId, Instant
from ledgers.block import Block
from ledgers.replay import Fault, Flaw, Replay
from tests.ledgers.test_chain import blocks
from tests.ledgers.test_differential import CONTRACT_IDS, steps
from tests.ledgers.worlds import ALICE_ACCOUNT, EUR, RESERVES, memory_world


def replayed(chain: list[Block]) -> tuple[Replay, list[tuple[int, int, Fault]]]:
    replay, found = Replay({EUR: RESERVES}), []
    for block in chain:
        for position, leaf in enumerate(block.leaves):
            _, faults = replay.take(leaf, block.header.at)
            found += [(block.header.height, position, fault) for fault in faults]
    return replay, found


async def life(script: list[Any]) -> None:
    world = await memory_world()
    for _, passed, (by, batch), act in script:
        world.clock.advance(passed)
        if act is not None:
            await world.hosted.administer(act[0], [act[1]])
        await world.as_(by).apply(batch)
    replay, faults = replayed(await world.hosted.blocks(0, 1_000))
    assert faults == []
    book = world.hosted.book
    nonzero = {key: tuple(sums) for key, sums in replay.balances.items() if any(sums)}
    held = {k: (b.available, b.locked) for k, b in book.balances.items() if b}
    assert nonzero == {key: sums for key, sums in held.items() if any(sums)}
    contracts = [book.contracts.get(id) for id in CONTRACT_IDS]
    locked = {c.terms.id: c for c in contracts if c and c.status is Status.LOCKED}
    assert replay.open == locked


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_every_life_of_a_ledger_is_replayed_to_its_books(script: list[Any]) -> None:
    asyncio.run(life(script))


def first(op: str) -> tuple[int, int, dict[str, Any]]:
    """Block, position and content of the first posting of this kind."""
    for n, block in enumerate(blocks()):
        for position, leaf in enumerate(block.leaves):
            entry = json.loads(leaf)
            if entry["op"] == op:
                return n, position, entry
    raise AssertionError(op)


def with_leaf(n: int, position: int, leaf: bytes) -> list[Block]:
    chain = list(blocks())
    leaves = list(chain[n].leaves)
    leaves[position] = leaf
    chain[n] = Block(
        header=chain[n].header,
        hash=chain[n].hash,
        signature=chain[n].signature,
        leaves=tuple(leaves),
    )
    return chain


@pytest.mark.parametrize(
    ("op", "change", "what"),
    [
        ("execute", {"key": "00" * 32}, "WRONG_KEY"),
        ("execute", {"quantity": "101"}, "expected {"),
        ("execute", {"credit": {"account": "alice-2", "balance": "available"}}, "expected {"),
        ("execute", {"by": "x" * 65, "at": "17"}, "expected {"),
        ("cancel", {"key": "00" * 32}, "WRONG_KEY"),
        ("cancel", {"op": "refund"}, "NO_EXPIRY"),
        ("refund", {"op": "execute", "key": "11" * 32}, "WRONG_KEY"),
        ("lock", {"quantity": "99"}, "expected {"),
        ("lock", {"terms": None}, "expected"),
        ("issue", {"op": "transfer"}, "reserves is the issuer's"),
        ("redeem", {"op": "transfer"}, "reserves is the issuer's"),
        ("transfer", {"op": "issue"}, "reserves is the issuer's"),
        ("transfer", {"quantity": "-1"}, "expected an entry"),
        ("transfer", {"asset": "EUR", "more": "1"}, "expected an entry"),
        ("transfer", {"id": "a\0b"}, "expected an id of visible ASCII"),
        ("issue", {"id": ""}, "expected an id of visible ASCII"),
    ],
)
def test_a_posting_that_the_book_would_not_make(op: str, change: dict[str, Any], what: str) -> None:
    n, position, entry = first(op)
    touched = {key: value for key, value in (entry | change).items() if value is not None}
    _, found = replayed(with_leaf(n, position, canonical(touched)))
    height, place, fault = found[0]
    assert (height, place, fault.flaw) == (n + 1, position, Flaw.ENTRY)
    assert what in fault.what


def test_the_same_content_in_another_spelling_is_not_what_the_book_writes() -> None:
    n, position, entry = first("transfer")
    _, found = replayed(with_leaf(n, position, json.dumps(entry).encode()))
    assert [fault.flaw for _, _, fault in found] == [Flaw.ENTRY]


@pytest.mark.parametrize("op", ["lock", "execute", "cancel", "refund"])
def test_what_happens_twice_is_found_the_second_time(op: str) -> None:
    n, position, entry = first(op)
    chain = list(blocks())
    leaf = chain[n].leaves[position]
    twice = [*chain[: n + 1], with_leaf(n, position, leaf)[n], *chain[n + 1 :]]
    _, found = replayed(twice)
    once = [fault for _, _, fault in found if fault.flaw is Flaw.ONCE]
    assert once and all(entry["id"] in fault.what for fault in once[:1])


def test_who_has_not_enough_is_named_once() -> None:
    n, position, entry = first("transfer")
    much = canonical(entry | {"quantity": "2000000"})
    _, found = replayed(with_leaf(n, position, much))
    short = [fault.what for _, _, fault in found if "it had" in fault.what]
    assert len(short) == 1
    assert short[0].startswith(f"expected {ALICE_ACCOUNT} to have 2000000 EUR available, it had ")


@pytest.mark.parametrize("data", [b"{", b"", b"\xff", b'{"op":"\xff"}', b'{"\xff":1}'])
def test_a_posting_that_cannot_be_read_moves_nothing(data: bytes) -> None:
    replay = Replay({EUR: RESERVES})
    effect, (fault,) = replay.take(data, Instant(1))
    assert effect is None and fault.flaw is Flaw.ENTRY
    assert not replay.balances and HtlcId("x") not in replay.open
