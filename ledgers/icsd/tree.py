"""A compact sparse Merkle-sum tree: one hash over a map, with short proofs of what is in it.

Theory of operation
-------------------
A leaf stands at the place that its key names: bit after bit of a 32-byte key, from the first bit
on, 0 to the left. It stands as high as it can, alone in its subtree, so a tree of n random keys is
about log2(n) deep and its shape depends on its keys only, never on the order of the changes.

    empty   hash 32 zero bytes, sum 0
    leaf    SHA-256(0x00 || key || sum || content)
    branch  SHA-256(0x01 || left hash || left sum || right hash || right sum)

Sums are unsigned 64-bit big-endian. Each node commits the sum of its subtree, so the root proves
the total of a map as it proves each member: nobody can hide a quantity or count one twice.

A proof is the way from the root to where the key ends: the siblings, and at its end the leaf of
that key (it is in the map), nothing, or the leaf of another key (it is not).

Trees are values. `update` shares what did not change, so an older tree stays readable at no cost.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from htlc.units import QUANTITY_MAX

EMPTY_HASH: Final = bytes(32)
"""The hash of an empty subtree. No preimage of it is known, so no leaf or branch has it."""

EMPTY: Final = EMPTY_HASH + bytes(8)
"""The commitment of an empty subtree: its hash and its sum."""

KEY_BITS: Final = 256

_sha256: Final = hashlib.sha256
_leaf_begun: Final = _sha256(b"\x00").copy
_branch_begun: Final = _sha256(b"\x01").copy
"""Make a hash that has taken in the prefix already: a seventh cheaper than to begin one."""


class Leaf(msgspec.Struct, frozen=True, gc=False):
    """One member of the map. `content` is what a proof shows of it, at most some 100 bytes;
    `commitment` is hash and sum, as the node above takes them in."""

    commitment: bytes
    sum: int
    key: bytes
    content: bytes

    @property
    def hash(self) -> bytes:
        return self.commitment[:32]


class Branch(msgspec.Struct, frozen=True, gc=False):
    commitment: bytes
    sum: int
    left: "Leaf | Branch | None"
    right: "Leaf | Branch | None"

    @property
    def hash(self) -> bytes:
        return self.commitment[:32]


Tree = Leaf | Branch | None
"""A tree is its topmost node."""


class Sibling(msgspec.Struct, frozen=True, array_like=True):
    """The other child of a node on the way to a key."""

    hash: bytes
    sum: int


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """Where the way to a key ends, and the siblings on it from the root down. Where they are many
    most are near the root; empty ones cost two bytes."""

    siblings: tuple[Sibling | None, ...]
    end: tuple[bytes, int, bytes] | None  # key, sum, content of the leaf there


class ForgedProof(Exception):
    """A proof that does not lead to the root that was certified. The message says what it fails."""


def key_of(name: str) -> bytes:
    """The place of a name in a tree: its hash, so that nobody chooses who is whose neighbour."""
    return _sha256(name.encode()).digest()


def leaf(key: bytes, sum: int, content: bytes) -> Leaf:
    assert len(key) == 32, "a place in the tree is 32 bytes"
    summed, hashed = sum.to_bytes(8, "big"), _leaf_begun()
    hashed.update(key + summed + content)
    return Leaf(hashed.digest() + summed, sum, key, content)


def root(tree: Tree) -> bytes:
    return EMPTY_HASH if tree is None else tree.hash


def total(tree: Tree) -> int:
    return 0 if tree is None else tree.sum


def _branch_hash(left: bytes, right: bytes) -> bytes:
    """Of the commitments of both sides."""
    hashed = _branch_begun()
    hashed.update(left)
    hashed.update(right)
    return hashed.digest()


def _branch(left: Tree, right: Tree) -> Tree:
    """The two subtrees under one node; a leaf that is alone moves up."""
    if left is not None and right is not None:
        summed = left.sum + right.sum
        hashed = _branch_hash(left.commitment, right.commitment)
        return Branch(hashed + summed.to_bytes(8, "big"), summed, left, right)
    only = left or right
    if not isinstance(only, Branch):
        return only
    sides = (EMPTY, only.commitment) if left is None else (only.commitment, EMPTY)
    return Branch(_branch_hash(*sides) + only.commitment[32:], only.sum, left, right)


# --- changing a tree -----------------------------------------------------------------------------


def build(leaves: Iterable[Leaf]) -> Tree:
    """The tree of these leaves; their keys differ."""
    return update(None, {leaf.key: leaf for leaf in leaves})


def update(tree: Tree, changes: Mapping[bytes, Leaf | None]) -> Tree:
    """The tree after all changes; None takes a leaf away. Each node above a change is hashed once,
    however many are below it: from a change to the next in the order of their keys it goes up to
    where their ways part, and down again. A registry's busiest loop: what is called in it costs."""
    after, keys = dict(changes), sorted(changes)
    places = [int.from_bytes(key, "big") for key in keys]
    beside: list[Tree] = []  # the other sides of all branches above `node`, from the root down
    node, at = tree, 0
    while at < len(keys):
        key, place, below = keys[at], places[at], KEY_BITS - len(beside)
        while isinstance(node, Branch):
            below -= 1
            if place >> below & 1:
                beside.append(node.left)
                node = node.right
            else:
                beside.append(node.right)
                node = node.left
        at += 1
        parting = (place ^ places[at]).bit_length() - 1 if at < len(keys) else KEY_BITS
        if node is None or node.key == key:
            node = after[key]
        elif parting >= below:
            node = _beside(node, after[key], below)
        else:  # more changes end here: the leaf that stands here takes its place among them
            _enter(node, after, keys, places)
            node, at = None, at - 1
            continue
        for bit in range(below, parting):
            if place >> bit & 1:
                left, right = beside.pop(), node
            else:
                left, right = node, beside.pop()
            if left is None or right is None:
                node = _branch(left, right)
                continue
            summed = left.sum + right.sum
            hashed = _branch_begun()
            hashed.update(left.commitment)
            hashed.update(right.commitment)
            node = Branch(hashed.digest() + summed.to_bytes(8, "big"), summed, left, right)
        if at < len(keys):  # ours is the left side, the next change is on the right one
            beside += [None] * (below - parting)
            node, beside[-1] = beside[-1], node
    return node


