"""Merkle trees as in Certificate Transparency (RFC 6962, section 2.1): roots and their proofs.

Leaves and nodes are hashed with different prefixes, so a node can never pass for a leaf. The
verifiers rebuild the root bottom up and refuse a proof that is too short or too long (RFC 9162,
sections 2.1.3.2 and 2.1.4.2, which spell out the algorithms of RFC 6962).
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256 as _sha256
from typing import Final

LEAF_PREFIX: Final = b"\x00"
NODE_PREFIX: Final = b"\x01"
HASH_BYTES: Final = 32
EMPTY_ROOT: Final = _sha256().digest()
"""The root of no leaves (RFC 6962, 2.1)."""


def leaf_hash(leaf: bytes) -> bytes:
    return _sha256(LEAF_PREFIX + leaf).digest()


def leaf_hashes(leaves: Iterable[bytes]) -> list[bytes]:
    """Of the leaves of a block; as `leaf_hash`, without a call for each."""
    return [_sha256(LEAF_PREFIX + leaf).digest() for leaf in leaves]


def node_hash(left: bytes, right: bytes) -> bytes:
    return _sha256(NODE_PREFIX + left + right).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes. Level by level: an odd last node moves up unchanged, which gives
    the same tree as the RFC's split at the largest power of two."""
    if not hashes:
        return EMPTY_ROOT
    level = list(hashes)
    while len(level) > 1:
        level = _level_above(level)
    return level[0]


def _level_above(level: list[bytes]) -> list[bytes]:
    # As `node_hash`, without a call for each: there are as many nodes as leaves.
    pairs = zip(level[::2], level[1::2], strict=False)
    above = [_sha256(NODE_PREFIX + left + right).digest() for left, right in pairs]
    return above + level[-1:] if len(level) % 2 else above


def inclusion_proof(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of the leaf at `index`, bottom first (RFC 6962, 2.1.1)."""
    assert 0 <= index < len(hashes), "a proof is asked for a leaf of the tree"
    path, level, place = [], list(hashes), index
    while len(level) > 1:
        if (place ^ 1) < len(level):
            path.append(level[place ^ 1])
        level, place = _level_above(level), place // 2
    return path


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes
) -> bool:
    """Whether `proof` shows that the leaf hash `leaf` stands at `index` of the tree of `size`
    leaves with root `expected`."""
    if not 0 <= index < size or any(len(node) != HASH_BYTES for node in proof):
        return False
    place, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if place % 2 or place == last:
            node = node_hash(sibling, node)
            place, last = _skip_lonely(place, last)
        else:
            node = node_hash(node, sibling)
        place, last = place // 2, last // 2
    return last == 0 and node == expected


def _skip_lonely(place: int, last: int) -> tuple[int, int]:
    """Go up past the levels where the node stood alone and moved up unchanged."""
    while place % 2 == 0 and place != 0:
        place, last = place // 2, last // 2
    return place, last


def consistency_proof(hashes: Sequence[bytes], old_size: int) -> list[bytes]:
    """That the tree over the first `old_size` leaves is a prefix of this one (RFC 6962, 2.1.2)."""
    assert 0 < old_size <= len(hashes), "a proof is asked for a prefix with leaves"
    return _subproof(list(hashes), old_size, True)


def _subproof(hashes: list[bytes], old_size: int, whole: bool) -> list[bytes]:
    if old_size == len(hashes):
        return [] if whole else [root(hashes)]
    split = 1 << ((len(hashes) - 1).bit_length() - 1)
    if old_size <= split:
        return [*_subproof(hashes[:split], old_size, whole), root(hashes[split:])]
    return [*_subproof(hashes[split:], old_size - split, False), root(hashes[:split])]


def verify_consistency(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether `proof` shows that the tree of `new_size` begins with the tree of `old_size`.

    An empty tree is a prefix of everything, which proves nothing: size 0 is refused."""
    if not 0 < old_size <= new_size or any(len(node) != HASH_BYTES for node in proof):
        return False
    if old_size == new_size:
        return not proof and old_root == new_root
    nodes = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    if not nodes:
        return False
    place, last = old_size - 1, new_size - 1
    while place % 2:
        place, last = place // 2, last // 2
    old = new = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if place % 2 or place == last:
            old, new = node_hash(node, old), node_hash(node, new)
            place, last = _skip_lonely(place, last)
        else:
            new = node_hash(new, node)
        place, last = place // 2, last // 2
    return last == 0 and old == old_root and new == new_root
