"""The rule book of a ledger: pure double-entry bookkeeping with locks.

Theory of operation
-------------------
A `Book` holds rows: accounts, balances, instruments, mandates, contracts, and the digests of the
operations that were done. It may hold all of a ledger (the memory ledger) or only what one batch
touches (the PostgreSQL ledger loads that much): a row that is not in it does not exist.

An operation is judged and then posted, one after the other, in the order of the batch:

    judge(book, operation, by, at) -> Effect    it would have this effect
                                    | Refusal   it is not done, and why
                                    | None      it was done before; nothing is left to do

`judge` changes nothing. An `Effect` is one balanced entry: a quantity of one asset leaves one side
(available or locked) of one account and arrives on a side of another or the same one.

    lock       payer available   -> payer locked
    execute    payer locked      -> payee available
    cancel     payer locked      -> payer available      (refund the same, by the clock)
    issue      counter available -> account available    (the counter-account goes below zero)
    redeem     account available -> counter available
    transfer   debit available   -> credit available

So available + locked over all accounts of an asset, its counter-account included, is zero before
and after every entry; no holder is ever negative; and because the issued amount stays within 63
bits, every balance does.

Idempotency: a contract's id names its terms for ever, so the same lock again finds its contract,
and other terms under a known id are a CONFLICT. Execute, cancel and refund are idempotent by
`htlc.contract`. Issue, redeem and transfer are known by their id and the digest of their content.

The checks of a lock come in this order, because a later one would mislead where an earlier one
fails: known id, authority, terms served here, accounts, `lock_by`, balance.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from htlc import contract
from htlc.contract import Answer, Htlc, Refusal, Terms
from htlc.units import QUANTITY_MAX, AccountId, AssetId, HtlcId, Instant, Quantity, Value
from ledgers.instruments import Instrument
from ledgers.names import is_name
from ledgers.parties import Account, Balance, Mandate, Principal, Role
from ledgers.port import (
    Cancel,
    Execute,
    Issue,
    Lock,
    Operation,
    Redeem,
    Refund,
    Transfer,
)
from ledgers.profile import Profile
from ledgers.wire import operation_digest


class Side(StrEnum):
    """The two sides of an account."""

    AVAILABLE = "available"
    LOCKED = "locked"


class Kind(StrEnum):
    """What an entry records; the values are the tags of the operations."""

    LOCK = "lock"
    EXECUTE = "execute"
    CANCEL = "cancel"
    REFUND = "refund"
    ISSUE = "issue"
    REDEEM = "redeem"
    TRANSFER = "transfer"

    __hash__ = str.__hash__  # that of Enum is Python code, run for each look into a dictionary


SIDES: Final[dict[Kind, tuple[Side, Side]]] = {
    Kind.LOCK: (Side.AVAILABLE, Side.LOCKED),
    Kind.EXECUTE: (Side.LOCKED, Side.AVAILABLE),
    Kind.CANCEL: (Side.LOCKED, Side.AVAILABLE),
    Kind.REFUND: (Side.LOCKED, Side.AVAILABLE),
    Kind.ISSUE: (Side.AVAILABLE, Side.AVAILABLE),
    Kind.REDEEM: (Side.AVAILABLE, Side.AVAILABLE),
    Kind.TRANSFER: (Side.AVAILABLE, Side.AVAILABLE),
}
"""From which side of the debited account to which side of the credited one."""

_AVAILABLE: Final = Side.AVAILABLE  # a member of an enumeration is found by way of its class
_LOCK: Final = Kind.LOCK
_EXECUTE: Final = Kind.EXECUTE


class Effect(Value, frozen=True, kw_only=True):
    """One balanced entry, and the row that remembers it: the contract as it is afterwards, or the
    digest of an operation that made no contract."""

    kind: Kind
    id: str
    by: str  # the principal that submitted it
    at: Instant
    debit: AccountId
    credit: AccountId
    asset: AssetId
    quantity: Quantity
    htlc: Htlc | None = None
    digest: bytes = b""


class Book:
    """The rows. None in a map says "looked for and absent", which is the same as not there."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.accounts: dict[AccountId, Account | None] = {}
        self.instruments: dict[AssetId, Instrument] = {}
        self.mandates: dict[tuple[AccountId, str], Mandate | None] = {}
        self.balances: dict[tuple[AccountId, AssetId], Balance | None] = {}
        self.contracts: dict[HtlcId, Htlc | None] = {}
        self.operations: dict[str, bytes | None] = {}

    def balance(self, account: AccountId, asset: AssetId) -> Balance:
        return self.balances.get((account, asset)) or _NOTHING


_NOTHING = Balance()


def apply_all(
    book: Book, operations: Iterable[Operation], by: Principal, at: Instant
) -> tuple[list[Answer], list[Effect]]:
    """Judge and post the operations in their order: an answer each, and what they changed."""
    answers, effects = [], []
    for operation in operations:
        outcome = judge(book, operation, by, at)
        if isinstance(outcome, Effect):
            post(book, outcome)
            effects.append(outcome)
        answers.append(answer(book, operation, outcome, at))
    return answers, effects


