"""Merkle trees against the published cases of transparency-dev/merkle and the RFC's text."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from ledgers import merkle

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "vectors/rfc6962/merkle_cases.jsonl")
    .read_text()
    .splitlines()
]


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)


def _of(kind: str) -> list[dict[str, Any]]:
    """The cases of one kind; proofs of subtrees are beyond RFC 6962."""
    return [case for case in CASES if case["file"].split("/")[0] == kind]


def test_inclusion_proofs_are_judged_as_published() -> None:
    assert len(_of("inclusion")) == 49
    for case in _of("inclusion"):
        told = merkle.verify_inclusion(
            _bytes(case["leafHash"]),
            case["leafIdx"],
            case["treeSize"],
            [_bytes(node) for node in case["proof"] or []],
            _bytes(case["root"]),
        )
        assert told is not case["wantErr"], case["file"]


def test_consistency_proofs_are_judged_as_published() -> None:
    assert len(_of("consistency")) == 49
    for case in _of("consistency"):
        told = merkle.verify_consistency(
            case["size1"],
            case["size2"],
            _bytes(case["root1"]),
            _bytes(case["root2"]),
            [_bytes(node) for node in case["proof"] or []],
        )
        assert told is not case["wantErr"], case["file"]


def test_nothing_is_consistent_with_an_empty_tree() -> None:
    root = merkle.root([merkle.leaf_hash(b"a")])
    assert not merkle.verify_consistency(0, 1, merkle.EMPTY_ROOT, root, [])


def _root_by_the_text(hashes: list[bytes]) -> bytes:
    """RFC 6962, 2.1, as it is written: split at the largest power of two below the size."""
    if len(hashes) < 2:
        return hashes[0] if hashes else merkle.EMPTY_ROOT
    split = 1 << ((len(hashes) - 1).bit_length() - 1)
    left, right = _root_by_the_text(hashes[:split]), _root_by_the_text(hashes[split:])
    return merkle.node_hash(left, right)


@pytest.mark.parametrize("size", [*range(35), 100, 257])
def test_roots_and_inclusion_proofs_of_every_leaf(size: int) -> None:
    hashes = [merkle.leaf_hash(bytes([n % 256, n // 256])) for n in range(size)]
    root = merkle.root(hashes)
    assert root == _root_by_the_text(hashes)
    for index in range(size):
        proof = merkle.inclusion_proof(hashes, index)
        assert merkle.verify_inclusion(hashes[index], index, size, proof, root)
        assert not merkle.verify_inclusion(hashes[index], index + 1, size, proof, root)
        assert not merkle.verify_inclusion(hashes[index], index, size, [*proof, root], root)
        assert not merkle.verify_inclusion(hashes[index], index, size, proof[1:], root) or not proof


def test_consistency_proofs_of_every_prefix() -> None:
    hashes = [merkle.leaf_hash(bytes([n])) for n in range(20)]
    for new in range(1, 21):
        for old in range(1, new + 1):
            proof = merkle.consistency_proof(hashes[:new], old)
            roots = merkle.root(hashes[:old]), merkle.root(hashes[:new])
            assert merkle.verify_consistency(old, new, *roots, proof)
            assert old == new or not merkle.verify_consistency(old, new, roots[1], roots[1], proof)


def test_a_node_never_passes_for_a_leaf() -> None:
    left, right = merkle.leaf_hash(b"a"), merkle.leaf_hash(b"b")
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)
