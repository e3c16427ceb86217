"""What a light client needs: proofs about the book that anybody can check who knows the members.

A registry proves that somebody holds something, or that an issue is whole, by the way from there to
the state root that a quorum signed; and that the block is final, by the certificate of its child.
Nothing else is believed: neither the registry that is asked nor the line to it.

    holding -> tree of the registry's holders -> Issuance -> tree of instruments -> State
            -> state root -> certificate (a quorum of signatures) -> certified child = final
"""

from typing import Final

import msgspec

from htlc.contract import Htlc
from htlc.units import AccountId, AssetId, HtlcId, LedgerId
from ledgers import merkle
from ledgers.icsd import tree
from ledgers.icsd.entry import NOTHING, Certificate, Hash
from ledgers.icsd.epoch import Epoch, RegistryId
from ledgers.icsd.proof import (
    Header,
    State,
    certificate_hash,
    epochs_hash,
    is_certified,
    is_final,
)
from ledgers.icsd.roots import (
    Issuance,
    Record,
    account_content,
    account_record,
    balance_of,
    contract_record,
    homed_content,
    operation_hash,
    operation_place,
)
from ledgers.icsd.rows import Done
from ledgers.icsd.tree import ForgedProof
from ledgers.icsd.view import View
from ledgers.parties import Balance

EMPTY: Final = tree.Proof(siblings=(), end=None)
"""That a tree without leaves does not have a key."""


class Certified(msgspec.Struct, frozen=True, kw_only=True):
    """A block, and a quorum's signature on what it is and what it left."""

    header: Header
    certificate: Certificate