def _enter(
    leaf: Leaf, after: dict[bytes, Leaf | None], keys: list[bytes], places: list[int]
) -> None:
    """As if the leaf were changed, too, unless it is."""
    if leaf.key not in after:
        after[leaf.key], at = leaf, bisect_left(keys, leaf.key)
        keys.insert(at, leaf.key)
        places.insert(at, int.from_bytes(leaf.key, "big"))


def _beside(old: Leaf, new: Leaf | None, below: int) -> Tree:
    """The subtree of `below` bits with one old leaf after the change of another key."""
    if new is None:
        return old
    place, other = int.from_bytes(old.key, "big"), int.from_bytes(new.key, "big")
    node = _branch(old, new) if place < other else _branch(new, old)
    for bit in range((place ^ other).bit_length(), below):
        node = _branch(None, node) if place >> bit & 1 else _branch(node, None)
    return node


# --- reading a tree ------------------------------------------------------------------------------


def find(tree: Tree, key: bytes) -> Leaf | None:
    """The leaf of a key."""
    end = _way(tree, key)[1]
    return end if end is not None and end.key == key else None


def prove(tree: Tree, key: bytes) -> Proof:
    """That the key is in the tree with its content, or that it is not."""
    siblings, end = _way(tree, key)
    return Proof(
        siblings=tuple(None if node is None else Sibling(node.hash, node.sum) for node in siblings),
        end=None if end is None else (end.key, end.sum, end.content),
    )


def _way(tree: Tree, key: bytes) -> tuple[list[Tree], Leaf | None]:
    siblings: list[Tree] = []
    while isinstance(tree, Branch):
        right = _bit(key, len(siblings))
        siblings.append(tree.left if right else tree.right)
        tree = tree.right if right else tree.left
    return siblings, tree


def _bit(key: bytes, depth: int) -> int:
    return key[depth >> 3] >> (7 - (depth & 7)) & 1


def verify(proof: Proof, key: bytes, expected: bytes, expected_sum: int) -> Leaf | None:
    """The leaf that stands at `key` in the tree with this root and total, or None: nothing does.

    Raises ForgedProof for a proof that shows neither."""
    end, depth = proof.end, len(proof.siblings)
    if depth > KEY_BITS or (end is not None and len(end[0]) != 32):
        raise ForgedProof("no way through a tree looks so")
    if end is not None and any(_bit(end[0], i) != _bit(key, i) for i in range(depth)):
        raise ForgedProof("the leaf at the end does not stand on the way to the key")
    found = None if end is None else _checked_leaf(*end)
    if _climb(proof.siblings, key, found) != (expected, expected_sum):
        raise ForgedProof("the way does not lead to this root and total")
    return found if found is not None and found.key == key else None


