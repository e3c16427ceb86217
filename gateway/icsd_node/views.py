"""The JSON notation of what a node tells of the network: as in `ledgers.wire`, integers are decimal
strings, hashes and signatures lower-case hex."""

from typing import Any

from ledgers.icsd import tree
from ledgers.icsd.entry import Certificate, Signed, Statement
from ledgers.icsd.epoch import Epoch
from ledgers.icsd.light import ContractProof, HoldingProof, IssueProof, OperationProof
from ledgers.icsd.node import Node
from ledgers.icsd.proof import Evidence, State, epoch_fields
from ledgers.icsd.roots import Part
from ledgers.icsd.store import Archived
from ledgers.wire import htlc_json

Json = dict[str, Any]


def head(node: Node) -> Json:
    """Where the node stands, and why it serves no more if it does not."""
    found: Json = {
        "registry": node.me,
        "network": node.replica.view.network,
        "height": str(node.replica.view.height),
        "final": str(node.head.final),
        "at": str(node.at),
        "serving": node.stopped is None and node.caught_up,
    }
    if node.head.base:
        found |= {"base": str(node.head.base)}  # joined by a snapshot: the blocks since are here
    if node.stopped is None:
        return found
    return found | {"stopped": node.stopped, "differences": list(node.differences)}


def block(archived: Archived, its: Certificate | None) -> Json:
    found: Json = {
        "header": archived.header.fields(),
        "hash": archived.header.hash.hex(),
        "statement": statement(archived.statement),
        "entries": str(sum(len(outcome.results) for outcome in archived.outcomes)),
    }
    return found if its is None else found | {"certificate": certificate(its)}


def statement(said: Statement) -> Json:
    return {
        "epoch": str(said.epoch),
        "height": str(said.height),
        "block": said.block.hex(),
        "results": said.results.hex(),
        "state": said.state.hex(),
    }


def certificate(its: Certificate) -> Json:
    signatures = {registry: signature.hex() for registry, signature in its.signatures}
    return {"statement": statement(its.statement), "signatures": signatures}


def epoch(its: Epoch) -> Json:
    members = {member.registry: member.public_key.hex() for member in its.members}
    return epoch_fields(its) | {"members": members, "quorum": str(its.quorum)}


def evidence(shown: Evidence) -> Json:
    """Verifiable by itself: both messages with their signatures."""
    return {
        "offence": shown.offence,
        "registry": shown.registry,
        "epoch": str(shown.epoch),
        "place": str(shown.place),
        "first": _signed(shown.first),
        "second": _signed(shown.second),
    }


def _signed(message: Signed) -> Json:
    return {"body": message.body.hex(), "signature": message.signature.hex()}


# --- proofs ---------------------------------------------------------------------------------------


def issue_proof(proof: IssueProof) -> Json:
    issuance = proof.issuance
    return {
        "state": state(proof.state),
        "issuance": {
            "asset": issuance.asset,
            "registry": issuance.registry,
            "issued": str(issuance.issued),
            "parts": [_part(part) for part in issuance.parts],
        },
        "way": _way(proof.way),
    }


def state(its: State) -> Json:
    """The parts of a state root."""
    return {
        "holdings": its.holdings.hex(),
        "instruments": str(its.instruments),
        "records": its.records.hex(),
        "count": str(its.count),
        "operations": its.operations.hex(),
        "done": str(its.done),
        "sequences": its.sequences.hex(),
        "epochs": its.epochs.hex(),
    }


def contract_proof(proof: ContractProof) -> Json:
    contract = None if proof.contract is None else htlc_json(proof.contract)
    return {"state": state(proof.state), "contract": contract, "way": _way(proof.way)}


def operation_proof(proof: OperationProof) -> Json:
    return {
        "state": state(proof.state),
        "digest": proof.known.hex(),
        "height": str(proof.height),
        "position": str(proof.position),
        "path": [each.hex() for each in proof.path],
        "way": _way(proof.way),
    }


def _part(part: Part) -> Json:
    found: Json = {"registry": part.registry, "root": part.root.hex(), "held": str(part.held)}
    return found if part.omnibus is None else found | {"omnibus": str(part.omnibus)}


def holding_proof(proof: HoldingProof) -> Json:
    return {
        "issue": issue_proof(proof.issue),
        "account": proof.account,
        "registry": proof.registry,
        "way": _way(proof.way),
        "content": proof.content.hex(),
        "home": _way(proof.home),
    }


def _way(proof: tree.Proof) -> Json:
    found: Json = {
        "siblings": [
            None if sibling is None else {"hash": sibling.hash.hex(), "sum": str(sibling.sum)}
            for sibling in proof.siblings
        ]
    }
    if proof.end is not None:
        key, sum, content = proof.end
        found["end"] = {"key": key.hex(), "sum": str(sum), "content": content.hex()}
    return found
