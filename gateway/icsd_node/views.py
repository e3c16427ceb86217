"""The JSON notation of what a node tells of the network: as in `ledgers.wire`, integers are decimal
strings, hashes and signatures lower-case hex."""

from collections.abc import Mapping
from typing import Any

from ledgers.icsd.entry import Certificate, Signed, Statement
from ledgers.icsd.epoch import Epoch
from ledgers.icsd.node import Node
from ledgers.icsd.proof import Evidence, epoch_fields
from ledgers.icsd.store import Archived

Json = dict[str, Any]


def head(
    node: Node, blocks: Mapping[int, Archived], certificates: Mapping[int, Certificate]
) -> Json:
    """`certificates` has both, of the final block and of its child: together they make it final."""
    final = node.head.final
    found: Json = {
        "registry": node.me,
        "network": node.replica.view.network,
        "height": str(node.replica.view.height),
        "final": str(final),
        "at": str(node.at),
        "serving": node.stopped is None and node.caught_up,
    }
    if node.stopped is not None:
        found["stopped"] = node.stopped
    for name, height in (("block", final), ("child", final + 1)):
        if height in blocks:
            found[name] = block(blocks[height], certificates.get(height))
    return found


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
