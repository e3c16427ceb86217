"""Blocks: what a batch changed, hashed into a chain and signed by the ledger.

A leaf is the canonical JSON (RFC 8785) of one entry. The root of a block is the Merkle root of its
leaves (RFC 6962); the header carries it with the hash of the block before. The hash of a block is
SHA-256 over its canonical header, and the signature is Ed25519 (RFC 8032) over a domain tag and
that hash. `README.md` says the same for those who verify without this code.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from htlc.canonical import canonical
from htlc.contract import Htlc, Status
from htlc.units import AccountId, AssetId, Instant, LedgerId, Quantity
from ledgers import merkle
from ledgers.book import SIDES, Effect, Kind, Side
from ledgers.port import Fact
from ledgers.scalars import Integer, Name
from ledgers.wire import TermsJson, WireStruct, integer, terms_json

SIGNATURE_TAG: Final = b"lockstep-ledger-block-v1\x00"
"""Before the hash in what is signed: a signature on a block can never pass for one on anything
else that the same key may sign."""

GENESIS: Final = bytes(merkle.HASH_BYTES)
"""`previous` of the first block, height 1."""


class SideJson(WireStruct, frozen=True, kw_only=True):
    """One side of an entry: the account, and which of its two balances."""

    account: Name
    balance: Side


class Leaf(WireStruct, frozen=True, kw_only=True):
    """One entry as it is hashed, its members in the order of RFC 8785. `terms` stands in a lock,
    `key` in an execute and a cancel."""

    asset: Name
    at: Integer
    by: str
    credit: SideJson
    debit: SideJson
    id: str
    key: str | None = None
    op: Kind
    quantity: Integer
    terms: TermsJson | None = None


class _At(msgspec.Struct, frozen=True):
    """The one member of a leaf that its block repeats."""

    at: str


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What is hashed and signed of a block."""

    ledger: LedgerId
    height: int  # the first block has 1
    previous: bytes  # hash of the block before
    root: bytes  # Merkle root of the leaves
    count: int  # leaves in this block; never 0
    at: Instant  # ledger time of all its entries

    def fields(self) -> dict[str, str]:
        """The header in JSON notation."""
        return {
            "ledger": self.ledger,
            "height": str(self.height),
            "previous": self.previous.hex(),
            "root": self.root.hex(),
            "count": str(self.count),
            "at": str(self.at),
        }

    def hash(self) -> bytes:
        return hashlib.sha256(canonical(self.fields())).digest()


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A header with its hash, its signature and the canonical bytes of its leaves."""

    header: Header
    hash: bytes
    signature: bytes
    leaves: tuple[bytes, ...]


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """That one leaf stands in a signed block."""

    block: Block  # without its leaves
    position: int
    leaf: bytes
    path: tuple[bytes, ...]


class Seal:
    """The name and the key under which one ledger makes blocks."""

    def __init__(self, ledger: LedgerId, key: Ed25519PrivateKey) -> None:
        self.ledger = ledger
        self._key = key
        self.public_key = key.public_key().public_bytes_raw()

    def block(self, height: int, previous: bytes, leaves: Sequence[bytes]) -> Block:
        """The block over `leaves`, whose entries all carry the ledger time of their batch."""
        assert leaves, "there are no empty blocks"
        header = Header(
            ledger=self.ledger,
            height=height,
            previous=previous,
            root=merkle.root(merkle.leaf_hashes(leaves)),
            count=len(leaves),
            at=Instant(integer(_read_at(leaves[0]).at, "at")),
        )
        block_hash = header.hash()
        return Block(
            header=header,
            hash=block_hash,
            signature=self._key.sign(SIGNATURE_TAG + block_hash),
            leaves=tuple(leaves),
        )


def is_signed(block: Block, public_key: bytes) -> bool:
    """Whether the hash is that of the header and the signature that of `public_key`."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(
            block.signature, SIGNATURE_TAG + block.hash
        )
    except InvalidSignature:
        return False
    return block.hash == block.header.hash()


def prove(block: Block, position: int) -> Proof:
    """The inclusion proof of the leaf at `position`."""
    hashes = merkle.leaf_hashes(block.leaves)
    return Proof(
        block=msgspec.structs.replace(block, leaves=()),
        position=position,
        leaf=block.leaves[position],
        path=tuple(merkle.inclusion_proof(hashes, position)),
    )


# --- leaves --------------------------------------------------------------------------------------


_encode_leaf: Final = msgspec.json.Encoder().encode
"""Sorts nothing, which takes as long again: members are declared in the order of RFC 8785."""


def leaf(effect: Effect) -> bytes:
    """The canonical bytes of an entry."""
    kind, htlc, key = effect.kind, effect.htlc, None
    from_side, to_side = SIDES[kind]
    if htlc is not None and htlc.key is not None:
        key = htlc.key.hex()
    return _encode_leaf(
        Leaf(
            asset=effect.asset,
            at=str(effect.at),
            by=effect.by,
            credit=SideJson(account=effect.credit, balance=to_side),
            debit=SideJson(account=effect.debit, balance=from_side),
            id=effect.id,
            key=key,
            op=kind,
            quantity=str(effect.quantity),
            terms=terms_json(htlc.terms) if htlc and kind is Kind.LOCK else None,
        )
    )


_leaf_decoder = msgspec.json.Decoder(Leaf)
_read_at = msgspec.json.Decoder(_At).decode


def read_leaf(data: bytes) -> Leaf:
    """The entry in a leaf. Raises msgspec.DecodeError for whatever is none, bytes that are no UTF-8
    included."""
    try:
        return _leaf_decoder.decode(data)
    except UnicodeDecodeError as error:  # msgspec lets it through
        raise msgspec.DecodeError(str(error)) from None


def cursor(height: int, position: int) -> str:
    """The place of a posting in the order of a ledger: its name, and the cursor after it."""
    return f"{height}.{position}"


LAST: Final = (2**63 - 1, 2**31 - 1)
"""Behind every place."""


def place(text: str, field: str = "after") -> tuple[int, int]:
    """Height and position of a cursor; the empty text is before everything. Raises WireError about
    the field."""
    if not text:
        return 0, 0
    height, _, position = text.partition(".")
    return integer(height, field), integer(position, field)


def fact(height: int, position: int, data: bytes, contract: Htlc | None) -> Fact:
    """The fact that a leaf tells; `contract` is its contract as it stands today, which for an
    ended one is as the effect left it."""
    entry = read_leaf(data)
    at = Instant(int(entry.at))
    if entry.op in (Kind.ISSUE, Kind.REDEEM, Kind.TRANSFER):
        contract = None  # their ids are names of another kind: one may look like a contract's
    if contract is not None and entry.op is Kind.LOCK:
        contract = Htlc(terms=contract.terms, status=Status.LOCKED, locked_at=at)
    return Fact(
        cursor=cursor(height, position),
        at=at,
        kind=entry.op,
        id=entry.id,
        debit=AccountId(entry.debit.account),
        credit=AccountId(entry.credit.account),
        asset=AssetId(entry.asset),
        quantity=Quantity(int(entry.quantity)),
        htlc=contract,
    )
