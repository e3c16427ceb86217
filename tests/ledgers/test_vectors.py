"""The published vectors, verified without our code; and our code makes just these.

The first part needs hashlib, json and an Ed25519 verifier: it is the program that a third party
would write from `ledgers/README.md`.
"""

import copy
import hashlib
import json
from typing import Any

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ledgers.block import Leaf, SideJson
from ledgers.wire import HashlockJson, TermsJson
from tests.ledgers.vectors import FILE, text

VECTORS = json.loads(FILE.read_bytes())


def canonical(content: Any) -> bytes:
    """RFC 8785 for content of ASCII strings."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def merkle_root(hashes: list[bytes]) -> bytes:
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while 2 * split < len(hashes):
        split *= 2
    return sha256(b"\x01", merkle_root(hashes[:split]), merkle_root(hashes[split:]))


def verify(blocks: list[Any], public_key: str) -> None:
    """Raises unless the dump is a whole chain of blocks signed by the key."""
    key, previous = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)), "00" * 32
    for height, block in enumerate(blocks, start=1):
        header = block["header"]
        block_hash = sha256(canonical(header))
        root = merkle_root([sha256(b"\x00", canonical(leaf)) for leaf in block["leaves"]])
        assert header["height"] == str(height) and header["previous"] == previous
        assert header["root"] == root.hex() and header["count"] == str(len(block["leaves"]))
        assert {leaf["at"] for leaf in block["leaves"]} == {header["at"]}
        assert block["hash"] == block_hash.hex()
        key.verify(bytes.fromhex(block["signature"]), b"lockstep-ledger-block-v1\x00" + block_hash)
        previous = block["hash"]


def balances(blocks: list[Any]) -> dict[tuple[str, str, str], int]:
    """What the leaves add up to: account, asset, side."""
    sums: dict[tuple[str, str, str], int] = {}
    for leaf in (leaf for block in blocks for leaf in block["leaves"]):
        for side, sign in (("debit", -1), ("credit", 1)):
            place = leaf[side]["account"], leaf["asset"], leaf[side]["balance"]
            sums[place] = sums.get(place, 0) + sign * int(leaf["quantity"])
    return sums


def test_a_dump_is_verified_without_our_code() -> None:
    verify(VECTORS["blocks"], VECTORS["public_key"])


def test_the_leaves_tell_every_balance() -> None:
    sums = balances(VECTORS["blocks"])
    assert sum(sums.values()) == 0
    assert sums["alice-1", "EUR", "available"] == 1_000_000 - 100 - 100 - 40
    assert sums["alice-1", "EUR", "locked"] == 100
    assert sums["bob-1", "EUR", "available"] == 1_000_000 + 100
    assert sums["reserves", "EUR", "available"] == -2_000_000


def test_every_kind_of_entry_is_among_them() -> None:
    kinds = {leaf["op"] for block in VECTORS["blocks"] for leaf in block["leaves"]}
    assert kinds == {"lock", "execute", "cancel", "refund", "issue", "redeem", "transfer"}


def test_an_inclusion_proof_is_verified_without_our_code() -> None:
    for proof in VECTORS["proofs"]:
        node, index = sha256(b"\x00", canonical(proof["leaf"])), int(proof["index"])
        last = int(proof["header"]["count"]) - 1
        for sibling in map(bytes.fromhex, proof["path"]):
            if index % 2 or index == last:
                node = sha256(b"\x01", sibling, node)
                while index % 2 == 0 and index:
                    index, last = index // 2, last // 2
            else:
                node = sha256(b"\x01", node, sibling)
            index, last = index // 2, last // 2
        assert node.hex() == proof["header"]["root"] and last == 0


@pytest.mark.parametrize("place", ["leaf", "header", "signature", "order", "gap"])
def test_a_dump_that_was_touched_is_found_out(place: str) -> None:
    blocks = copy.deepcopy(VECTORS["blocks"])
    match place:
        case "leaf":
            blocks[1]["leaves"][0]["quantity"] = "101"
        case "header":
            blocks[1]["header"]["at"] = "1700000002000000000"
        case "signature":
            blocks[1]["signature"] = blocks[2]["signature"]
        case "order":
            blocks[1]["leaves"].reverse()
        case _:
            del blocks[1]
    with pytest.raises((AssertionError, InvalidSignature)):
        verify(blocks, VECTORS["public_key"])


def test_our_code_makes_just_these_bytes() -> None:
    assert text() == FILE.read_bytes()


@pytest.mark.parametrize("struct", [Leaf, SideJson, TermsJson, HashlockJson])
def test_members_of_a_leaf_are_declared_in_the_order_of_rfc_8785(struct: type) -> None:
    """They are encoded as declared: another order would be another leaf."""
    names = [field.encode_name for field in msgspec.structs.fields(struct)]
    assert names == sorted(names)
