"""The Merkle-sum tree: shape without history, proofs that hold, forgeries that do not."""

import hashlib
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledgers.icsd import tree
from ledgers.icsd.tree import ForgedProof, Leaf, Sibling, Tree

NAMES = st.text("abcd", min_size=1, max_size=3)
MAPS = st.dictionaries(NAMES, st.integers(1, 2**40), max_size=40)


def leaf_of(name: str, quantity: int) -> Leaf:
    return tree.leaf(tree.key_of(name), quantity, quantity.to_bytes(8, "big"))


def built(map: Mapping[str, int]) -> Tree:
    return tree.build(leaf_of(name, quantity) for name, quantity in map.items())


@given(MAPS, MAPS, st.sets(NAMES))
@settings(deadline=None, max_examples=60)
def test_the_shape_knows_no_history(
    first: dict[str, int], second: dict[str, int], gone: set[str]
) -> None:
    """Insertions, changes and removals in any order give the tree that is built at once."""
    step = built(first)
    for name, quantity in second.items():
        step = tree.update(step, {tree.key_of(name): leaf_of(name, quantity)})
    step = tree.update(step, {tree.key_of(name): None for name in gone})
    left = {name: quantity for name, quantity in (first | second).items() if name not in gone}
    assert step == built(left)
    assert tree.total(step) == sum(left.values())
    assert [leaf.key for leaf in tree.leaves(step)] == sorted(map(tree.key_of, left))


NEAR = st.builds(
    lambda first, last: (bytes(first) + bytes(32))[:30] + bytes(last),
    st.lists(st.sampled_from((0, 1, 128, 255)), max_size=2),
    st.tuples(st.sampled_from((0, 1, 3)), st.sampled_from((0, 128))),
)
"""Keys that share many bits, as those of names that somebody has searched for."""