class IssueProof(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument as it stands in the network after a block."""

    state: State
    issuance: Issuance
    way: tree.Proof  # from it to `state.holdings`


class HoldingProof(msgspec.Struct, frozen=True, kw_only=True):
    """What one account holds of an instrument, or that it holds nothing."""

    issue: IssueProof
    account: AccountId
    registry: RegistryId  # its home
    way: tree.Proof  # from the holding to the registry's part of the issue
    content: bytes  # `roots.account_content`: whose it is, as a hash
    home: tree.Proof  # from the account's record to `issue.state.records`


class ContractProof(msgspec.Struct, frozen=True, kw_only=True):
    """A contract as it is after a block, or that there is none."""

    state: State
    contract: Htlc | None
    way: tree.Proof  # from it to `state.records`


class OperationProof(msgspec.Struct, frozen=True, kw_only=True):
    """That an issue, redemption or transfer was done, and by which block."""

    state: State
    known: bytes  # the digest of its content
    height: int  # of the block
    position: int  # among what the block did, in the order of the ids
    path: tuple[bytes, ...]  # from it to the block's leaf, bottom first (RFC 6962, 2.1.1)
    way: tree.Proof  # from there to `state.operations`


class EpochProof(msgspec.Struct, frozen=True, kw_only=True):
    """The members after a block, and those who were decided to follow them."""

    state: State
    epoch: Epoch
    following: Epoch | None


# --- a registry proves ----------------------------------------------------------------------------


def prove_issue(view: View, asset: AssetId) -> IssueProof | None:
    """None: there is no such instrument."""
    issuance = view.issuance(asset)
    if issuance is None:
        return None
    way = tree.prove(view.roots.instruments, tree.key_of(asset))
    return IssueProof(state=view.state, issuance=issuance, way=way)


def prove_holding(view: View, account: AccountId, asset: AssetId) -> HoldingProof | None:
    """None: there is no such instrument, or no such account."""
    issue, registry = prove_issue(view, asset), view.tables.homes.get(account)
    if issue is None or registry is None:
        return None
    holders = view.roots.holders.get(asset, {}).get(registry)
    known = view.book.accounts[account]
    assert known is not None, "who has a home has an account"
    record = account_record(account, known, registry)[0]
    return HoldingProof(
        issue=issue,
        account=account,
        registry=registry,
        way=EMPTY if holders is None else tree.prove(holders, tree.key_of(account)),
        content=account_content(known),
        home=tree.prove(view.roots.records, tree.key_of(record)),
    )


def prove_contract(view: View, id: HtlcId) -> ContractProof:
    """Of any id: that there is no such contract is proved as well."""
    way = tree.prove(view.roots.records, tree.key_of(contract_record(id, None)[0]))
    return ContractProof(state=view.state, contract=view.book.contracts.get(id), way=way)


def prove_operation(view: View, id: str) -> OperationProof | None:
    """None: nothing of this id was done so far, which is not proved. It may be the next moment."""
    known, height = view.book.operations.get(id), view.tables.heights.get(id)
    if known is None or height is None:
        return None
    done, digests = sorted(view.tables.done[height]), view.book.operations
    hashes = [operation_hash(each, digests[each] or b"") for each in done]  # none is absent
    position = done.index(id)
    return OperationProof(
        state=view.state,
        known=known,
        height=height,
        position=position,
        path=tuple(merkle.inclusion_proof(hashes, position)),
        way=tree.prove(view.roots.operations, operation_place((known, height))),
    )


def prove_epochs(view: View) -> EpochProof:
    return EpochProof(state=view.state, epoch=view.epoch, following=view.following)


# --- anybody checks -------------------------------------------------------------------------------


def check_issue(proof: IssueProof, asset: AssetId, root: Hash) -> Issuance:
    """The instrument as the certified state `root` has it. Raises ForgedProof."""
    _check_parts(proof.state, root)
    state, key = proof.state, tree.key_of(asset)
    leaf = tree.verify(proof.way, key, state.holdings, state.instruments)
    if leaf is None or leaf.content != proof.issuance.content or proof.issuance.asset != asset:
        raise ForgedProof(f"{asset} stands otherwise in the book than it is told here")
    if not proof.issuance.is_whole:
        raise ForgedProof(f"the issue of {asset} is not what its holders have together")
    return proof.issuance


def check_holding(proof: HoldingProof, account: AccountId, asset: AssetId, root: Hash) -> Balance:
    """What the account holds by the certified state `root`. That it is at home where the proof
    looks is proved, too: somewhere else everybody holds nothing. Raises ForgedProof."""
    issuance = check_issue(proof.issue, asset, root)
    if proof.account != account:
        raise ForgedProof(f"this is no proof about {account}")
    state, key = proof.issue.state, tree.key_of(account_record(account, None, None)[0])
    record = tree.verify(proof.home, key, state.records, state.count)
    if record is None or record.content != homed_content(proof.registry, proof.content):
        raise ForgedProof(f"{account} is not at home at {proof.registry}")
    part = next((p for p in issuance.parts if p.registry == proof.registry), None)
    expected, total = (tree.EMPTY_HASH, 0) if part is None else (part.root, part.held)
    leaf = tree.verify(proof.way, tree.key_of(account), expected, total)
    return Balance() if leaf is None else balance_of(leaf.content)


def check_contract(proof: ContractProof, id: HtlcId, root: Hash) -> Htlc | None:
    """The contract as the certified state `root` has it: EXECUTED there, it has paid for good.
    Raises ForgedProof."""
    _check_record(contract_record(id, proof.contract), proof.way, proof.state, root)
    return proof.contract


def check_operation(proof: OperationProof, id: str, root: Hash) -> Done:
    """The digest of the operation that was done under this id by the certified state `root`, and
    the height of the block that did it. Raises ForgedProof."""
    _check_parts(proof.state, root)
    state, done = proof.state, (proof.known, proof.height)
    leaf = tree.verify(proof.way, operation_place(done), state.operations, state.done)
    hashed = operation_hash(id, proof.known)
    if leaf is None or not merkle.verify_inclusion(
        hashed, proof.position, leaf.sum, proof.path, leaf.content
    ):
        raise ForgedProof(f"the operation {id} is otherwise than it is told here")
    return done


def _check_parts(state: State, root: Hash) -> None:
    if state.root != root:
        raise ForgedProof("the parts of the state are not those that were certified")


def _check_record(record: Record, way: tree.Proof, state: State, root: Hash) -> None:
    _check_parts(state, root)
    name, content = record
    leaf = tree.verify(way, tree.key_of(name), state.records, state.count)
    if (None if leaf is None else leaf.content) != content:
        raise ForgedProof(f"the {name.replace(':', ' ')} is otherwise than it is told here")


def check_epochs(proof: EpochProof, root: Hash) -> Epoch | None:
    """Who was decided to follow, by the certified state `root`. Raises ForgedProof."""
    _check_parts(proof.state, root)
    if epochs_hash(proof.epoch, proof.following) != proof.state.epochs:
        raise ForgedProof("these are not the members that were certified")
    return proof.following


def check_final(block: Certified, child: Certified, epoch: Epoch) -> None:
    """That nothing else can ever stand at this height. Raises ForgedProof."""
    for shown in (block, child):
        check_certified(shown, epoch)
    if not is_final(block.header, block.certificate, child.header):
        raise ForgedProof(f"block {child.header.height} does not make {block.header.height} final")


def check_certified(shown: Certified, epoch: Epoch) -> None:
    """That a quorum of the epoch signed this block. Raises ForgedProof."""
    height, statement = shown.header.height, shown.certificate.statement
    if (statement.height, statement.block) != (height, shown.header.hash):
        raise ForgedProof(f"the certificate is not of this block at height {height}")
    if not is_certified(shown.certificate, epoch):
        raise ForgedProof(f"block {height} is not signed by {epoch.quorum} members of its epoch")


class Follower:
    """Follows the chain of headers from the first on, believing only signatures and hashes."""

    def __init__(self, network: LedgerId, epoch: Epoch) -> None:
        self._network = network
        self._epoch = epoch
        self.height = 0
        self.head: Hash = NOTHING
        self._certificate: Certificate | None = None

    def take(self, shown: Certified) -> None:
        """The next block. Raises ForgedProof."""
        header = shown.header
        if (header.network, header.height) != (self._network, self.height + 1):
            raise ForgedProof(f"expected block {self.height + 1} of {self._network}")
        if header.previous != self.head:
            raise ForgedProof(f"block {header.height} does not continue the one before")
        if header.certificate != certificate_hash(self._certificate):
            raise ForgedProof(f"block {header.height} carries another certificate")
        check_certified(shown, self._epoch)
        self.height, self.head = header.height, header.hash
        self._certificate = shown.certificate
