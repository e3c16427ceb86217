"""The JSON notation of operations, contracts and answers: strict in, canonical out.

Integers (quantities, instants) are decimal strings without sign, leading zeros or separators;
digests and keys are lower-case hex; absent members are left out, never null. One spelling for each
content, so the notation serves the HTTP contract, the leaves of blocks and the digests alike.
Bad notation raises `WireError`, which names the field and the rule that it breaks.
"""

from binascii import unhexlify
from functools import lru_cache
from hashlib import sha256
from typing import Final

import msgspec

from htlc.canonical import digest
from htlc.contract import Answer, Htlc, Refusal, Status, Terms, Unknown
from htlc.hashlock import Algorithm, Encoding, Hashlock
from htlc.units import (
    QUANTITY_MAX,
    AccountId,
    AssetId,
    HtlcId,
    Instant,
    LegId,
    Quantity,
    SettlementId,
    Value,
)
from ledgers.names import are_terms, is_leg, is_name, is_uuid
from ledgers.port import Cancel, Execute, Issue, Lock, Operation, Redeem, Refund, Transfer
from ledgers.scalars import Hex, Integer, Name, Uuid


class WireError(Exception):
    """Bad notation: the sender's error. `field` is the path of the place, `rule` the reason."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}" if field else rule)
        self.field = field
        self.rule = rule


class WireStruct(
    Value,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,  # a field we would ignore may be one the sender relies on
    omit_defaults=True,  # absent is left out, so that there is one spelling
):
    """What all structs on the wire have in common."""


class HashlockJson(WireStruct, frozen=True, kw_only=True):
    """A hash lock: what the 32 bytes that open it must hash to."""

    algorithm: Algorithm
    digest: Hex
    encoding: Encoding


class TermsJson(WireStruct, frozen=True, kw_only=True):
    """What a lock is on. A ledger that is told a lock again on other terms answers CONFLICT.

    Names are checked where they are converted, by one expression: a pattern for each in the
    decoder takes five times as long as the rest of it.

    The members of what stands in a leaf (this, `HashlockJson`, `block.Leaf`) are in the order of
    RFC 8785, so that encoding them need not sort them (`block.leaf`)."""

    asset: AssetId
    cancellation_lock: HashlockJson | None = None
    execution_lock: HashlockJson
    expires_at: Integer | None = None
    id: HtlcId
    leg: LegId
    lock_by: Integer
    payee: AccountId
    payer: AccountId
    quantity: Integer
    settlement: SettlementId


class LockJson(WireStruct, frozen=True, kw_only=True, tag="lock", tag_field="op"):
    """Lock a quantity of the payer's; ledger time must be before `lock_by`."""

    terms: TermsJson


class ExecuteJson(WireStruct, frozen=True, kw_only=True, tag="execute", tag_field="op"):
    """Open a lock to its payee with the key; anybody may who has it."""

    id: Uuid
    key: Hex


class CancelJson(WireStruct, frozen=True, kw_only=True, tag="cancel", tag_field="op"):
    """Open a lock back to its payer with the key of its cancellation lock."""

    id: Uuid
    key: Hex


class RefundJson(WireStruct, frozen=True, kw_only=True, tag="refund", tag_field="op"):
    """Open a lock back to its payer; ledger time must have reached `expires_at`."""

    id: Uuid


class IssueJson(WireStruct, frozen=True, kw_only=True, tag="issue", tag_field="op"):
    """Issue a quantity to an account; its issuer's, or the central bank's."""

    id: Name
    account: Name
    asset: Name
    quantity: Integer


class RedeemJson(WireStruct, frozen=True, kw_only=True, tag="redeem", tag_field="op"):
    """Take a quantity out of an account and of existence."""

    id: Name
    account: Name
    asset: Name
    quantity: Integer


class TransferJson(WireStruct, frozen=True, kw_only=True, tag="transfer", tag_field="op"):
    """Move a quantity from one account to another."""

    id: Name
    debit: Name
    credit: Name
    asset: Name
    quantity: Integer


OperationJson = (
    LockJson | ExecuteJson | CancelJson | RefundJson | IssueJson | RedeemJson | TransferJson
)


class HtlcJson(WireStruct, frozen=True, kw_only=True):
    """A contract. `terms` are left out only of a minimal answer, for whoever knows them."""

    terms: TermsJson | None = None
    status: Status
    locked_at: Integer
    ended_at: Integer | None = None
    key: Hex | None = None


