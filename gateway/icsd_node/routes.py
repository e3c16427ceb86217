"""The table of what a registry's node serves of the network, beside the contract of every ledger
(`ledgers.routes`) and messages (`messages.ROUTES`).

A test holds every answer of a node against the description that is made of the three.
"""

from typing import Any, Final

from gateway.icsd_node import archive, endpoints, moments, snapshot, wire
from gateway.icsd_node import samples as sample
from gateway.icsd_node.served import MSGPACK
from ledgers.described import Answer, Content, Parameter, page_limit
from ledgers.problems import Kind
from ledgers.route import Route
from ledgers.routes import AFTER_HEIGHT, INTEGER, NAME, in_path, shown

REGISTRY: Final = "/v1/registry"

_ISIN: Final = in_path("isin", "An instrument: an ISIN", NAME, "XS9990000010")
_HEIGHT: Final = in_path("height", "Of a final block", INTEGER, "7")
_PROVED: Final = (
    "Made of the newest block, once it is final: that may take a moment. `block` and `child` show "
    "that it is; `proof` leads to the state root that a quorum signed. `lockstep registry verify` "
    "checks all of it."
)


def _proof(path: str, name: str, summary: str, **row: Any) -> Route:
    return Route(
        method="GET",
        path=f"{REGISTRY}/{path}",
        name=name,
        summary=summary,
        description=_PROVED,
        **row,
    )


def _read(path: str, name: str, summary: str, **row: Any) -> Route:
    """Of operators and supervisors."""
    refusals = (Kind.FORBIDDEN, *row.pop("refusals", ()))
    return Route(
        method="GET",
        path=f"{REGISTRY}/{path}",
        name=name,
        summary=summary,
        refusals=refusals,
        **row,
    )


_NETWORK: Final = (
    _read(
        "head",
        "showHead",
        "How far the node is, whether it serves, and its last final block",
        handler=endpoints.get_head,
        answers=shown("Where it stands", wire.HeadJson, sample.HEAD),
    ),
    _read(
        "blocks",
        "readNetworkBlocks",
        "Final blocks from a height on, each with its certificate",
        handler=endpoints.get_blocks,
        parameters=(AFTER_HEIGHT, page_limit(endpoints.BLOCKS_MAX, endpoints.BLOCKS_MAX)),
        answers=shown("Blocks in order", tuple[wire.NetworkBlockJson, ...], (sample.BLOCK,)),
        refusals=(Kind.BEFORE_SNAPSHOT,),
    ),
    _read(
        "certificates/{height}",
        "showCertificate",
        "A quorum's signatures on one block",
        handler=endpoints.get_certificate,
        parameters=(_HEIGHT,),
        answers=shown("The certificate", wire.CertificateJson, sample.CERTIFICATE),
        refusals=(Kind.NOT_FOUND, Kind.BEFORE_SNAPSHOT),
    ),
    _read(
        "epochs",
        "showMembers",
        "The members in force with their keys; the next ones if they are decided",
        handler=endpoints.get_epochs,
        answers=shown("One or two", tuple[wire.EpochJson, ...], (sample.EPOCH,)),
    ),
    _read(
        "evidence",
        "showEvidence",
        "Proofs against members: two signed messages of which only one may be",
        handler=endpoints.get_evidence,
        answers=shown("Empty, as it should be", tuple[wire.EvidenceJson, ...]),
    ),
)

