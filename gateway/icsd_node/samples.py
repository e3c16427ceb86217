"""Examples of a node's published description. Hashes and signatures are of nothing: they show their
form, and verify as nothing."""

import hashlib
from typing import Final

from gateway.icsd_node import wire

_AT: Final = "1791277200000000000"  # 2026-10-06T09:00:00Z


def _hash(of: str) -> str:
    return hashlib.sha256(of.encode()).hexdigest()


def _header(height: int) -> wire.HeaderJson:
    return wire.HeaderJson(
        network="securities",
        epoch="1",
        height=str(height),
        previous=_hash(f"block {height - 1}"),
        operations=_hash(f"operations {height}"),
        count="1",
        at=_AT,
        certificate=_hash(f"certificate {height - 1}"),
    )


def _statement(height: int) -> wire.StatementJson:
    return wire.StatementJson(
        epoch="1",
        height=str(height),
        block=_hash(f"block {height}"),
        results=_hash(f"results {height}"),
        state=_hash(f"state {height}"),
    )


def _certificate(height: int) -> wire.CertificateJson:
    signatures = {name: _hash(name) + _hash(str(height)) for name in ("FR", "KZ", "UZ")}
    return wire.CertificateJson(statement=_statement(height), signatures=signatures)


def _block(height: int) -> wire.NetworkBlockJson:
    return wire.NetworkBlockJson(
        header=_header(height),
        hash=_hash(f"block {height}"),
        statement=_statement(height),
        entries="1",
        certificate=_certificate(height),
    )


CERTIFICATE: Final = _certificate(7)
BLOCK: Final = _block(7)
HEAD: Final = wire.HeadJson(
    registry="KZ",
    network="securities",
    height="8",
    final="7",
    at=_AT,
    serving=True,
    block=BLOCK,
    child=_block(8),
)
EPOCH: Final = wire.EpochJson(
    epoch="1",
    start="1",
    members={name: _hash(f"key of {name}") for name in ("DE", "FR", "KZ", "UZ")},
    quorum="3",
)
ISSUE: Final = wire.ProvedIssue(
    block=BLOCK,
    child=_block(8),
    proof=wire.IssueProofJson(
        state=wire.StateJson(
            holdings=_hash("holdings"),
            instruments="1",
            records=_hash("records"),
            count="12",
            operations=_hash("operations"),
            done="2",
            sequences=_hash("sequences"),
            epochs=_hash("epochs"),
        ),
        issuance=wire.IssuanceJson(
            asset="XS9990000010",
            registry="KZ",
            issued="100000000",
            parts=(
                wire.PartJson(registry="KZ", root=_hash("holders at KZ"), held="90000000"),
                wire.PartJson(
                    registry="UZ",
                    root=_hash("holders at UZ"),
                    held="10000000",
                    omnibus="10000000",
                ),
            ),
        ),
        way=wire.WayJson(
            siblings=(),
            end=wire.EndJson(key=_hash("XS9990000010"), sum="0", content=_hash("issuance")),
        ),
    ),
)