class AnswerJson(WireStruct, frozen=True, kw_only=True):
    """One answer; `unknown` stands alone and is no fact (the ledger did not get to it)."""

    at: Integer | None = None
    final: bool | None = None
    htlc: HtlcJson | None = None
    refusal: Refusal | None = None
    unknown: str | None = None


# --- from the wire -------------------------------------------------------------------------------


def integer(text: str, field: str) -> int:
    """A decimal string of 0 to 2^63 - 1, in its only spelling."""
    if not (text.isascii() and text.isdigit()) or (text[0] == "0" and text != "0"):
        raise WireError(field, "a decimal integer in a string, without sign or leading zeros")
    value = int(text)
    if value > QUANTITY_MAX:
        raise WireError(field, "at most 2^63 - 1")
    return value


def octets(text: str, field: str) -> bytes:
    """Lower-case hex. The round trip refuses every second spelling."""
    try:
        value = unhexlify(text)
    except ValueError:
        raise WireError(field, "lower-case hex") from None
    if value.hex() != text:
        raise WireError(field, "lower-case hex")
    return value


def _hashlock(wire: HashlockJson, field: str) -> Hashlock:
    return Hashlock(
        algorithm=wire.algorithm, encoding=wire.encoding, digest=octets(wire.digest, field)
    )


def terms_of(wire: TermsJson) -> Terms:
    cancellation, expires = wire.cancellation_lock, wire.expires_at
    if not are_terms(wire.id, wire.settlement, wire.leg, wire.payer, wire.payee, wire.asset):
        raise _misnamed(wire)
    return Terms(
        id=wire.id,
        settlement=wire.settlement,
        leg=wire.leg,
        payer=wire.payer,
        payee=wire.payee,
        asset=wire.asset,
        quantity=Quantity(integer(wire.quantity, "terms.quantity")),
        execution_lock=_hashlock(wire.execution_lock, "terms.execution_lock.digest"),
        cancellation_lock=None
        if cancellation is None
        else _hashlock(cancellation, "terms.cancellation_lock.digest"),
        lock_by=Instant(integer(wire.lock_by, "terms.lock_by")),
        expires_at=None if expires is None else Instant(integer(expires, "terms.expires_at")),
    )


def _misnamed(wire: TermsJson) -> WireError:
    """Which name is not spelled as names are."""
    if not is_uuid(wire.id):
        return WireError("terms.id", _UUID_RULE)
    if not is_uuid(wire.settlement):
        return WireError("terms.settlement", _UUID_RULE)
    if not is_leg(wire.leg):
        return WireError("terms.leg", "1 to 8 capitals and digits")
    names = {"payer": wire.payer, "payee": wire.payee, "asset": wire.asset}
    field = next(field for field, name in names.items() if not is_name(name))
    return WireError(f"terms.{field}", "1 to 64 visible ASCII characters")


_UUID_RULE: Final = "a UUID in lower case"


def operation_of(wire: OperationJson) -> Operation:
    """The operation that `wire` spells; raises WireError."""
    match wire:
        case LockJson():
            return Lock(terms=terms_of(wire.terms))
        case ExecuteJson():
            return Execute(id=wire.id, key=octets(wire.key, "key"))
        case CancelJson():
            return Cancel(id=wire.id, key=octets(wire.key, "key"))
        case RefundJson():
            return Refund(id=wire.id)
        case TransferJson(id=id, debit=debit, credit=credit, asset=asset):
            quantity = Quantity(integer(wire.quantity, "quantity"))
            return Transfer(
                id=id,
                debit=AccountId(debit),
                credit=AccountId(credit),
                asset=AssetId(asset),
                quantity=quantity,
            )
        case (
            IssueJson(id=id, account=account, asset=asset)
            | RedeemJson(id=id, account=account, asset=asset)
        ):
            kind = Issue if isinstance(wire, IssueJson) else Redeem
            quantity = Quantity(integer(wire.quantity, "quantity"))
            return kind(id=id, account=AccountId(account), asset=AssetId(asset), quantity=quantity)


@lru_cache(maxsize=256)  # the answers of a block were given at one time
def _instant(text: str, field: str) -> Instant:
    return Instant(integer(text, field))


def htlc_of(wire: HtlcJson, known: Terms | None = None) -> Htlc:
    """`known` are the terms to be taken where none are told."""
    ended, key = wire.ended_at, wire.key
    terms = known if wire.terms is None else terms_of(wire.terms)
    if terms is None:
        raise WireError("htlc.terms", "are told to whoever has not said to know them")
    return Htlc(
        terms=terms,
        status=wire.status,
        locked_at=_instant(wire.locked_at, "locked_at"),
        ended_at=None if ended is None else _instant(ended, "ended_at"),
        key=None if key is None else octets(key, "key"),
    )


