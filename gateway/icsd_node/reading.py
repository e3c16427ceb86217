"""The other side of `views`: what a node tells, read strictly, for who checks it himself.

Raises ForgedProof for whatever is not of the notation: a light client makes no difference between
an answer that is wrong and one that is malformed.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import msgspec

from htlc.units import AccountId, AssetId, Instant, LedgerId
from ledgers.icsd import tree
from ledgers.icsd.entry import Certificate, Hash, Signed, Statement
from ledgers.icsd.epoch import Epoch, Member, RegistryId
from ledgers.icsd.light import (
    Certified,
    ContractProof,
    HoldingProof,
    IssueProof,
    OperationProof,
)
from ledgers.icsd.proof import Evidence, Header, Offence, State
from ledgers.icsd.roots import Issuance, Part
from ledgers.icsd.tree import ForgedProof
from ledgers.wire import HtlcJson, WireError, htlc_of

P = ParamSpec("P")
T = TypeVar("T")


def _strict(read: Callable[P, T]) -> Callable[P, T]:
    @wraps(read)
    def strictly(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(*args, **kwargs)
        except (KeyError, TypeError, ValueError, AttributeError, WireError) as error:
            raise ForgedProof(f"not of the notation: {error!r}") from None

    return strictly


def _hash(text: str) -> Hash:
    found = bytes.fromhex(text)
    if len(found) != 32:
        raise ValueError(f"{text}: expected 32 bytes")
    return Hash(found)


@_strict
def certified(told: dict[str, Any]) -> Certified:
    """A block with its certificate."""
    said, its = told["header"], told["certificate"]
    header = Header(
        network=LedgerId(said["network"]),
        epoch=int(said["epoch"]),
        height=int(said["height"]),
        previous=_hash(said["previous"]),
        operations=_hash(said["operations"]),
        count=int(said["count"]),
        at=Instant(int(said["at"])),
        certificate=_hash(said["certificate"]),
    )
    return Certified(header=header, certificate=_certificate(its))


def _certificate(told: dict[str, Any]) -> Certificate:
    said = told["statement"]
    statement = Statement(
        epoch=int(said["epoch"]),
        height=int(said["height"]),
        block=_hash(said["block"]),
        results=_hash(said["results"]),
        state=_hash(said["state"]),
    )
    signatures = [(RegistryId(n), bytes.fromhex(s)) for n, s in told["signatures"].items()]
    return Certificate(statement=statement, signatures=tuple(sorted(signatures)))


@_strict
def epoch(told: dict[str, Any]) -> Epoch:
    """The members in force. To be compared with what one knows: who tells it could be lying."""
    members = tuple(
        Member(registry=RegistryId(name), public_key=_hash(key))
        for name, key in sorted(told["members"].items())
    )
    return Epoch(number=int(told["epoch"]), members=members, start=int(told["start"]))


@_strict
def holding_proof(told: dict[str, Any]) -> HoldingProof:
    return HoldingProof(
        issue=issue_proof(told["issue"]),
        account=AccountId(told["account"]),
        registry=RegistryId(told["registry"]),
        way=_way(told["way"]),
        content=_hash(told["content"]),
        home=_way(told["home"]),
    )


@_strict
def issue_proof(told: dict[str, Any]) -> IssueProof:
    issuance = told["issuance"]
    return IssueProof(
        state=_state(told["state"]),
        issuance=Issuance(
            asset=AssetId(issuance["asset"]),
            registry=RegistryId(issuance["registry"]),
            issued=int(issuance["issued"]),
            parts=tuple(map(_part, issuance["parts"])),
        ),
        way=_way(told["way"]),
    )


@_strict
def contract_proof(told: dict[str, Any]) -> ContractProof:
    contract = told["contract"]
    return ContractProof(
        state=_state(told["state"]),
        contract=None if contract is None else htlc_of(msgspec.convert(contract, HtlcJson)),
        way=_way(told["way"]),
    )


@_strict
def operation_proof(told: dict[str, Any]) -> OperationProof:
    return OperationProof(
        state=_state(told["state"]),
        known=_hash(told["digest"]),
        height=int(told["height"]),
        position=int(told["position"]),
        path=tuple(map(_hash, told["path"])),
        way=_way(told["way"]),
    )


@_strict
def evidence(told: dict[str, Any]) -> Evidence:
    """To be checked: `proof.is_evidence`."""
    registry = RegistryId(told["registry"])
    first, second = (
        Signed(registry, bytes.fromhex(each["body"]), bytes.fromhex(each["signature"]))
        for each in (told["first"], told["second"])
    )
    return Evidence(
        offence=Offence(told["offence"]),
        registry=registry,
        epoch=int(told["epoch"]),
        place=int(told["place"]),
        first=first,
        second=second,
    )


def _state(told: dict[str, Any]) -> State:
    return State(
        holdings=_hash(told["holdings"]),
        instruments=int(told["instruments"]),
        records=_hash(told["records"]),
        count=int(told["count"]),
        operations=_hash(told["operations"]),
        done=int(told["done"]),
        sequences=_hash(told["sequences"]),
        epochs=_hash(told["epochs"]),
    )


def _part(told: dict[str, Any]) -> Part:
    omnibus = told.get("omnibus")
    return Part(
        registry=RegistryId(told["registry"]),
        root=_hash(told["root"]),
        held=int(told["held"]),
        omnibus=None if omnibus is None else int(omnibus),
    )


def _way(told: dict[str, Any]) -> tree.Proof:
    end = told.get("end")
    return tree.Proof(
        siblings=tuple(
            None if sibling is None else tree.Sibling(_hash(sibling["hash"]), int(sibling["sum"]))
            for sibling in told["siblings"]
        ),
        end=None
        if end is None
        else (_hash(end["key"]), int(end["sum"]), bytes.fromhex(end["content"])),
    )