def answer(
    book: Book, operation: Operation, outcome: Effect | Refusal | None, at: Instant
) -> Answer:
    """What is told: the contract as it IS, also beside a refusal."""
    if isinstance(outcome, Effect):
        return Answer(at=at, htlc=outcome.htlc)
    return Answer(at=at, htlc=_standing(book, operation), refusal=outcome)


def _standing(book: Book, operation: Operation) -> Htlc | None:
    """The contract that an operation is about."""
    match operation:
        case Lock(terms=terms):
            return book.contracts.get(terms.id)
        case Execute(id=id) | Cancel(id=id) | Refund(id=id):
            return book.contracts.get(id)
        case _:
            return None


def judge(book: Book, operation: Operation, by: Principal, at: Instant) -> Effect | Refusal | None:
    """What the operation would do, why it is not done, or None if it was done before."""
    match operation:
        case Lock():
            return _lock(book, operation.terms, by, at)
        case Execute() | Cancel() | Refund():
            return _end(book, operation, by, at)
        case Transfer():
            return _once(book, operation, by, at, _transfer(book, operation, by, at))
        case Issue() | Redeem():
            return _once(book, operation, by, at, _issuance(book, operation, by))


# --- contracts -----------------------------------------------------------------------------------


def _lock(book: Book, terms: Terms, by: Principal, at: Instant) -> Effect | Refusal | None:
    known = book.contracts.get(terms.id)
    if known is not None:
        return None if known.terms == terms else Refusal.CONFLICT
    refusal = (
        _unauthorised(book, terms, by, at)
        or (None if book.profile.serves(terms) else Refusal.TERMS_REFUSED)
        or _unpostable(book, terms.payer, terms.payee, terms.asset, terms.quantity)
    )
    if refusal:
        return refusal
    made = contract.lock(terms, at)
    if isinstance(made, Refusal):
        return made
    if book.balance(terms.payer, terms.asset).available < terms.quantity:
        return Refusal.INSUFFICIENT_BALANCE
    return _contract_effect(_LOCK, made, by, at)


def _unauthorised(book: Book, terms: Terms, by: Principal, at: Instant) -> Refusal | None:
    """The owner may, and whoever holds a mandate that covers it. A payer that does not exist has
    no owner to offend; it is refused as unknown further on."""
    payer = book.accounts.get(terms.payer)
    if payer is None or payer.owner == by.name:
        return None
    mandate = book.mandates.get((terms.payer, by.name))
    if mandate is not None and mandate.covers(terms.quantity, at):
        return None
    return Refusal.NOT_AUTHORISED


def _end(
    book: Book, operation: Execute | Cancel | Refund, by: Principal, at: Instant
) -> Effect | Refusal | None:
    known = book.contracts.get(operation.id)
    if known is None:
        return Refusal.UNKNOWN_CONTRACT
    kind, after = _ended(known, operation, at)
    if isinstance(after, Refusal):
        return after
    return None if after is known else _contract_effect(kind, after, by, at)


def _ended(
    known: Htlc, operation: Execute | Cancel | Refund, at: Instant
) -> tuple[Kind, Htlc | Refusal]:
    match operation:
        case Execute():
            return _EXECUTE, contract.execute(known, operation.key, at)
        case Cancel():
            return Kind.CANCEL, contract.cancel(known, operation.key, at)
        case Refund():
            return Kind.REFUND, contract.refund(known, at)


def _contract_effect(kind: Kind, htlc: Htlc, by: Principal, at: Instant) -> Effect:
    terms = htlc.terms
    return Effect(
        kind=kind,
        id=terms.id,
        by=by.name,
        at=at,
        debit=terms.payer,
        credit=terms.payee if kind is _EXECUTE else terms.payer,
        asset=terms.asset,
        quantity=terms.quantity,
        htlc=htlc,
    )


# --- issue, redeem, transfer ---------------------------------------------------------------------


_KINDS: Final[dict[type, Kind]] = {
    Issue: Kind.ISSUE,
    Redeem: Kind.REDEEM,
    Transfer: Kind.TRANSFER,
}


def _once(
    book: Book,
    operation: Issue | Redeem | Transfer,
    by: Principal,
    at: Instant,
    entry: tuple[AccountId, AccountId] | Refusal,
) -> Effect | Refusal | None:
    """The effect of moving along `entry` (debit, credit), unless its id was done before."""
    digest = operation_digest(operation)
    known = book.operations.get(operation.id)
    if known is not None:
        return None if known == digest else Refusal.CONFLICT
    if isinstance(entry, Refusal):
        return entry
    return Effect(
        kind=_KINDS[type(operation)],
        id=operation.id,
        by=by.name,
        at=at,
        debit=entry[0],
        credit=entry[1],
        asset=operation.asset,
        quantity=operation.quantity,
        digest=digest,
    )


