"""What a node tells, read back: the same, and whatever is not of the notation is a forgery."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from gateway.icsd_node import reading, views, wire
from htlc.units import AccountId, HtlcId
from ledgers.icsd.light import prove_contract, prove_holding, prove_operation
from ledgers.icsd.tree import ForgedProof
from tests.ledgers.icsd.network import FOUR, ISIN, Chain, certificate_of, furnished

ANY_TEXT = {"account", "asset", "registry", "quorum"}
"""What names say is checked by the proof; a quorum follows from the members."""


def told() -> list[tuple[Any, Any, Callable[[Any], Any], type]]:
    """What there is, what is told of it, how it is read, as what it is decoded."""
    view = furnished(Chain()).view
    holding = prove_holding(view, AccountId("uz-1"), ISIN)
    assert holding is not None
    contract = prove_contract(view, HtlcId("none"))
    operation = prove_operation(view, next(iter(view.book.operations)))
    assert operation is not None
    return [
        (holding, views.holding_proof(holding), reading.holding_proof, wire.HoldingProofJson),
        (holding.issue, views.issue_proof(holding.issue), reading.issue_proof, wire.IssueProofJson),
        (contract, views.contract_proof(contract), reading.contract_proof, wire.ContractProofJson),
        (
            operation,
            views.operation_proof(operation),
            reading.operation_proof,
            wire.OperationProofJson,
        ),
        (view.epoch, views.epoch(view.epoch), reading.epoch, wire.EpochJson),
    ]


def test_everything_is_read_as_it_was_told() -> None:
    for there, view, read, kind in told():
        assert read(reading.decoded(msgspec.json.encode(view), kind)) == there


def test_a_certificate_is_read_as_it_was_told() -> None:
    block = furnished(Chain()).blocks[-1]
    its = certificate_of(block.statement, *FOUR)
    view = wire.NetworkBlockJson(
        header=views.header(block.header),
        hash=block.header.hash.hex(),
        statement=views.statement(block.statement),
        entries="1",
        certificate=views.certificate(its),
    )
    shown = reading.certified(reading.decoded(msgspec.json.encode(view), wire.NetworkBlockJson))
    assert (shown.header, shown.certificate) == (block.header, its)
    with pytest.raises(ForgedProof, match="without its certificate"):
        reading.certified(msgspec.structs.replace(view, certificate=None))


def leaves(node: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each text."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        if isinstance(value, dict | list):
            yield from leaves(value, (*way, key))
        elif isinstance(value, str):
            yield (*way, key)


def with_text(node: Any, way: tuple[Any, ...], text: Any) -> Any:
    changed = msgspec.json.decode(msgspec.json.encode(node))
    place = changed
    for key in way[:-1]:
        place = place[key]
    place[way[-1]] = text
    return changed


@pytest.mark.parametrize("wrong", ["x", "0x", 7, [], {}])
def test_what_is_not_of_the_notation_is_a_forgery(wrong: Any) -> None:
    tried = 0
    for _, view, read, kind in told():
        plain = msgspec.to_builtins(view)
        for way in leaves(plain):
            if way[-1] in ANY_TEXT and isinstance(wrong, str):
                continue
            body = msgspec.json.encode(with_text(plain, way, wrong))
            with pytest.raises(ForgedProof, match="not of the notation"):
                read(reading.decoded(body, kind))
            tried += 1
    assert tried > 40


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'"\xff"', b"null"])
def test_what_is_no_answer_at_all_is_a_forgery(body: bytes) -> None:
    for kind in (wire.HeadJson, wire.ProvedHolding, list[wire.NetworkBlockJson]):
        if (kind, body) != (list[wire.NetworkBlockJson], b"[]"):
            with pytest.raises(ForgedProof):
                reading.decoded(body, kind)
