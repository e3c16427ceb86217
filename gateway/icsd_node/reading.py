"""The other side of `views`: what a node tells, read strictly, for who checks it himself.

Raises ForgedProof for whatever is not of the notation: a light client makes no difference between
an answer that is wrong and one that is malformed.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import msgspec

from gateway.icsd_node import wire
from htlc.units import AccountId, AssetId, Instant, LedgerId
from ledgers.icsd import tree
from ledgers.icsd.entry import Certificate, Hash, Signed, Statement
from ledgers.icsd.epoch import Epoch, Member, RegistryId
from ledgers.icsd.light import Certified, ContractProof, HoldingProof, IssueProof, OperationProof
from ledgers.icsd.proof import Evidence, Header, Offence, State
from ledgers.icsd.roots import Issuance, Part
from ledgers.icsd.tree import ForgedProof
from ledgers.wire import WireError, htlc_of

P = ParamSpec("P")
T = TypeVar("T")


def _strict(read: Callable[P, T]) -> Callable[P, T]:
    @wraps(read)
    def strictly(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(*args, **kwargs)
        except (msgspec.DecodeError, ValueError, WireError) as error:
            raise ForgedProof(f"not of the notation: {error!r}") from None

    return strictly


@_strict
def decoded(body: bytes, kind: type[T]) -> T:
    """An answer as it comes."""
    return msgspec.json.decode(body, type=kind)


@_strict
def height(told: wire.HeadJson) -> int:
    """Up to which all is final, as it says."""
    return int(told.final)


def final_of(told: wire.HeadJson) -> wire.FinalJson | None:
    """What a head shows of the last final block, if there is one."""
    if told.block is None or told.child is None:
        return None
    return wire.FinalJson(block=told.block, child=told.child)


def _hash(text: str) -> Hash:
    found = bytes.fromhex(text)
    if len(found) != 32:
        raise ValueError(f"{text}: expected 32 bytes")
    return Hash(found)


@_strict
def certified(told: wire.NetworkBlockJson) -> Certified:
    """A block with its certificate."""
    if told.certificate is None:
        raise ValueError("a block without its certificate")
    said = told.header
    header = Header(
        network=LedgerId(said.network),
        epoch=int(said.epoch),
        height=int(said.height),
        previous=_hash(said.previous),
        operations=_hash(said.operations),
        count=int(said.count),
        at=Instant(int(said.at)),
        certificate=_hash(said.certificate),
    )
    return Certified(header=header, certificate=_certificate(told.certificate))


def _certificate(told: wire.CertificateJson) -> Certificate:
    said = told.statement
    statement = Statement(
        epoch=int(said.epoch),
        height=int(said.height),
        block=_hash(said.block),
        results=_hash(said.results),
        state=_hash(said.state),
    )
    signatures = [(RegistryId(n), bytes.fromhex(s)) for n, s in told.signatures.items()]
    return Certificate(statement=statement, signatures=tuple(sorted(signatures)))


@_strict
def epoch(told: wire.EpochJson) -> Epoch:
    """The members in force. To be compared with what one knows: who tells it could be lying."""
    members = tuple(
        Member(registry=RegistryId(name), public_key=_hash(key))
        for name, key in sorted(told.members.items())
    )
    return Epoch(number=int(told.epoch), members=members, start=int(told.start))


@_strict
def holding_proof(told: wire.HoldingProofJson) -> HoldingProof:
    return HoldingProof(
        issue=issue_proof(told.issue),
        account=AccountId(told.account),
        registry=RegistryId(told.registry),
        way=_way(told.way),
        content=_hash(told.content),
        home=_way(told.home),
    )


@_strict
def issue_proof(told: wire.IssueProofJson) -> IssueProof:
    return IssueProof(
        state=_state(told.state), issuance=_issuance(told.issuance), way=_way(told.way)
    )


@_strict
def contract_proof(told: wire.ContractProofJson) -> ContractProof:
    contract = None if told.contract is None else htlc_of(told.contract)
    return ContractProof(state=_state(told.state), contract=contract, way=_way(told.way))


@_strict
def operation_proof(told: wire.OperationProofJson) -> OperationProof:
    return OperationProof(
        state=_state(told.state),
        known=_hash(told.digest),
        height=int(told.height),
        position=int(told.position),
        path=tuple(map(_hash, told.path)),
        way=_way(told.way),
    )


@_strict
def evidence(told: wire.EvidenceJson) -> Evidence:
    """To be checked: `proof.is_evidence`."""
    registry = RegistryId(told.registry)
    first, second = (
        Signed(registry, bytes.fromhex(each.body), bytes.fromhex(each.signature))
        for each in (told.first, told.second)
    )
    return Evidence(
        offence=Offence(told.offence),
        registry=registry,
        epoch=int(told.epoch),
        place=int(told.place),
        first=first,
        second=second,
    )


def _state(told: wire.StateJson) -> State:
    return State(
        holdings=_hash(told.holdings),
        instruments=int(told.instruments),
        records=_hash(told.records),
        count=int(told.count),
        operations=_hash(told.operations),
        done=int(told.done),
        sequences=_hash(told.sequences),
        epochs=_hash(told.epochs),
    )


def _issuance(told: wire.IssuanceJson) -> Issuance:
    return Issuance(
        asset=AssetId(told.asset),
        registry=RegistryId(told.registry),
        issued=int(told.issued),
        parts=tuple(map(_part, told.parts)),
    )


def _part(told: wire.PartJson) -> Part:
    return Part(
        registry=RegistryId(told.registry),
        root=_hash(told.root),
        held=int(told.held),
        omnibus=None if told.omnibus is None else int(told.omnibus),
    )


def _way(told: wire.WayJson) -> tree.Proof:
    end = told.end
    return tree.Proof(
        siblings=tuple(map(_sibling, told.siblings)),
        end=None if end is None else (_hash(end.key), int(end.sum), bytes.fromhex(end.content)),
    )


def _sibling(told: wire.SiblingJson | None) -> tree.Sibling | None:
    return None if told is None else tree.Sibling(_hash(told.hash), int(told.sum))