def by_definition(leaves: list[Leaf], depth: int) -> bytes:
    """The commitment of the subtree of these leaves, as the module's docstring says it."""
    if len(leaves) < 2:
        return leaves[0].commitment if leaves else bytes(40)
    sides: tuple[list[Leaf], list[Leaf]] = [], []
    for leaf in leaves:
        sides[leaf.key[depth // 8] >> (7 - depth % 8) & 1].append(leaf)
    left, right = (by_definition(side, depth + 1) for side in sides)
    summed = sum(leaf.sum for leaf in leaves).to_bytes(8, "big")
    return hashlib.sha256(b"\x01" + left + right).digest() + summed


@given(st.sets(NEAR, max_size=12), st.dictionaries(NEAR, st.booleans(), max_size=12))
@settings(deadline=None, max_examples=100)
def test_near_keys_make_the_tree_of_the_definition(
    first: set[bytes], second: dict[bytes, bool]
) -> None:
    """Changes that go down the same way for long, and that end at the leaf of another key."""
    map: dict[bytes, Leaf] = {key: tree.leaf(key, 1, b"old") for key in first}
    changes = {key: tree.leaf(key, 2, b"new") if stays else None for key, stays in second.items()}
    whole = tree.update(tree.build(map.values()), changes)
    left = [leaf for leaf in (map | changes).values() if leaf is not None]
    assert (bytes(40) if whole is None else whole.commitment) == by_definition(left, 0)
    assert whole == tree.build(left)


@given(MAPS, NAMES)
@settings(deadline=None, max_examples=60)
def test_every_key_is_proved_in_or_out(map: dict[str, int], name: str) -> None:
    whole = built(map)
    for key in [*map, name]:
        proof = tree.prove(whole, tree.key_of(key))
        found = tree.verify(proof, tree.key_of(key), tree.root(whole), tree.total(whole))
        assert (None if found is None else found.sum) == map.get(key)
        assert tree.find(whole, tree.key_of(key)) == found


@given(MAPS, MAPS)
@settings(deadline=None, max_examples=60)
def test_differences_are_found(ours: dict[str, int], theirs: dict[str, int]) -> None:
    found = tree.differences(built(ours), built(theirs))
    expected = {
        tree.key_of(name)
        for name in ours.keys() | theirs.keys()
        if ours.get(name) != theirs.get(name)
    }
    assert found.keys() == expected


@given(MAPS.filter(bool), st.data())
@settings(deadline=None, max_examples=60)
def test_no_altered_proof_shows_anything_else(map: dict[str, int], data: st.DataObject) -> None:
    """Whatever one changes in a proof of a key, it is refused or says the same."""
    whole = built(map)
    name = data.draw(st.sampled_from(sorted(map)) | NAMES)
    key = tree.key_of(name)
    raw = bytearray(msgspec.msgpack.encode(tree.prove(whole, key)))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        proof = msgspec.msgpack.decode(bytes(raw), type=tree.Proof)
        found = tree.verify(proof, key, tree.root(whole), tree.total(whole))
    except (ForgedProof, msgspec.DecodeError, UnicodeDecodeError):
        return
    assert (None if found is None else found.sum) == map.get(name)


# --- forgeries by name ---------------------------------------------------------------------------

HOLDINGS = {f"holder-{i}": i + 1 for i in range(64)}
WHOLE = built(HOLDINGS)
ROOT, TOTAL = tree.root(WHOLE), tree.total(WHOLE)
KEY = tree.key_of("holder-7")
PROOF = tree.prove(WHOLE, KEY)


def forged(**changed: object) -> tree.Proof:
    return msgspec.structs.replace(PROOF, **changed)


def end(key: bytes = KEY, sum: int = 8, content: bytes = (8).to_bytes(8, "big")) -> object:
    return key, sum, content


def refused(proof: tree.Proof, rule: str, total: int = TOTAL, key: bytes = KEY) -> None:
    with pytest.raises(ForgedProof, match=rule):
        tree.verify(proof, key, ROOT, total)


def test_another_quantity_is_refused() -> None:
    refused(forged(end=end(sum=9)), "does not lead")
    refused(forged(end=end(content=(9).to_bytes(8, "big"))), "does not lead")


def test_another_total_is_refused() -> None:
    refused(PROOF, "does not lead", total=TOTAL + 1)


def test_a_sum_moved_from_a_sibling_is_refused() -> None:
    at = next(i for i, sibling in enumerate(PROOF.siblings) if sibling is not None)
    sibling = PROOF.siblings[at]
    assert sibling is not None
    less = Sibling(sibling.hash, sibling.sum - 1)
    siblings = (*PROOF.siblings[:at], less, *PROOF.siblings[at + 1 :])
    refused(forged(siblings=siblings, end=end(sum=9)), "does not lead")


def test_a_false_absence_is_refused() -> None:
    refused(forged(end=None), "does not lead")
    other = tree.find(WHOLE, tree.key_of("holder-8"))
    assert other is not None
    refused(forged(end=(other.key, other.sum, other.content)), "does not stand on the way")


def test_a_leaf_elsewhere_does_not_show_absence() -> None:
    """The neighbour's own proof, shown for a key that does not share its way."""
    other = tree.prove(WHOLE, tree.key_of("holder-8"))
    refused(other, "does not stand on the way")


def test_sums_that_would_wrap_around_are_refused() -> None:
    refused(forged(end=end(sum=2**63)), "a sum is")
    refused(forged(end=end(sum=-1)), "a sum is")
    siblings = (Sibling(bytes(32), 2**63 - 1), *PROOF.siblings[1:])
    refused(forged(siblings=siblings), "a sum is")


def test_hashes_of_another_length_are_refused() -> None:
    refused(forged(siblings=(Sibling(b"short", 0), *PROOF.siblings[1:])), "a hash is 32 bytes")
    refused(forged(end=end(key=b"short")), "no way through a tree")
    refused(forged(siblings=(None,) * 257), "no way through a tree")


def test_a_branch_never_passes_for_a_leaf() -> None:
    """Two hashed children as the content of a leaf: another prefix, another hash."""
    left, right = leaf_of("a", 1), leaf_of("b", 2)
    pair = tree.build([left, right])
    children = left.hash + (1).to_bytes(8, "big") + right.hash + (2).to_bytes(8, "big")
    assert tree.root(pair) != hashlib.sha256(b"\x00" + children).digest()


def test_children_lead_from_the_root_to_a_leaf() -> None:
    path = ""
    while (node := tree.children(WHOLE, path)).leaf is None:
        assert node.left is not None or node.right is not None
        path += "0" if node.left is not None else "1"
    assert node.leaf[0] == tree.leaves(WHOLE)[0].key
    assert tree.children(WHOLE, path + "0") == tree.Children()


def test_an_older_tree_stays_as_it_was() -> None:
    before = ROOT
    changed = tree.update(WHOLE, {KEY: None})
    assert tree.root(changed) != before == tree.root(built(HOLDINGS))
    assert tree.find(WHOLE, KEY) is not None and tree.find(changed, KEY) is None
