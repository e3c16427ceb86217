"""Ids of the gateway's own making."""

import time
from uuid import RFC_4122, UUID

from gateway.ids import new_id


def test_an_id_is_a_uuid_of_version_7_made_now() -> None:
    before = time.time_ns() // 1_000_000
    ids = [UUID(new_id()) for _ in range(1_000)]  # more than one stock
    after = time.time_ns() // 1_000_000
    assert {(id.version, id.variant) for id in ids} == {(7, RFC_4122)}
    assert all(before <= id.int >> 80 <= after for id in ids)
    assert len(set(ids)) == len(ids)


def test_every_random_bit_is_drawn() -> None:
    """Of 2,000 ids a bit that is always the same would be chance once in 2**1999."""
    drawn = [UUID(new_id()).int for _ in range(2_000)]
    fixed = 0xF << 76 | 0x3 << 62  # version and variant
    ones, zeros = 0, 0
    for value in drawn:
        ones |= value
        zeros |= ~value
    low = (1 << 80) - 1
    assert ones & zeros & low == low & ~fixed
