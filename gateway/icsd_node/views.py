"""The network's own records as a node tells them (`wire`)."""

from gateway.icsd_node import wire
from ledgers.icsd import tree
from ledgers.icsd.entry import Certificate, Signed, Statement
from ledgers.icsd.epoch import Epoch
from ledgers.icsd.light import ContractProof, HoldingProof, IssueProof, OperationProof
from ledgers.icsd.node import Node
from ledgers.icsd.proof import Evidence, Header, State
from ledgers.icsd.roots import Part
from ledgers.icsd.store import Archived
from ledgers.wire import htlc_json


def head(node: Node, final: wire.FinalJson | None) -> wire.HeadJson:
    """Where the node stands, and why it serves no more if it does not."""
    base, stopped = node.head.base, node.stopped
    return wire.HeadJson(
        registry=node.me,
        network=node.replica.view.network,
        height=str(node.replica.view.height),
        final=str(node.head.final),
        at=str(node.at),
        serving=stopped is None and node.caught_up,
        base=str(base) if base else None,
        stopped=stopped,
        differences=None if stopped is None else tuple(node.differences),
        block=None if final is None else final.block,
        child=None if final is None else final.child,
    )


def block(archived: Archived, its: Certificate | None) -> wire.NetworkBlockJson:
    return wire.NetworkBlockJson(
        header=header(archived.header),
        hash=archived.header.hash.hex(),
        statement=statement(archived.statement),
        entries=str(sum(len(outcome.results) for outcome in archived.outcomes)),
        certificate=None if its is None else certificate(its),
    )


def header(its: Header) -> wire.HeaderJson:
    return wire.HeaderJson(**its.fields())


def statement(said: Statement) -> wire.StatementJson:
    return wire.StatementJson(
        epoch=str(said.epoch),
        height=str(said.height),
        block=said.block.hex(),
        results=said.results.hex(),
        state=said.state.hex(),
    )


def certificate(its: Certificate) -> wire.CertificateJson:
    signatures = {str(registry): signature.hex() for registry, signature in its.signatures}
    return wire.CertificateJson(statement=statement(its.statement), signatures=signatures)


def epoch(its: Epoch) -> wire.EpochJson:
    return wire.EpochJson(
        epoch=str(its.number),
        start=str(its.start),
        members={str(member.registry): member.public_key.hex() for member in its.members},
        quorum=str(its.quorum),
    )


def evidence(shown: Evidence) -> wire.EvidenceJson:
    """Verifiable by itself: both messages with their signatures."""
    return wire.EvidenceJson(
        offence=shown.offence.value,
        registry=shown.registry,
        epoch=str(shown.epoch),
        place=str(shown.place),
        first=_signed(shown.first),
        second=_signed(shown.second),
    )


def _signed(message: Signed) -> wire.SignedJson:
    return wire.SignedJson(body=message.body.hex(), signature=message.signature.hex())


# --- proofs ---------------------------------------------------------------------------------------


def issue_proof(proof: IssueProof) -> wire.IssueProofJson:
    issuance = proof.issuance
    return wire.IssueProofJson(
        state=state(proof.state),
        issuance=wire.IssuanceJson(
            asset=issuance.asset,
            registry=issuance.registry,
            issued=str(issuance.issued),
            parts=tuple(map(_part, issuance.parts)),
        ),
        way=_way(proof.way),
    )


def state(its: State) -> wire.StateJson:
    """The parts of a state root."""
    return wire.StateJson(
        holdings=its.holdings.hex(),
        instruments=str(its.instruments),
        records=its.records.hex(),
        count=str(its.count),
        operations=its.operations.hex(),
        done=str(its.done),
        sequences=its.sequences.hex(),
        epochs=its.epochs.hex(),
    )


def contract_proof(proof: ContractProof) -> wire.ContractProofJson:
    contract = None if proof.contract is None else htlc_json(proof.contract)
    return wire.ContractProofJson(state=state(proof.state), contract=contract, way=_way(proof.way))


def operation_proof(proof: OperationProof) -> wire.OperationProofJson:
    return wire.OperationProofJson(
        state=state(proof.state),
        digest=proof.known.hex(),
        height=str(proof.height),
        position=str(proof.position),
        path=tuple(each.hex() for each in proof.path),
        way=_way(proof.way),
    )


def _part(part: Part) -> wire.PartJson:
    return wire.PartJson(
        registry=part.registry,
        root=part.root.hex(),
        held=str(part.held),
        omnibus=None if part.omnibus is None else str(part.omnibus),
    )


def holding_proof(proof: HoldingProof) -> wire.HoldingProofJson:
    return wire.HoldingProofJson(
        issue=issue_proof(proof.issue),
        account=proof.account,
        registry=proof.registry,
        way=_way(proof.way),
        content=proof.content.hex(),
        home=_way(proof.home),
    )


def _way(proof: tree.Proof) -> wire.WayJson:
    return wire.WayJson(
        siblings=tuple(map(_sibling, proof.siblings)),
        end=None if proof.end is None else _end(*proof.end),
    )


def _sibling(its: tree.Sibling | None) -> wire.SiblingJson | None:
    return None if its is None else wire.SiblingJson(hash=its.hash.hex(), sum=str(its.sum))


def _end(key: bytes, sum: int, content: bytes) -> wire.EndJson:
    return wire.EndJson(key=key.hex(), sum=str(sum), content=content.hex())
