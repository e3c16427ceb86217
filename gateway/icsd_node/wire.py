"""What a node tells of the network, as it travels: JSON in the notation of `ledgers.wire`, integers
as decimal strings, hashes, keys and signatures in lower-case hex.

Whoever reads it passes over what a later release may add; nothing of it is believed unchecked.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from ledgers.wire import HtlcJson

Number = Annotated[
    str, Meta(description="A decimal integer", extra_json_schema={"pattern": "^-?[0-9]+$"})
]
HASH: Final = {"pattern": "^[0-9a-f]{64}$"}
Hash = Annotated[str, Meta(description="32 bytes, usually SHA-256", extra_json_schema=HASH)]
Bytes = Annotated[str, Meta(extra_json_schema={"pattern": "^([0-9a-f]{2})*$"})]
Registry = Annotated[str, Meta(description="Name of a registry of the network", examples=["KZ"])]


class Told(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all have in common: what is absent is left out."""


class HeaderJson(Told, frozen=True, kw_only=True):
    """What the hash of a block of the network is over."""

    network: str
    epoch: Number
    height: Number
    previous: Annotated[Hash, Meta(description="Hash of the block before")]
    operations: Annotated[Hash, Meta(description="Merkle root (RFC 6962) over its messages")]
    count: Number
    at: Annotated[Number, Meta(description="Ledger time, UTC nanoseconds")]
    certificate: Annotated[Hash, Meta(description="Of the certificate that its cut carries")]


class StatementJson(Told, frozen=True, kw_only=True):
    """What a registry signs of a block: its order, its results, and the book after it."""

    epoch: Number
    height: Number
    block: Hash
    results: Hash
    state: Hash


class CertificateJson(Told, frozen=True, kw_only=True):
    """A statement with the signatures (Ed25519) of a quorum, by registry."""

    statement: StatementJson
    signatures: dict[str, Bytes]


class NetworkBlockJson(Told, frozen=True, kw_only=True):
    """A final block. Its certificate stands in its child; it is given beside it here."""

    header: HeaderJson
    hash: Hash
    statement: StatementJson
    entries: Annotated[Number, Meta(description="Operations and acts that it has answered")]
    certificate: CertificateJson | None = None


class HeadJson(Told, frozen=True, kw_only=True):
    """Where a node stands. `block` is the last final one, `child` makes it final."""

    registry: Registry
    network: str
    height: Annotated[Number, Meta(description="Of the book as the node has it")]
    final: Annotated[Number, Meta(description="Up to here nothing can change any more")]
    at: Annotated[Number, Meta(description="Ledger time of that, UTC nanoseconds")]
    serving: bool
    base: Annotated[
        Number | None, Meta(description="It joined by a snapshot at this height: blocks since")
    ] = None
    stopped: Annotated[str | None, Meta(description="Why it serves no more")] = None
    differences: Annotated[
        tuple[str, ...] | None, Meta(description="Rows of its book that differ from the network's")
    ] = None
    block: NetworkBlockJson | None = None
    child: NetworkBlockJson | None = None


class EpochJson(Told, frozen=True, kw_only=True):
    """Members in force from a height on, with their keys."""

    epoch: Number
    start: Number
    members: dict[str, Hash]
    quorum: Number


class SignedJson(Told, frozen=True, kw_only=True):
    """A message of the log as a registry signed it (MessagePack, in hex)."""

    body: Bytes
    signature: Bytes


class EvidenceJson(Told, frozen=True, kw_only=True):
    """Two signed messages of one registry of which only one may be. Verifiable by itself."""

    offence: Literal["two-votes", "two-bundles"]
    registry: Registry
    epoch: Number
    place: Annotated[Number, Meta(description="Height of the votes, sequence of the bundles")]
    first: SignedJson
    second: SignedJson


# --- proofs ---------------------------------------------------------------------------------------


class SiblingJson(Told, frozen=True, kw_only=True):
    """What stands beside the way in a tree."""

    hash: Hash
    sum: Number


class EndJson(Told, frozen=True, kw_only=True):
    """The leaf where a way ends: its own, or another's, which proves that it is not there."""

    key: Hash
    sum: Number
    content: Bytes


class WayJson(Told, frozen=True, kw_only=True):
    """The way to a leaf, siblings from the root down; null: nothing stands there."""

    siblings: tuple[SiblingJson | None, ...]
    end: EndJson | None = None


class StateJson(Told, frozen=True, kw_only=True):
    """The parts of a state root."""

    holdings: Hash
    instruments: Number
    records: Hash
    count: Number
    operations: Hash
    done: Annotated[Number, Meta(description="Operations that were done so far")]
    sequences: Hash
    epochs: Hash


class PartJson(Told, frozen=True, kw_only=True):
    """What the holders of one registry have of an instrument together."""

    registry: Registry
    root: Annotated[Hash, Meta(description="Of the tree of its holders")]
    held: Number
    omnibus: Annotated[
        Number | None, Meta(description="Its account at the issuer registry; not of that one's own")
    ] = None


class IssuanceJson(Told, frozen=True, kw_only=True):
    """An instrument over all registries; `registry` is the issuer's."""

    asset: str
    registry: Registry
    issued: Number
    parts: tuple[PartJson, ...]


class IssueProofJson(Told, frozen=True, kw_only=True):
    """The way from an instrument to a state root."""

    state: StateJson
    issuance: IssuanceJson
    way: WayJson


class HoldingProofJson(Told, frozen=True, kw_only=True):
    """The way from a holding to a state root, or that there is none."""

    issue: IssueProofJson
    account: str
    registry: Registry
    way: Annotated[WayJson, Meta(description="From the holding to the registry's part")]
    content: Annotated[Hash, Meta(description="Whose account it is, as a hash")]
    home: Annotated[WayJson, Meta(description="From the account's record to the records' root")]


class ContractProofJson(Told, frozen=True, kw_only=True):
    """The way from a contract to a state root; null: there is none of this id."""

    state: StateJson
    contract: HtlcJson | None
    way: WayJson


class OperationProofJson(Told, frozen=True, kw_only=True):
    """The way from an operation to the leaf of its block, and from there to a state root."""

    state: StateJson
    digest: Annotated[Hash, Meta(description="Of its content")]
    height: Annotated[Number, Meta(description="Of the block that it was done in")]
    position: Annotated[Number, Meta(description="In that block, by the order of ids")]
    path: Annotated[tuple[Hash, ...], Meta(description="To the leaf of the block, bottom first")]
    way: Annotated[WayJson, Meta(description="From the block to `state.operations`")]


class FinalJson(Told, frozen=True, kw_only=True):
    """A final block, and the child that makes it final: each with its certificate."""

    block: NetworkBlockJson
    child: NetworkBlockJson


class ProvedIssue(FinalJson, frozen=True, kw_only=True):
    """An instrument, proved of a final block."""

    proof: IssueProofJson


class ProvedHolding(FinalJson, frozen=True, kw_only=True):
    """A holding, proved of a final block."""

    proof: HoldingProofJson


class ProvedContract(FinalJson, frozen=True, kw_only=True):
    """A contract, proved of a final block."""

    proof: ContractProofJson


class ProvedOperation(FinalJson, frozen=True, kw_only=True):
    """An operation, proved of a final block."""

    proof: OperationProofJson
