"""The proof that both keys of a pair were released: two postings in signed blocks (design of the
lock protocols, "What is not promised").

Each piece is an inclusion proof as `ledgers/README.md` describes it. Whoever has the ledgers'
public keys and the agreement can verify it without this code: the one leaf carries the preimage of
an execution lock, the other that of a cancellation lock of the same pair.
"""

from collections.abc import Mapping

import msgspec

from gateway.audit.databases import Snapshot, contract
from gateway.audit.findings import Finding
from htlc.agreement import Agreement
from htlc.contract import Htlc, Status
from ledgers import rows
from ledgers.block import Block, prove, read_leaf
from ledgers.views import proof_json


class Prover:
    """Finds the postings that ended contracts, and proves them."""

    def __init__(self, ledgers: Mapping[str, Snapshot]) -> None:
        self._ledgers = ledgers

    async def prove(self, finding: Finding, agreement: Agreement) -> Finding:
        """The finding with the two postings named, and their inclusion proofs."""
        said, evidence = [], []
        seen: set[tuple[str, Status]] = set()
        for leg in agreement.legs:
            found = await self._ledgers[leg.ledger].fetch("contracts", [leg.terms.id])
            held = contract(found[0]) if found else None
            if held is None or held.key is None or (leg.pair, held.status) in seen:
                continue
            block, position = await self._posting(leg.ledger, held)
            if block is None:
                continue
            seen.add((leg.pair, held.status))
            role = "execution" if held.status is Status.EXECUTED else "cancellation"
            where = f"ledger {leg.ledger} block {block.header.height} posting {position}"
            said.append(f"{role} key {held.key.hex()} on {where}")
            evidence.append(msgspec.Raw(msgspec.json.encode(proof_json(prove(block, position)))))
        what = "; ".join([finding.what, *said])
        return msgspec.structs.replace(finding, what=what, evidence=tuple(evidence))

    async def _posting(self, ledger: str, held: Htlc) -> tuple[Block | None, int]:
        """The block and position of the posting that ended a contract."""
        snapshot = self._ledgers[ledger]
        for row in await snapshot.fetch("block_at", held.ended_at):
            height = row["height"]
            leaves = [p["leaf"] for p in await snapshot.fetch("postings", height - 1, height)]
            for position, leaf in enumerate(leaves):
                if _ended_by(leaf, held):
                    return rows.block(row, ledger, leaves), position
        return None, 0


def _ended_by(leaf: bytes, held: Htlc) -> bool:
    """Whether this posting ended the contract. One that cannot be read proves nothing."""
    try:
        entry = read_leaf(leaf)
    except msgspec.DecodeError:
        return False
    return entry.id == held.terms.id and entry.key is not None
