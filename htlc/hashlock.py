"""Hash locks: what opens a lock, as each ledger computes it.

The same 32-byte preimage can stand behind locks on ledgers that hash differently: the algorithm
and the encoding of the preimage belong to the lock, not to the key. The length is part of the rule,
because a preimage that one ledger accepts and another refuses (too long for it) would make a swap
one-legged (Lightning: `OP_SIZE 32 OP_EQUAL` in every HTLC script, BOLT #3).
"""

import hashlib
from enum import StrEnum
from typing import Final

from Crypto.Hash import keccak
from cryptography.hazmat.primitives import hashes

from htlc.units import Value

PREIMAGE_BYTES: Final = 32
"""A preimage is exactly this long on every ledger: 256 bits match the strength of the digests."""

DIGEST_BYTES: Final = 32
"""All three algorithms give 256 bits."""

PROBE_PREIMAGE: Final = bytes(range(PREIMAGE_BYTES))
"""The throw-away preimage of the preflight: public, never used as a key (`Description.probe`)."""


class Algorithm(StrEnum):
    """The hash function of a ledger."""

    SHA256 = "sha256"  # FIPS 180-4
    SM3 = "sm3"  # GB/T 32905-2016
    KECCAK256 = "keccak256"  # the pre-standard padding of Ethereum; not SHA3-256

    __hash__ = str.__hash__  # that of Enum is Python code, run for each look into a dictionary


class Encoding(StrEnum):
    """What of the preimage goes into the hash function."""

    RAW = "raw"  # the 32 bytes
    HEX_TEXT = "hex-text"  # the 64 ASCII characters of its lower-case hex (Pontes EII API)

    __hash__ = str.__hash__


class HashFunction(Value, frozen=True, kw_only=True):
    """How a ledger turns a preimage into a digest."""

    algorithm: Algorithm = Algorithm.SHA256
    encoding: Encoding = Encoding.RAW

    def digest(self, preimage: bytes) -> bytes:
        """The 32-byte digest of `preimage`, which may have any length here (probes, vectors)."""
        return _digest(self.algorithm, self.encoding, preimage)

    def lock(self, preimage: bytes) -> "Hashlock":
        """The lock that `preimage` opens on a ledger with this hash function."""
        assert len(preimage) == PREIMAGE_BYTES, "keys are 32 bytes by construction"
        return Hashlock(
            algorithm=self.algorithm,
            encoding=self.encoding,
            digest=_digest(self.algorithm, self.encoding, preimage),
        )


class Hashlock(Value, frozen=True, kw_only=True):
    """A lock that opens for whoever shows the preimage of `digest`."""

    algorithm: Algorithm
    encoding: Encoding
    digest: bytes

    @property
    def function(self) -> HashFunction:
        return HashFunction(algorithm=self.algorithm, encoding=self.encoding)

    def opens(self, preimage: bytes) -> bool:
        """Whether `preimage` is the key: 32 bytes long, and it hashes to the digest."""
        return (
            len(preimage) == PREIMAGE_BYTES
            and _digest(self.algorithm, self.encoding, preimage) == self.digest
        )


def _digest(algorithm: Algorithm, encoding: Encoding, preimage: bytes) -> bytes:
    text = preimage if encoding is Encoding.RAW else preimage.hex().encode("ascii")
    match algorithm:
        case Algorithm.SHA256:
            return hashlib.sha256(text).digest()
        case Algorithm.SM3:
            digest = hashes.Hash(hashes.SM3())
            digest.update(text)
            return digest.finalize()
        case Algorithm.KECCAK256:
            return keccak.new(data=text, digest_bits=8 * DIGEST_BYTES).digest()
