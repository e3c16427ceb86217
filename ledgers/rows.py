"""Rows of the PostgreSQL ledger to structs and back."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from htlc.contract import Htlc, Status, Terms
from htlc.hashlock import Algorithm, Encoding, Hashlock
from ledgers.block import Block, Header
from ledgers.instruments import Instrument
from ledgers.parties import Account, Mandate

Row = Mapping[str, Any]

_FUNCTION_NAMES: Final = {
    (algorithm, encoding): f"{algorithm}/{encoding}"
    for algorithm in Algorithm
    for encoding in Encoding
}
_FUNCTIONS: Final = {name: function for function, name in _FUNCTION_NAMES.items()}


def htlc(row: Row) -> Htlc:
    cancellation = row["cancellation_function"]
    terms = Terms(
        id=str(row["id"]),  # type: ignore[arg-type]  # NewTypes of text, as the row holds them
        settlement=str(row["settlement"]),  # type: ignore[arg-type]
        leg=row["leg"],
        payer=row["payer"],
        payee=row["payee"],
        asset=row["asset"],
        quantity=row["quantity"],
        execution_lock=_hashlock(row["execution_function"], row["execution_digest"]),
        cancellation_lock=None
        if cancellation is None
        else _hashlock(cancellation, row["cancellation_digest"]),
        lock_by=row["lock_by"],
        expires_at=row["expires_at"],
    )
    return Htlc(
        terms=terms,
        status=Status(row["status"]),
        locked_at=row["locked_at"],
        ended_at=row["ended_at"],
        key=row["key"],
    )


def _hashlock(function: str, digest: bytes) -> Hashlock:
    algorithm, encoding = _FUNCTIONS[function]
    return Hashlock(algorithm=algorithm, encoding=encoding, digest=digest)


def contract_values(contract: Htlc) -> tuple[Any, ...]:
    """One row of `contracts`, in the order of its columns."""
    terms = contract.terms
    execution, cancellation = terms.execution_lock, terms.cancellation_lock
    cancellation_values = (
        (None, None)
        if cancellation is None
        else (
            _FUNCTION_NAMES[cancellation.algorithm, cancellation.encoding],
            cancellation.digest,
        )
    )
    return (
        terms.id,
        terms.settlement,
        terms.leg,
        terms.payer,
        terms.payee,
        terms.asset,
        terms.quantity,
        _FUNCTION_NAMES[execution.algorithm, execution.encoding],
        execution.digest,
        *cancellation_values,
        terms.lock_by,
        terms.expires_at,
        contract.locked_at,
        contract.status,
        contract.ended_at,
        contract.key,
    )


def columns(rows: Iterable[Sequence[Any]], count: int) -> list[Sequence[Any]]:
    """Rows as `count` columns: what `unnest` takes. No rows are `count` empty columns."""
    return list(zip(*rows, strict=True)) or [()] * count


def account(row: Row) -> Account:
    return Account(id=row["id"], owner=row["owner"], blocked=row["blocked"])


def mandate(row: Row) -> Mandate:
    return Mandate(
        account=row["account"], operator=row["operator"], limit=row["ceiling"], until=row["until"]
    )


def instrument(row: Row) -> Instrument:
    return Instrument(
        asset=row["asset"],
        name=row["name"],
        scale=row["scale"],
        quantity_type=row["quantity_type"],
        issuer=row["issuer"],
        counter=row["counter"],
    )


def block(row: Row, ledger: str, leaves: Sequence[bytes]) -> Block:
    header = Header(
        ledger=ledger,  # type: ignore[arg-type]
        height=row["height"],
        previous=row["previous"],
        root=row["root"],
        count=row["count"],
        at=row["at"],
    )
    return Block(header=header, hash=row["hash"], signature=row["signature"], leaves=tuple(leaves))
