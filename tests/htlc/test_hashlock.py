"""Hash locks against published vectors: SM3 (Botan), Pontes keys, Keccak-256."""

import hashlib
import json
from pathlib import Path

import pytest

from htlc.hashlock import PREIMAGE_BYTES, Algorithm, Encoding, HashFunction

VECTORS = Path(__file__).parent.parent / "vectors"
FUNCTIONS = [HashFunction(algorithm=a, encoding=e) for a in Algorithm for e in Encoding]
KEY = bytes(range(1, 33))


def _sm3_cases() -> list[tuple[bytes, str]]:
    lines = (VECTORS / "sm3" / "botan_sm3.vec").read_text().splitlines()
    pairs = [line.partition(" = ")[::2] for line in lines if " = " in line]
    texts = [bytes.fromhex(value) for name, value in pairs if name == "In"]
    digests = [value.lower() for name, value in pairs if name == "Out"]
    return list(zip(texts, digests, strict=True))


def test_sm3_gives_every_published_digest() -> None:
    sm3, cases = HashFunction(algorithm=Algorithm.SM3), _sm3_cases()
    assert len(cases) == 139
    for text, expected in cases:
        assert sm3.digest(text).hex() == expected


def test_pontes_hashes_the_hex_text_of_the_key() -> None:
    cases = json.loads((VECTORS / "pontes" / "pontes_hashlink_vectors.json").read_bytes())
    text = HashFunction(encoding=Encoding.HEX_TEXT)
    assert cases["hashlock"]
    for case in cases["hashlock"]:
        key = bytes.fromhex(case["key_hex_text"])
        assert text.digest(key).hex() == case["expected_hash_hex"]
        wrong = HashFunction().digest(key).hex()
        assert wrong == case["sha256_of_decoded_bytes_which_must_NOT_match"]
        assert text.lock(key).opens(key)


def test_keccak_is_the_one_of_ethereum_and_not_sha3() -> None:
    """The digest of nothing: as in Ethereum's empty code hash (Yellow Paper, 4.1)."""
    keccak = HashFunction(algorithm=Algorithm.KECCAK256)
    expected = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak.digest(b"").hex() == expected
    assert keccak.digest(KEY) != hashlib.sha3_256(KEY).digest()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_lock_opens_for_its_key_only(function: HashFunction) -> None:
    lock = function.lock(KEY)
    assert lock.function == function and lock.opens(KEY)
    assert not any(lock.opens(KEY[:i] + bytes([KEY[i] ^ 1]) + KEY[i + 1 :]) for i in range(32))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_preimage_of_another_length_opens_nothing(function: HashFunction) -> None:
    for length in (0, 31, 33, 64):
        preimage = KEY[:1] * length
        lock = type(function.lock(KEY))(
            algorithm=function.algorithm,
            encoding=function.encoding,
            digest=function.digest(preimage),
        )
        assert not lock.opens(preimage)


def test_the_same_key_has_another_digest_under_every_function() -> None:
    assert len({function.lock(KEY).digest for function in FUNCTIONS}) == len(FUNCTIONS)
    assert len(KEY) == PREIMAGE_BYTES
