"""A whole chain has no fault; whatever is touched in one is found, at its block."""

import asyncio
from functools import cache

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from htlc.units import Instant, LedgerId
from ledgers.block import Block, Seal
from ledgers.chain import Chain, Fault, Flaw
from tests.ledgers.vectors import script
from tests.ledgers.worlds import LEDGER, SECOND, TEST_KEY, memory_world

PUBLIC_KEY = Seal(LEDGER, TEST_KEY).public_key


@cache
def blocks() -> tuple[Block, ...]:
    """The chain of the published vectors: every kind of entry."""
    return asyncio.run(_made())


async def _made() -> tuple[Block, ...]:
    world = await memory_world()
    for wait, by, operations in script(world):
        world.clock.advance(wait * SECOND)
        await world.as_(by).apply(operations)
    return tuple(await world.hosted.blocks(0, 1_000))


def faults(chain: list[Block], key: bytes = PUBLIC_KEY) -> list[Fault]:
    followed = Chain(LEDGER, key)
    return [fault for block in chain for fault in followed.take(block)]


def test_a_whole_chain_has_no_fault() -> None:
    assert len(blocks()) > 5
    assert faults(list(blocks())) == []


def test_another_key_has_signed_none_of_it() -> None:
    found = faults(list(blocks()), bytes([7]) * 32)
    assert {fault.flaw for fault in found} == {Flaw.SIGNATURE}
    assert [fault.height for fault in found] == [block.header.height for block in blocks()]


def test_the_blocks_of_another_ledger_are_not_its_own() -> None:
    found = [fault for b in blocks() for fault in Chain(LedgerId("other"), PUBLIC_KEY).take(b)]
    assert all("expected a block of other" in fault.what for fault in found if fault.height == 1)
    assert found


@given(st.data())
def test_a_changed_byte_of_a_leaf_is_found_at_its_block(data: st.DataObject) -> None:
    chain = list(blocks())
    n = data.draw(st.integers(0, len(chain) - 1))
    position = data.draw(st.integers(0, len(chain[n].leaves) - 1))
    leaf = bytearray(chain[n].leaves[position])
    leaf[data.draw(st.integers(0, len(leaf) - 1))] ^= data.draw(st.integers(1, 255))
    leaves = (*chain[n].leaves[:position], bytes(leaf), *chain[n].leaves[position + 1 :])
    chain[n] = replace(chain[n], leaves=leaves)
    assert [(fault.flaw, fault.height) for fault in faults(chain)] == [(Flaw.ROOT, n + 1)]


@given(st.data())
def test_a_block_left_out_is_missed_before_the_next(data: st.DataObject) -> None:
    chain = list(blocks())
    n = data.draw(st.integers(0, len(chain) - 2))
    del chain[n]
    (fault,) = faults(chain)
    assert (fault.flaw, fault.height) == (Flaw.CHAIN, n + 2)
    assert fault.what == f"expected block {n + 1} before it, it is missing"


@given(st.data())
def test_a_field_of_a_header_is_not_changed_unseen(data: st.DataObject) -> None:
    chain = list(blocks())
    n = data.draw(st.integers(0, len(chain) - 1))
    header = chain[n].header
    changes = {
        "previous": bytes(32) if n else bytes([1]) * 32,
        "root": bytes(32),
        "count": header.count + 1,
        "at": Instant(header.at + 1),
    }
    field = data.draw(st.sampled_from(sorted(changes)))
    chain[n] = replace(chain[n], header=replace(header, **{field: changes[field]}))
    found = faults(chain)
    assert (Flaw.SIGNATURE, n + 1) in [(fault.flaw, fault.height) for fault in found]


def test_history_made_anew_with_the_ledgers_own_key_is_told_by_its_hashes() -> None:
    """A ledger's operator can sign another past. Only who kept a hash of it can tell."""
    seal, previous, chain = Seal(LEDGER, TEST_KEY), bytes(32), []
    for height, block in enumerate(blocks()[1:], start=1):
        chain.append(seal.block(height, previous, block.leaves))
        previous = chain[-1].hash
    assert faults(chain) == []
    assert chain[-1].hash != blocks()[-2].hash


def test_a_clock_that_went_back_is_a_fault() -> None:
    first, second = blocks()[:2]
    seal = Seal(LEDGER, TEST_KEY)
    later = seal.block(1, bytes(32), second.leaves)
    earlier = seal.block(2, later.hash, first.leaves)
    (fault,) = faults([later, earlier])
    assert "it went back" in fault.what