def answer_of(wire: AnswerJson, known: Terms | None = None) -> Answer | Unknown:
    """`known` are the terms of the contract, if it was asked for a minimal answer."""
    if wire.unknown is not None:
        return Unknown(why=wire.unknown)
    if wire.at is None:
        raise WireError("at", "an answer carries the ledger's time")
    return Answer(
        at=_instant(wire.at, "at"),
        final=wire.final is True,  # an answer that does not say so is not final
        htlc=None if wire.htlc is None else htlc_of(wire.htlc, known),
        refusal=wire.refusal,
    )


# --- to the wire ---------------------------------------------------------------------------------


def _hashlock_json(lock: Hashlock) -> HashlockJson:
    return HashlockJson(algorithm=lock.algorithm, encoding=lock.encoding, digest=lock.digest.hex())


def terms_json(terms: Terms) -> TermsJson:
    cancellation, expires = terms.cancellation_lock, terms.expires_at
    return TermsJson(
        id=terms.id,
        settlement=terms.settlement,
        leg=terms.leg,
        payer=terms.payer,
        payee=terms.payee,
        asset=terms.asset,
        quantity=str(terms.quantity),
        execution_lock=_hashlock_json(terms.execution_lock),
        cancellation_lock=None if cancellation is None else _hashlock_json(cancellation),
        lock_by=str(terms.lock_by),
        expires_at=None if expires is None else str(expires),
    )


def operation_json(operation: Operation) -> OperationJson:
    match operation:
        case Lock():
            return LockJson(terms=terms_json(operation.terms))
        case Execute():
            return ExecuteJson(id=operation.id, key=operation.key.hex())
        case Cancel():
            return CancelJson(id=operation.id, key=operation.key.hex())
        case Refund():
            return RefundJson(id=operation.id)
        case Transfer(id=id, debit=debit, credit=credit, asset=asset, quantity=quantity):
            return TransferJson(
                id=id, debit=debit, credit=credit, asset=asset, quantity=str(quantity)
            )
        case Issue(id=id, account=account, asset=asset, quantity=quantity):
            return IssueJson(id=id, account=account, asset=asset, quantity=str(quantity))
        case Redeem(id=id, account=account, asset=asset, quantity=quantity):
            return RedeemJson(id=id, account=account, asset=asset, quantity=str(quantity))


class _TransferContent(msgspec.Struct, frozen=True):
    """A `TransferJson` with its tag among its members in the order of RFC 8785."""

    asset: AssetId
    credit: AccountId
    debit: AccountId
    id: str
    op: str
    quantity: str


_encode_content: Final = msgspec.json.Encoder().encode


def operation_digest(operation: Operation) -> bytes:
    """What an operation says, in 32 bytes: tells a repeat from a conflict."""
    if not isinstance(operation, Transfer):
        return digest(operation_json(operation))
    asset, credit, debit = operation.asset, operation.credit, operation.debit
    quantity = str(operation.quantity)
    # Most that have a digest are transfers: without sorting it takes a third of the time.
    content = _TransferContent(asset, credit, debit, operation.id, "transfer", quantity)
    return sha256(_encode_content(content)).digest()


def htlc_json(htlc: Htlc, *, known: bool = False) -> HtlcJson:
    """`known`: whoever is told knows the terms."""
    return HtlcJson(
        terms=None if known else terms_json(htlc.terms),
        status=htlc.status,
        locked_at=str(htlc.locked_at),
        ended_at=None if htlc.ended_at is None else str(htlc.ended_at),
        key=None if htlc.key is None else htlc.key.hex(),
    )


def answer_json(answer: Answer | Unknown) -> AnswerJson:
    match answer:
        case Unknown(why=why):
            return AnswerJson(unknown=why)
        case Answer(at=at, final=final, htlc=htlc, refusal=refusal):
            return AnswerJson(
                at=str(at),
                final=final,
                htlc=None if htlc is None else htlc_json(htlc),
                refusal=refusal,
            )


def minimal_answer_json(operation: Operation, answer: Answer | Unknown) -> AnswerJson:
    """The answer without the terms that the asker knows: those that its lock asks for, and those
    of a contract that it executes, cancels or refunds."""
    if isinstance(answer, Unknown) or answer.htlc is None:
        return answer_json(answer)
    htlc = answer.htlc
    known = not isinstance(operation, Lock) or operation.terms == htlc.terms
    return AnswerJson(
        at=str(answer.at),
        final=answer.final,
        htlc=htlc_json(htlc, known=known),
        refusal=answer.refusal,
    )
