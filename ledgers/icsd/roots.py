"""The trees over the book, and the state root that a registry signs.

Holdings, in two levels. Below, per instrument and registry, a tree of the accounts that hold it:

    key      SHA-256 of the account
    sum      available + locked
    content  available and locked, each 8 bytes big-endian

Above, one tree over the instruments, whose content is the digest of an `Issuance`: who issues it,
how much, and root and total of each registry's tree beside its omnibus account. So a few hashes
show that an issue is whole, and some 20 more that somebody holds a part of it.

Records: one tree over what else there is in the book, key SHA-256 of `kind:name`, content a digest,
sum 1.

Operations done: only ever added, so they stand in the order of the blocks, and what is new costs
the same whatever there was before. One tree over the blocks that did any:

    key      bit length of the height in 1 byte, the height from its first bit on, zero bytes
    sum      how many it did
    content  root of the Merkle tree (RFC 6962) over digest and id of each, in the order of the ids

A snapshot of the book from anybody can be checked against the three roots.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import starmap
from typing import Final

import msgspec

from htlc.canonical import canonical, digest
from htlc.contract import Htlc
from htlc.units import AccountId, AssetId
from ledgers import merkle
from ledgers.icsd import tree
from ledgers.icsd.entry import Hash
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.rows import Done, Rows
from ledgers.icsd.tree import Leaf, Tree
from ledgers.instruments import Instrument
from ledgers.parties import Account, Balance, Mandate
from ledgers.wire import htlc_json


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What the holders of one registry have of an instrument together."""

    registry: RegistryId
    root: Hash  # of the tree of its holders
    held: int  # its total: available + locked
    omnibus: int | None  # its account at the issuer registry; none for that one's own holders