def _transfer(
    book: Book, operation: Transfer, by: Principal, at: Instant
) -> tuple[AccountId, AccountId] | Refusal:
    debit, credit, asset = operation.debit, operation.credit, operation.asset
    account = book.accounts.get(debit)
    authorised = account is None or account.owner == by.name
    if not authorised and not _within_one_owner(book, operation, by, at):
        return Refusal.NOT_AUTHORISED
    refusal = _unnameable(operation.id) or _unpostable(
        book, debit, credit, asset, operation.quantity
    )
    if refusal:
        return refusal
    if book.balance(debit, asset).available < operation.quantity:
        return Refusal.INSUFFICIENT_BALANCE
    return debit, credit


def _within_one_owner(book: Book, operation: Transfer, by: Principal, at: Instant) -> bool:
    """Whether a mandate covers it: liquidity moved between accounts of one owner stays its own."""
    debit, credit = book.accounts.get(operation.debit), book.accounts.get(operation.credit)
    mandate = book.mandates.get((operation.debit, by.name))
    return (
        debit is not None
        and credit is not None
        and debit.owner == credit.owner
        and mandate is not None
        and mandate.covers(operation.quantity, at)
    )


def _issuance(
    book: Book, operation: Issue | Redeem, by: Principal
) -> tuple[AccountId, AccountId] | Refusal:
    instrument = book.instruments.get(operation.asset)
    if instrument is None:
        return Refusal.UNKNOWN_ASSET
    if by.role is not Role.ISSUER or by.name != instrument.issuer:
        return Refusal.NOT_AUTHORISED
    if operation.quantity < 1 or operation.account == instrument.counter:
        return Refusal.TERMS_REFUSED
    if book.accounts.get(operation.account) is None:
        return Refusal.UNKNOWN_ACCOUNT
    return _unnameable(operation.id) or _issuance_entry(book, operation, instrument.counter)


def _issuance_entry(
    book: Book, operation: Issue | Redeem, counter: AccountId
) -> tuple[AccountId, AccountId] | Refusal:
    if isinstance(operation, Issue):
        issued = -book.balance(counter, operation.asset).available
        if issued + operation.quantity > QUANTITY_MAX:
            return Refusal.LIMIT_EXCEEDED
        return counter, operation.account
    if book.balance(operation.account, operation.asset).available < operation.quantity:
        return Refusal.INSUFFICIENT_BALANCE
    return operation.account, counter


def _unnameable(operation_id: str) -> Refusal | None:
    return None if is_name(operation_id) else Refusal.TERMS_REFUSED


# --- what locks and transfers have in common -----------------------------------------------------


def _unpostable(
    book: Book, debit: AccountId, credit: AccountId, asset: AssetId, quantity: int
) -> Refusal | None:
    """Nothing but issue and redeem may touch a counter-account: the issued amount would change
    behind the issuer's back."""
    if debit == credit or quantity < 1:
        return Refusal.TERMS_REFUSED
    instrument = book.instruments.get(asset)
    if instrument is None:
        return Refusal.UNKNOWN_ASSET
    if instrument.counter in (debit, credit):
        return Refusal.TERMS_REFUSED
    account = book.accounts.get(debit)
    if account is None or book.accounts.get(credit) is None:
        return Refusal.UNKNOWN_ACCOUNT
    return Refusal.ACCOUNT_BLOCKED if account.blocked else None


# --- posting -------------------------------------------------------------------------------------


def post(book: Book, effect: Effect) -> None:
    """Enter an effect that `judge` found, before anything else is judged."""
    from_side, to_side = SIDES[effect.kind]
    quantity, asset, htlc = effect.quantity, effect.asset, effect.htlc
    taken = (-quantity, 0) if from_side is _AVAILABLE else (0, -quantity)
    given = (quantity, 0) if to_side is _AVAILABLE else (0, quantity)
    if effect.debit == effect.credit:
        _move(book, effect.debit, asset, taken[0] + given[0], taken[1] + given[1])
    else:
        _move(book, effect.debit, asset, *taken)
        _move(book, effect.credit, asset, *given)
    if htlc is not None:
        book.contracts[htlc.terms.id] = htlc
    else:
        book.operations[effect.id] = effect.digest


def _move(book: Book, account: AccountId, asset: AssetId, available: int, locked: int) -> None:
    """Add to the two sides of an account."""
    key = (account, asset)
    before = book.balances.get(key) or _NOTHING
    after = Balance(before.available + available, before.locked + locked)
    counter = account == book.instruments[asset].counter
    assert after.available <= 0 if counter else after.available >= 0, "no holder is ever negative"
    assert after.locked >= 0, "no more is unlocked than was locked"
    book.balances[key] = after