_PROOFS: Final = (
    _proof(
        "issues/{isin}",
        "proveIssue",
        "An instrument over all registries, for operators and supervisors",
        handler=endpoints.get_issue,
        parameters=(_ISIN,),
        answers=shown("What was issued and who holds it", wire.ProvedIssue, sample.ISSUE),
        refusals=(Kind.FORBIDDEN, Kind.NOT_FOUND),
    ),
    _proof(
        "holdings/{account}/{isin}",
        "proveHolding",
        "What an account holds, or that it holds nothing; its owner may ask too",
        handler=endpoints.get_holding,
        parameters=(in_path("account", "An account", NAME, "kz-1"), _ISIN),
        answers=shown("The holding", wire.ProvedHolding),
        refusals=(Kind.NOT_FOUND,),
    ),
    _proof(
        "contracts/{id}",
        "proveContract",
        "A contract as it is, or that there is none; for anybody who knows the id",
        handler=endpoints.get_contract,
        parameters=(
            in_path("id", "Of the contract", NAME, "0192f3c4-5d6e-7f80-9a1b-2c3d4e5f6071"),
        ),
        answers=shown("The contract", wire.ProvedContract),
    ),
    _proof(
        "operations/{id}",
        "proveOperation",
        "That a transfer, issue or redemption was done, and in which block",
        handler=endpoints.get_operation,
        parameters=(in_path("id", "Of the operation", NAME, "issue-1"),),
        answers=shown("The digest of its content", wire.ProvedOperation),
        refusals=(Kind.NOT_FOUND,),
    ),
)


def _packed(description: str, media: str = MSGPACK) -> tuple[Answer, ...]:
    contents = (Content(media=media, binary=True),)
    return (Answer(status=200, description=description, contents=contents),)


_AFTER: Final = Parameter(
    name="after",
    place="query",
    description="Height of the last block that is known",
    schema=INTEGER,
)
_MSGPACK: Final = (Content(media=MSGPACK, binary=True),)
_KEPT: Final = (Kind.FORBIDDEN, Kind.NOT_FINAL, Kind.NOT_KEPT)


def _moment(what: str, name: str, summary: str, **row: Any) -> Route:
    return Route(
        method="POST",
        path=f"{moments.PATH}{{height}}/{what}",
        name=name,
        summary=summary,
        parameters=(_HEIGHT,),
        request=_MSGPACK,
        answers=_packed("MessagePack (`ledgers/icsd/README.md`)"),
        refusals=_KEPT,
        **row,
    )


_FOR_REGISTRIES: Final = (
    _read(
        "archive",
        "readArchive",
        "Certified blocks as they were read from the log, for other registries",
        handler=archive.get_archive,
        parameters=(_AFTER,),
        answers=_packed("Blocks in order, as MessagePack"),
        refusals=(Kind.BEFORE_SNAPSHOT,),
    ),
    _read(
        "begun",
        "readBegun",
        "Epochs that people began when a log was lost",
        handler=archive.get_begun,
        answers=_packed("Epochs in order, as MessagePack"),
    ),
    _read(
        "lineage",
        "readLineage",
        "Every change of the members, with what decided it",
        handler=archive.get_lineage,
        answers=_packed("Changes in order, as MessagePack"),
    ),
    _read(
        "snapshot",
        "readSnapshot",
        "The book at the last final height, streamed; one at a time, else 503",
        handler=snapshot.get_snapshot,
        answers=_packed("Records of MessagePack after their lengths", "application/octet-stream"),
        refusals=(Kind.NO_SNAPSHOT,),
    ),
    Route(
        method="GET",
        path=f"{moments.PATH}{{height}}",
        name="showMoment",
        summary="What a quorum signed of one of the last heights, and its parts",
        handler=moments.get_moment,
        parameters=(_HEIGHT,),
        answers=_packed("MessagePack (`ledgers/icsd/README.md`)"),
        refusals=_KEPT,
    ),
    _moment(
        "children",
        "readChildren",
        "What stands at places of a tree",
        handler=moments.post_children,
    ),
    _moment(
        "issuances",
        "readIssuances",
        "The instruments whose leaves these are",
        handler=moments.post_issuances,
    ),
    _moment(
        "rows",
        "readRows",
        "The rows of the book whose leaves these are",
        handler=moments.post_rows,
    ),
)

ROUTES: Final = (*_NETWORK, *_PROOFS, *_FOR_REGISTRIES)
"""In the order of the published description."""