class Issuance(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument as it stands in the network."""

    asset: AssetId
    registry: RegistryId  # the issuer registry
    issued: int
    parts: tuple[Part, ...]  # by registry, those only whose holders have any

    @property
    def is_whole(self) -> bool:
        """Issued = held, and each omnibus account = what it stands for (CSDR Art. 37)."""
        return self.issued == sum(part.held for part in self.parts) and all(
            part.omnibus == (None if part.registry == self.registry else part.held)
            for part in self.parts
        )

    @property
    def content(self) -> bytes:
        return digest(
            {
                "asset": self.asset,
                "registry": self.registry,
                "issued": str(self.issued),
                "parts": [
                    [part.registry, part.root.hex(), str(part.held), str(part.omnibus or 0)]
                    for part in self.parts
                ],
            }
        )


def holding_leaf(account: AccountId, balance: Balance | None) -> tuple[bytes, Leaf | None]:
    """Place and leaf of a holding; who holds nothing has none."""
    key = _account_key(account)
    if balance is None:
        return key, None
    available, locked = balance.available, balance.locked
    if not (available or locked):
        return key, None
    content = available.to_bytes(8, "big") + locked.to_bytes(8, "big")
    return key, tree.leaf(key, available + locked, content)


_account_key: Final = lru_cache(maxsize=65_536)(tree.key_of)
"""The same accounts come again and again: the places of the last ones are kept (some 20 MB)."""


def balance_of(content: bytes) -> Balance:
    """What the content of a holding's leaf says."""
    return Balance(int.from_bytes(content[:8], "big"), int.from_bytes(content[8:16], "big"))


def issuance_leaf(issuance: Issuance) -> Leaf:
    return tree.leaf(tree.key_of(issuance.asset), 1, issuance.content)


# --- records -------------------------------------------------------------------------------------


def record_leaf(name: str, content: bytes | None) -> tuple[bytes, Leaf | None]:
    key = tree.key_of(name)
    return key, None if content is None else tree.leaf(key, 1, content)


def account_record(id: AccountId, account: Account | None, home: RegistryId | None) -> "Record":
    name = f"account:{id}"
    if account is None or home is None:
        return name, None
    return name, homed_content(home, account_content(account))


def account_content(account: Account) -> bytes:
    """What a registry knows of an account of its own; who needs its home only is shown the hash."""
    return digest({"owner": account.owner, "blocked": account.blocked})


def homed_content(home: RegistryId, account: bytes) -> bytes:
    """The content of an account's record: where it is at home shows without showing whose it is."""
    return digest({"home": home, "account": account.hex()})


def instrument_record(asset: AssetId, instrument: Instrument | None) -> "Record":
    return f"instrument:{asset}", None if instrument is None else _text_digest(instrument)


def mandate_record(key: tuple[AccountId, str], mandate: Mandate | None) -> "Record":
    # Names have no blanks, so the pair cannot be read two ways.
    return f"mandate:{key[0]} {key[1]}", None if mandate is None else _text_digest(mandate)


def contract_record(id: str, contract: Htlc | None) -> "Record":
    return f"contract:{id}", None if contract is None else digest(htlc_json(contract))


Holding = tuple[AccountId, Balance | None]

Record = tuple[str, bytes | None]
"""The name of a record and its digest; none if it is not (or no more) there."""


def records(rows: Rows) -> Iterable[Record]:
    """The records of all rows that have one."""
    for id, homed in rows.accounts.items():
        account = None if homed is None else homed.account
        yield account_record(id, account, None if homed is None else homed.home)
    for asset, instrument in rows.instruments.items():
        yield instrument_record(asset, instrument)
    for key, mandate in rows.mandates.items():
        yield mandate_record(key, mandate)
    for contract_id, contract in rows.contracts.items():
        yield contract_record(contract_id, contract)


def _text_digest(record: Instrument | Mandate) -> bytes:
    fields = {name: str(value) for name, value in msgspec.structs.asdict(record).items()}
    return hashlib.sha256(canonical(fields)).digest()


# --- operations done -----------------------------------------------------------------------------

HEIGHT_BITS_MAX: Final = 63
"""Of a height, as the database holds it."""

DIGEST_BYTES: Final = 32
"""Of the digest of an operation (`ledgers.wire.operation_digest`)."""

NOWHERE: Final = b"\xff" * 32
"""No height has this place: operations that are impossible stand there, so that they are found."""


def block_place(height: int) -> bytes:
    """The place of what the block at a height has done. The bit length comes first, so that the
    leading zeros of a number of fixed length are no empty levels, to be hashed by every block."""
    bits = height.bit_length()
    return (bits << 248 | height << 248 - bits).to_bytes(32, "big")


def operation_place(done: Done) -> bytes:
    """The place of the block that did an operation, as a row says it."""
    digest, height = done
    is_possible = len(digest) == DIGEST_BYTES and 0 < height < 1 << HEIGHT_BITS_MAX
    return block_place(height) if is_possible else NOWHERE


def operation_hash(id: str, digest: bytes) -> bytes:
    """The leaf of an operation in the tree of its block."""
    return merkle.leaf_hash(digest + id.encode())


def operation_leaves(operations: Mapping[str, Done | None]) -> dict[bytes, Leaf]:
    """By their keys, the leaves of the blocks that did these operations: all of each block."""
    blocks: dict[bytes, list[bytes]] = {}
    for id in sorted(operations):
        if (done := operations[id]) is not None:
            blocks.setdefault(operation_place(done), []).append(done[0] + id.encode())
    return {key: _block_leaf(key, done) for key, done in blocks.items()}


def _block_leaf(key: bytes, done: Sequence[bytes]) -> Leaf:
    return tree.leaf(key, len(done), merkle.root(merkle.leaf_hashes(done)))


# --- the trees -----------------------------------------------------------------------------------


class Roots:
    """The trees of one book. Their nodes are shared from block to block."""

    def __init__(self) -> None:
        self.holders: dict[AssetId, dict[RegistryId, Tree]] = {}
        self.instruments: Tree = None
        self.records: Tree = None
        self.operations: Tree = None

    def hold(
        self,
        asset: AssetId,
        registry: RegistryId,
        balances: Iterable[tuple[AccountId, Balance | None]],
    ) -> None:
        """Enter the holdings of one instrument at one registry as they are now."""
        changes = dict(starmap(holding_leaf, balances))
        registries = self.holders.setdefault(asset, {})
        after = tree.update(registries.get(registry), changes)
        if after is None:
            registries.pop(registry, None)
        else:
            registries[registry] = after

    def list(self, issuances: Mapping[AssetId, Issuance | None]) -> None:
        """Enter the instruments as they are now; one that is not there any more was undone."""
        changes = {
            tree.key_of(asset): None if issuance is None else issuance_leaf(issuance)
            for asset, issuance in issuances.items()
        }
        self.instruments = tree.update(self.instruments, changes)

    def record(self, records: Iterable[Record]) -> None:
        self.records = tree.update(self.records, dict(starmap(record_leaf, records)))

    def do(self, operations: Mapping[str, Done | None]) -> None:
        """Enter the operations of whole blocks."""
        self.operations = tree.update(self.operations, operation_leaves(operations))

    def undo(self, height: int) -> None:
        """Take out what the last block did."""
        self.operations = tree.update(self.operations, {block_place(height): None})

    def issuance(
        self,
        asset: AssetId,
        issuer: RegistryId,
        issued: int,
        omnibus: Mapping[RegistryId, int],
    ) -> Issuance:
        """The instrument with what each registry has of it."""
        holders = self.holders.get(asset, {})
        parts = tuple(
            Part(
                registry=registry,
                root=Hash(tree.root(holders.get(registry))),
                held=tree.total(holders.get(registry)),
                omnibus=omnibus.get(registry, None if registry == issuer else 0),
            )
            for registry in sorted(holders.keys() | omnibus.keys())
        )
        return Issuance(asset=asset, registry=issuer, issued=issued, parts=parts)
