"""What anybody can check who has the members' keys and nothing else: a phone, an auditor, a court.

A light client follows no log and applies no block. It knows the epoch that it was given once, over
a channel that it trusts, and learns of later ones from their proofs. A node, any node, then shows:

    final head     two headers and their certificates: this block is final, at this time
    state          the parts that the certified state root is over
    what is asked  the way through a tree to a holding, an issue, a contract; or to their absence

Nothing of it needs the node to be honest. What a node can do is show an old head, so heads have an
age (`LightClient.age`), and who needs the newest asks two nodes.
"""

from typing import NoReturn

import msgspec

from htlc.canonical import digest
from htlc.contract import Htlc, Status
from htlc.units import AccountId, AssetId, Duration, HtlcId, Instant, LedgerId
from ledgers.icsd import tree
from ledgers.icsd.entry import Certificate
from ledgers.icsd.epoch import Epoch, RegistryId
from ledgers.icsd.proof import Header, State, epochs_hash, is_certified, is_final
from ledgers.icsd.recovery import Begun, is_begun, successor
from ledgers.icsd.roots import Issuance, Roots, balance_of
from ledgers.icsd.tree import ForgedProof, Proof
from ledgers.parties import Balance
from ledgers.wire import htlc_json


class FinalHead(msgspec.Struct, frozen=True, kw_only=True):
    """A final block: its header, certified, and the certified header of its child that carries
    this certificate."""

    header: Header
    certificate: Certificate
    child: Header
    child_certificate: Certificate


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The trees of a node at one height: what its proofs are made of."""

    state: State
    roots: Roots


class HoldingProof(msgspec.Struct, frozen=True, kw_only=True):
    """What one account has of an instrument, or that it has nothing."""

    head: FinalHead
    state: State
    issuance: Issuance | None  # None: the instrument is not known
    instrument: Proof
    holding: Proof | None  # None: nobody at this registry has any


class ContractProof(msgspec.Struct, frozen=True, kw_only=True):
    """A contract as it is, or that there is none."""

    head: FinalHead
    state: State
    contract: Htlc | None
    record: Proof


class EpochProof(msgspec.Struct, frozen=True, kw_only=True):
    """The epochs at a final block: how a light client learns of a change that was decided."""

    head: FinalHead
    state: State
    epoch: Epoch
    following: Epoch | None


class StaleHead(Exception):
    """The shown block is final, and too old to say anything of today. Ask another node."""


# --- a node makes them ---------------------------------------------------------------------------


def prove_holding(
    head: FinalHead, known: Snapshot, asset: AssetId, registry: RegistryId, account: AccountId
) -> HoldingProof:
    """Of a holding as it is at the head, from the trees at its height."""
    holders = known.roots.holders.get(asset, {}).get(registry)
    return HoldingProof(
        head=head,
        state=known.state,
        issuance=known.roots.issuances.get(asset),
        instrument=tree.prove(known.roots.instruments, tree.key_of(asset)),
        holding=None if holders is None else tree.prove(holders, tree.key_of(account)),
    )


def prove_contract(
    head: FinalHead, known: Snapshot, id: HtlcId, contract: Htlc | None
) -> ContractProof:
    """Of a contract as it is at the head: what a node tells of it when asked."""
    record = tree.prove(known.roots.records, tree.key_of(f"contract:{id}"))
    return ContractProof(head=head, state=known.state, contract=contract, record=record)


# --- anybody checks them -------------------------------------------------------------------------


class LightClient:
    """Who knows the members. Methods return what is proved, and raise `ForgedProof` for what is
    not, `StaleHead` for what was true longer ago than `age` before `now`."""

    def __init__(self, network: LedgerId, epoch: Epoch, age: Duration) -> None:
        self.network = network
        self.epochs = [epoch]
        self.age = age

    def height(self, head: FinalHead, now: Instant) -> int:
        """The height of a head that is proved final and young."""
        self._check(head)
        if head.header.at < now - self.age:
            raise StaleHead(f"block {head.header.height} is older than {self.age} ns")
        return head.header.height

    def holding(
        self,
        shown: HoldingProof,
        asset: AssetId,
        registry: RegistryId,
        account: AccountId,
        now: Instant,
    ) -> Balance:
        """What the account has; a zero balance is proved too."""
        issuance = self.issuance(shown, asset, now)
        parts = () if issuance is None else issuance.parts
        part = next((part for part in parts if part.registry == registry), None)
        if part is None:
            return Balance()
        if shown.holding is None:
            _refuse("the holders of this registry are held back")
        leaf = tree.verify(shown.holding, tree.key_of(account), part.root, part.held)
        return Balance() if leaf is None else balance_of(leaf.content)

    def issuance(self, shown: HoldingProof, asset: AssetId, now: Instant) -> Issuance | None:
        """The instrument: how much was issued, and what each registry's holders have of it. That
        these add up is checked, and the omnibus accounts with them."""
        self._check_state(shown.head, shown.state, now)
        state = shown.state
        leaf = tree.verify(shown.instrument, tree.key_of(asset), state.holdings, state.instruments)
        if leaf is None:
            return None
        issuance = shown.issuance
        if issuance is None or issuance.asset != asset or issuance.content != leaf.content:
            _refuse("the instrument shown is not the one that was certified")
        if not issuance.is_whole:
            _refuse("a quorum certified an issue that does not add up")
        return issuance

    def contract(self, shown: ContractProof, id: HtlcId, now: Instant) -> Htlc | None:
        """The contract as it is; None: there is none."""
        self._check_state(shown.head, shown.state, now)
        key, state = tree.key_of(f"contract:{id}"), shown.state
        leaf = tree.verify(shown.record, key, state.records, state.count)
        if leaf is None:
            return None
        contract = shown.contract
        if contract is None or contract.terms.id != id or _content(contract) != leaf.content:
            _refuse("the contract shown is not the one that was certified")
        return contract

    def is_settled(self, shown: ContractProof, id: HtlcId, now: Instant) -> bool:
        """Whether the contract has paid its payee, finally."""
        contract = self.contract(shown, id, now)
        return contract is not None and contract.status is Status.EXECUTED

    # --- members ---------------------------------------------------------------------------------

    def follow(self, shown: EpochProof) -> None:
        """Learn which members were decided to come next."""
        self._check(shown.head)
        self._match(shown.head, shown.state)
        if epochs_hash(shown.epoch, shown.following) != shown.state.epochs:
            _refuse("these are not the members that were certified")
        if shown.following is not None and shown.following.number > self.epochs[-1].number:
            self.epochs.append(shown.following)

    def follow_recovery(self, begun: Begun) -> None:
        """Learn of an epoch that a quorum began after the log was lost. Show the decided changes
        of members (`follow`) first: the record counts on them."""
        record = begun.record
        epoch = next((known for known in self.epochs if known.number == record.ends), None)
        if record.network != self.network or epoch is None or not is_begun(begun, epoch):
            _refuse("no quorum of members that we know began this epoch")
        following = next((k for k in self.epochs if k.number > epoch.number), None)
        begins = successor(record, epoch, following)
        self.epochs = [known for known in self.epochs if known.start < begins.start] + [begins]

    def _epoch_at(self, height: int) -> Epoch:
        """The members who certify a height."""
        return [known for known in self.epochs if known.start <= height or known is self.epochs[0]][
            -1
        ]

    # --- heads -----------------------------------------------------------------------------------

    def _check(self, head: FinalHead) -> None:
        pairs = ((head.header, head.certificate), (head.child, head.child_certificate))
        for header, certificate in pairs:
            statement, epoch = certificate.statement, self._epoch_at(header.height)
            if header.network != self.network or header.epoch != epoch.number:
                _refuse("a header of another network or epoch")
            if statement.block != header.hash or statement.height != header.height:
                _refuse("a certificate of another block")
            if not is_certified(certificate, epoch):
                _refuse("no quorum of the members signed this block")
        if not is_final(head.header, head.certificate, head.child):
            _refuse("the child does not make the block final")

    def _check_state(self, head: FinalHead, state: State, now: Instant) -> None:
        self.height(head, now)
        self._match(head, state)

    def _match(self, head: FinalHead, state: State) -> None:
        if state.root != head.certificate.statement.state:
            _refuse("these are not the parts of the certified state")


def _content(contract: Htlc) -> bytes:
    return digest(htlc_json(contract))


def _refuse(why: str) -> NoReturn:
    raise ForgedProof(why)
