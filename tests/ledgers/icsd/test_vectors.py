"""The published vectors of the network, verified without our code; and our code makes just these.

The first part needs hashlib, json and an Ed25519 verifier: it is the program that a third party
would write from `ledgers/icsd/README.md`.
"""

import copy
import hashlib
import json
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.ledgers.icsd.vectors import FILE, text

VECTORS = json.loads(FILE.read_bytes())


def canonical(content: Any) -> bytes:
    """RFC 8785 for content of ASCII strings."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def merkle_root(hashes: list[bytes]) -> bytes:
    if len(hashes) < 2:
        return hashes[0] if hashes else sha256()
    split = 1
    while 2 * split < len(hashes):
        split *= 2
    return sha256(b"\x01", merkle_root(hashes[:split]), merkle_root(hashes[split:]))


def packed(value: Any) -> bytes:
    """MessagePack as far as a vote and a certificate need it: maps in the order of their fields."""
    if isinstance(value, dict):
        body = b"".join(packed(key) + packed(member) for key, member in value.items())
        return bytes([0x80 | len(value)]) + body
    if isinstance(value, list):
        return bytes([0x90 | len(value)]) + b"".join(map(packed, value))
    if isinstance(value, str):
        assert len(value) < 32
        return bytes([0xA0 | len(value)]) + value.encode()
    if isinstance(value, bytes):
        return bytes([0xC4, len(value)]) + value
    assert 0 <= value < 128
    return bytes([value])


def statement_of(block: Any) -> dict[str, Any]:
    said = block["statement"]
    numbers = {name: int(said[name]) for name in ("epoch", "height")}
    return numbers | {name: bytes.fromhex(said[name]) for name in ("block", "results", "state")}


def verify(network: Any) -> None:
    """Raises unless the blocks are one chain, each signed by a quorum of the members."""
    previous, carried = bytes(32), bytes(32)
    for height, block in enumerate(network["blocks"], start=1):
        header, said = block["header"], block["statement"]
        assert (header["network"], header["height"]) == (network["network"], str(height))
        assert bytes.fromhex(header["previous"]) == previous
        assert bytes.fromhex(header["certificate"]) == carried
        messages = [sha256(b"\x00", bytes.fromhex(message)) for message in block["messages"]]
        assert header["operations"] == merkle_root(messages).hex()
        assert header["count"] == str(len(messages))
        previous = sha256(b"lockstep-icsd-block-v1\x00", canonical(header))
        assert block["hash"] == said["block"] == previous.hex()
        answers = [sha256(b"\x00", canonical(answer)) for answer in block["answers"]]
        assert said["results"] == merkle_root(answers).hex()
        carried = verify_signatures(network, block)


def verify_signatures(network: Any, block: Any) -> bytes:
    """The hash of the certificate of a block that a quorum signed."""
    members, statement = network["epoch"]["members"], statement_of(block)
    signatures = sorted((name, bytes.fromhex(sig)) for name, sig in block["signatures"].items())
    assert len(signatures) >= int(network["epoch"]["quorum"])
    for name, signature in signatures:
        body = packed({"type": "vote", "registry": name, "statement": statement})
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(members[name]))
        key.verify(signature, b"lockstep-icsd-v1\x00" + body)
    certificate = {"statement": statement, "signatures": [[n, s] for n, s in signatures]}
    return sha256(packed(certificate))


# --- proofs --------------------------------------------------------------------------------------


def climbed(way: Any, key: bytes) -> tuple[bytes, int, bytes | None]:
    """Root and total that a way leads to, and the content at its end if that is the key's."""
    end, node, total = way.get("end"), bytes(32), 0
    if end is not None:
        total = int(end["sum"])
        parts = bytes.fromhex(end["key"]), total.to_bytes(8, "big"), bytes.fromhex(end["content"])
        node = sha256(b"\x00", *parts)
    for depth in reversed(range(len(way["siblings"]))):
        sibling = way["siblings"][depth] or {"hash": "00" * 32, "sum": "0"}
        other, summed = bytes.fromhex(sibling["hash"]), int(sibling["sum"])
        pair = [(node, total), (other, summed)]
        if key[depth // 8] >> (7 - depth % 8) & 1:
            pair.reverse()
        node = sha256(b"\x01", *(part + sum.to_bytes(8, "big") for part, sum in pair))
        total += summed
    found = end is not None and bytes.fromhex(end["key"]) == key
    return node, total, bytes.fromhex(end["content"]) if found else None


def held(proof: Any, state_root: str) -> tuple[int, int]:
    """What the account has, available and locked. Raises unless the proof leads to the state."""
    state, issuance = proof["issue"]["state"], proof["issue"]["issuance"]
    assert sha256(b"lockstep-icsd-state-v1\x00", canonical(state)).hex() == state_root
    root, count, content = climbed(proof["issue"]["way"], sha256(issuance["asset"].encode()))
    assert (root.hex(), str(count)) == (state["holdings"], state["instruments"])
    parts = [
        [p["registry"], p["root"], p["held"], p.get("omnibus", "0")] for p in issuance["parts"]
    ]
    assert content == sha256(canonical(issuance | {"parts": parts}))
    assert int(issuance["issued"]) == sum(int(part[2]) for part in parts)
    root, count, content = climbed(proof["home"], sha256(f"account:{proof['account']}".encode()))
    assert (root.hex(), str(count)) == (state["records"], state["count"])
    assert content == sha256(canonical({"home": proof["registry"], "account": proof["content"]}))
    part = next(p for p in parts if p[0] == proof["registry"])
    root, total, content = climbed(proof["way"], sha256(proof["account"].encode()))
    assert (root.hex(), str(total)) == (part[1], part[2])
    if content is None:
        return 0, 0
    return int.from_bytes(content[:8], "big"), int.from_bytes(content[8:], "big")


def was_done(proof: Any, id: str, state_root: str) -> int:
    """The height of the block that did it. Raises unless the proof leads to the state."""
    state, height = proof["state"], int(proof["height"])
    assert sha256(b"lockstep-icsd-state-v1\x00", canonical(state)).hex() == state_root
    bits = bin(height)[2:]
    key = int(f"{len(bits):08b}{bits:0<248}", 2).to_bytes(32, "big")
    root, count, content = climbed(proof["way"], key)
    assert (root.hex(), str(count)) == (state["operations"], state["done"])
    node = sha256(b"\x00", bytes.fromhex(proof["digest"]), id.encode())
    size, position = int(proof["way"]["end"]["sum"]), int(proof["position"])
    assert content == audited(node, position, size, [bytes.fromhex(n) for n in proof["path"]])
    return height


def audited(node: bytes, position: int, size: int, path: list[bytes]) -> bytes:
    """The root that an audit path leads to (RFC 6962, 2.1.1), from its top down."""
    if size == 1:
        assert not path
        return node
    split = 1
    while 2 * split < size:
        split *= 2
    if position < split:
        return sha256(b"\x01", audited(node, position, split, path[:-1]), path[-1])
    return sha256(b"\x01", path[-1], audited(node, position - split, size - split, path[:-1]))


def test_the_blocks_are_one_chain_that_a_quorum_signed() -> None:
    verify(VECTORS)
    assert VECTORS["blocks"][-2]["answers"][0]["refusal"] == "NOT_AUTHORISED"
    assert VECTORS["blocks"][-2]["ignored"] == [["1", "wrong-sequence"]]


def test_the_holdings_are_proved() -> None:
    state = VECTORS["blocks"][-1]["statement"]["state"]
    assert [held(proof, state) for proof in VECTORS["proofs"]] == [(415, 0), (0, 0)]


def test_the_operations_are_proved() -> None:
    height, state = len(VECTORS["blocks"]), VECTORS["blocks"][-1]["statement"]["state"]
    proofs = VECTORS["operations"]
    assert {id: was_done(proof, id, state) for id, proof in proofs.items()} == {
        "more-2": height,
        "more-5": height,
    }
    with pytest.raises(AssertionError):
        was_done(proofs["more-2"], "more-5", state)


@pytest.mark.parametrize("place", ["messages", "answers", "hash", "signatures"])
def test_an_altered_block_is_found(place: str) -> None:
    altered = copy.deepcopy(VECTORS)
    block = altered["blocks"][1]
    if place == "messages":
        block["messages"][0] = block["messages"][0][:-2] + "00"
    elif place == "answers":
        block["answers"][0]["at"] = "1"
    elif place == "hash":
        block["hash"] = block["statement"]["block"] = "11" * 32
    else:
        block["signatures"]["GE"] = "22" * 64
    with pytest.raises((AssertionError, InvalidSignature)):
        verify(altered)


def test_our_code_makes_these_vectors() -> None:
    assert text() == FILE.read_bytes()
