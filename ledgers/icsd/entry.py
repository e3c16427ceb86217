"""What stands in the log: bundles of entries, cuts, votes. Who signed it, and what it says.

Every message is a `Signed`: the name of a registry, the exact bytes of a body, and its signature
over a domain tag and those bytes. The bytes are signed, hashed and archived as they came; nothing
is ever encoded again to be verified. Bodies are MessagePack of the structs below, read strictly:
what cannot be read is no message, for everybody alike.

    ord.<registry>   Bundle   the registry's entries in its own order; each names the one before
    ord.cut          Cut      closes a block: everything since the cut before it
    vote.<registry>  Vote     what the registry makes of a block (told, not stored)
"""

import hashlib
from typing import Final, NewType

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from htlc.units import SECOND, Duration, Instant
from ledgers.administration import Act
from ledgers.icsd.epoch import Member, RegistryId
from ledgers.parties import Principal
from ledgers.port import Operation

Hash = NewType("Hash", bytes)
"""SHA-256, 32 bytes."""

NOTHING: Final = Hash(bytes(32))
"""The hash before the first: of the block before height 1, of the bundle before sequence 1."""

CUT_SUBJECT: Final = "ord.cut"

ENTRIES_MAX: Final = 500
"""Entries of one bundle: with one bundle in flight per registry the next ones gather meanwhile, so
larger ones would only make everybody's block coarser."""

STEP_MAX: Final = Duration(20 * SECOND)
"""How far the time of a block may be after that of the one before (the first may have any): four
heartbeats. A cut with a wrong time then holds the network up for so long at most, until the clocks
of the honest come near it; after a long stop, time is brought up by this much a block."""

MESSAGE_MAX: Final = 1 << 20
"""Bytes of one message: what the log is configured to take (`max_msg_size`)."""


def bundle_subject(registry: RegistryId) -> str:
    return f"ord.{registry}"


def vote_subject(registry: RegistryId) -> str:
    return f"vote.{registry}"


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """The members of the next epoch. Takes effect only with a quorum of signatures of the epoch
    that it ends, and with those of all members that are new (`proof.membership_statement`)."""

    epoch: int  # the number of the epoch that begins
    members: tuple[Member, ...]
    signatures: tuple[tuple[RegistryId, bytes], ...]


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing asked of the book; exactly one of the three. The registry vouches for `by`: it
    has authenticated that principal, who is one of its own."""

    by: Principal
    operation: Operation | None = None
    act: Act | None = None
    membership: Membership | None = None


class Bundle(msgspec.Struct, frozen=True, kw_only=True, tag="bundle"):
    """Entries of one registry. Only the next sequence counts, so that a log which repeats or
    reorders its bundles changes nothing, and none can be left out unseen."""

    epoch: int
    registry: RegistryId
    sequence: int  # the registry's first has 1, whatever the epoch
    previous: Hash  # `Signed.hash` of the bundle before
    entries: tuple[Entry, ...]


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What a registry says of a block: the order (block), the result and the book after it."""

    epoch: int
    height: int
    block: Hash  # `proof.Header.hash`
    results: Hash  # root over the answers, so that a different computation shows where it began
    state: Hash  # root over the book, the registries' sequences and the members


class Vote(msgspec.Struct, frozen=True, kw_only=True, tag="vote"):
    registry: RegistryId
    statement: Statement


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """A quorum of equal votes, each with the signature of its `Signed` form."""

    statement: Statement
    signatures: tuple[tuple[RegistryId, bytes], ...]  # in the order of the names


class Cut(msgspec.Struct, frozen=True, kw_only=True, tag="cut"):
    """Closes the block at `height`, at ledger time `at`. Carries the certificate of the block
    before, which makes that one's parent final."""

    epoch: int
    registry: RegistryId
    height: int
    at: Instant
    certificate: Certificate | None  # none at the first height of all


Body = Bundle | Cut | Vote


class Signed(msgspec.Struct, frozen=True, array_like=True):
    """A body as its registry signed it."""

    registry: RegistryId
    body: bytes
    signature: bytes

    @property
    def hash(self) -> Hash:
        return Hash(hashlib.sha256(self.body).digest())


SIGNATURE_TAG: Final = b"lockstep-icsd-v1\x00"
"""Before the body in what is signed: a signature here can never pass for one on anything else that
the same key may sign."""

MADE_REMEMBERED: Final = 16
"""Own signatures that are not verified when they come back from the log or in a certificate: a
vote, a bundle and a cut a block, of the few blocks that are under way."""

_made: Final[dict[bytes, tuple[bytes, bytes]]] = {}  # signature: body and public key

_signed_decoder: Final = msgspec.msgpack.Decoder(Signed)
_body_decoder: Final = msgspec.msgpack.Decoder(Body)
_encoder: Final = msgspec.msgpack.Encoder()


def encode(body: Body) -> bytes:
    return _encoder.encode(body)


def sign(body: Body, key: Ed25519PrivateKey) -> Signed:
    data = encode(body)
    signature = key.sign(SIGNATURE_TAG + data)
    while len(_made) >= MADE_REMEMBERED:
        del _made[next(iter(_made))]
    _made[signature] = data, key.public_key().public_bytes_raw()
    return Signed(body.registry, data, signature)


def verified(signature: bytes, body: bytes, public_key: bytes) -> bool:
    """Whether `public_key` signed the body."""
    if _made.get(signature) == (body, public_key):
        return True
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, SIGNATURE_TAG + body)
    except (InvalidSignature, ValueError):
        return False
    return True


def pack(signed: Signed) -> bytes:
    """As it is published."""
    return _encoder.encode(signed)


def unpack(data: bytes) -> tuple[Signed, Body] | None:
    """The message with its body; None for what is none, or names another registry inside than
    outside. The signature is not verified here: it needs the epoch."""
    try:
        signed = _signed_decoder.decode(data)
        body = _body_decoder.decode(signed.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return (signed, body) if body.registry == signed.registry else None
