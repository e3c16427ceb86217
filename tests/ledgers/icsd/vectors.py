"""Makes the published vectors of the registry network: `python -m tests.ledgers.icsd.vectors`.

Blocks as a node archives them, what was answered, the parts of each state, and proofs of two
holdings and of two operations, in the notation in which a node tells them over HTTP. The keys are
SHA-256 of the registries' names; nothing else must ever use them.
"""

from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.icsd_node import views
from htlc.units import AccountId
from ledgers.icsd.block import Block
from ledgers.icsd.entry import Certificate, Statement
from ledgers.icsd.light import prove_holding, prove_operation
from ledgers.icsd.proof import result_bytes
from tests.ledgers.icsd.network import (
    FOUR,
    ISIN,
    KZ,
    NETWORK,
    Chain,
    certificate_of,
    furnished,
    moved,
)

FILE: Final = Path(__file__).parents[2] / "vectors" / "icsd" / "network.json"


def vectors() -> dict[str, Any]:
    chain = furnished(Chain())
    theft = chain.pens[KZ].bundle(moved("uz-1", "kz-1", 1, "theft"))
    stale = chain.pens[KZ].bundle(moved("kz-1", "uz-1", 1, "stale"), sequence=1)
    chain.block(theft, stale)
    chain.done(KZ, *(moved("kz-1", "uz-1", n, f"more-{n}") for n in range(1, 6)))
    epoch = chain.view.epoch
    proofs = [prove_holding(chain.view, AccountId(name), ISIN) for name in ("uz-1", "uz-2")]
    done = {id: prove_operation(chain.view, id) for id in ("more-2", "more-5")}
    assert None not in (*proofs, *done.values())
    return {
        "network": NETWORK,
        "epoch": {
            "number": str(epoch.number),
            "quorum": str(epoch.quorum),
            "members": {member.registry: member.public_key.hex() for member in epoch.members},
        },
        "blocks": [_block(block) for block in chain.blocks],
        "proofs": [views.holding_proof(proof) for proof in proofs if proof is not None],
        "operations": {
            id: views.operation_proof(proof) for id, proof in done.items() if proof is not None
        },
    }


def _block(block: Block) -> dict[str, Any]:
    results = [result for outcome in block.outcomes for result in outcome.results]
    return {
        "header": block.header.fields(),
        "hash": block.header.hash.hex(),
        "messages": [message.hex() for message in block.messages],
        "cut": block.cut.hex(),
        "ignored": [[str(i.position), str(i.fault)] for i in block.ignored],
        "answers": [msgspec.json.decode(result_bytes(result)) for result in results],
        "statement": _statement(block.statement),
        "signatures": _signatures(certificate_of(block.statement, *FOUR)),
    }


def _statement(statement: Statement) -> dict[str, str]:
    return {
        "epoch": str(statement.epoch),
        "height": str(statement.height),
        "block": statement.block.hex(),
        "results": statement.results.hex(),
        "state": statement.state.hex(),
    }


def _signatures(certificate: Certificate) -> dict[str, str]:
    return {name: signature.hex() for name, signature in certificate.signatures}


def text() -> bytes:
    return msgspec.json.format(msgspec.json.encode(vectors()), indent=1) + b"\n"


if __name__ == "__main__":
    FILE.write_bytes(text())