def _checked_leaf(key: bytes, sum: int, content: bytes) -> Leaf:
    return leaf(key, _checked_sum(sum), content)


def _checked_sum(sum: int) -> int:
    """A sum that wraps around would let somebody hide a holding behind a negative one."""
    if not 0 <= sum <= QUANTITY_MAX:
        raise ForgedProof("a sum is 0 to 2^63 - 1")
    return sum


def _climb(siblings: Sequence[Sibling | None], key: bytes, end: Leaf | None) -> tuple[bytes, int]:
    """Root and total that the way to `key` leads to."""
    node, summed = EMPTY if end is None else end.commitment, total(end)
    for depth in range(len(siblings) - 1, -1, -1):
        sibling = siblings[depth] or EMPTY_SIBLING
        if len(sibling.hash) != 32:
            raise ForgedProof("a hash is 32 bytes")
        summed = _checked_sum(summed + _checked_sum(sibling.sum))
        other = sibling.hash + sibling.sum.to_bytes(8, "big")
        hashed = _branch_hash(other, node) if _bit(key, depth) else _branch_hash(node, other)
        node = hashed + summed.to_bytes(8, "big")
    return node[:32], summed


EMPTY_SIBLING: Final = Sibling(EMPTY_HASH, 0)
"""An empty subtree."""


# --- comparing two trees -------------------------------------------------------------------------


def shown(told: "Children") -> Sibling:
    """What somebody else says of a place, as the node above commits it. Raises ForgedProof."""
    if told.leaf is not None:
        if len(told.leaf[0]) != 32:
            raise ForgedProof("a place in the tree is 32 bytes")
        found = _checked_leaf(*told.leaf)
        return Sibling(found.hash, found.sum)
    sides = [told.left or EMPTY_SIBLING, told.right or EMPTY_SIBLING]
    if any(len(side.hash) != 32 for side in sides):
        raise ForgedProof("a hash is 32 bytes")
    total = _checked_sum(sum(_checked_sum(side.sum) for side in sides))
    left, right = (side.hash + side.sum.to_bytes(8, "big") for side in sides)
    return Sibling(_branch_hash(left, right), total)


def stands_at(key: bytes, path: str) -> bool:
    """Whether the way to a key leads through `path`, a text of 0 (left) and 1 (right)."""
    return all(_bit(key, depth) == int(side) for depth, side in enumerate(path))


class Children(msgspec.Struct, frozen=True, kw_only=True):
    """What stands at one place of a tree: a leaf, or the hashes of two subtrees. What a peer is
    asked for, place by place, when two trees differ."""

    leaf: tuple[bytes, int, bytes] | None = None  # key, sum, content
    left: Sibling | None = None
    right: Sibling | None = None


def children(tree: Tree, path: str) -> Children:
    """What stands at `path`, a text of 0 (left) and 1 (right); below a leaf there is nothing."""
    for bit in path:
        if not isinstance(tree, Branch):
            return Children()
        tree = tree.right if bit == "1" else tree.left
    if isinstance(tree, Leaf):
        return Children(leaf=(tree.key, tree.sum, tree.content))
    if tree is None:
        return Children()
    sides = [
        None if node is None else Sibling(node.hash, node.sum) for node in (tree.left, tree.right)
    ]
    return Children(left=sides[0], right=sides[1])


def leaves(tree: Tree) -> list[Leaf]:
    """All leaves, by key."""
    found: list[Leaf] = []
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, Branch):
            nodes += [node.right, node.left]
        elif node is not None:
            found.append(node)
    return found


def differences(ours: Tree, theirs: Tree) -> dict[bytes, tuple[Leaf | None, Leaf | None]]:
    """The keys at which two trees differ, with the leaf of each: the work is in proportion to the
    differences, not to the trees."""
    found: dict[bytes, tuple[Leaf | None, Leaf | None]] = {}
    pairs = [(ours, theirs)]
    while pairs:
        mine, other = pairs.pop()
        if root(mine) == root(other):
            continue
        if isinstance(mine, Branch) and isinstance(other, Branch):
            pairs += [(mine.left, other.left), (mine.right, other.right)]
            continue
        found |= _uneven(leaves(mine), leaves(other))
    return found


def _uneven(
    ours: Sequence[Leaf], theirs: Sequence[Leaf]
) -> dict[bytes, tuple[Leaf | None, Leaf | None]]:
    mine, other = {leaf.key: leaf for leaf in ours}, {leaf.key: leaf for leaf in theirs}
    return {
        key: (mine.get(key), other.get(key))
        for key in mine.keys() | other.keys()
        if mine.get(key) != other.get(key)
    }
