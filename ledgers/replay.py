"""The books once more, from the postings alone: pure, one posting at a time.

Each leaf is read back into the operation that it records, judged by the rules of `htlc.contract`
against what the leaves before have left, and written out again by `block.leaf`: the bytes must be
the same. So a posting is found out that no ledger of ours would have made, whoever signed it.
What it moves is taken as it is said, right or wrong: the balances are those of the chain.

Only open contracts and balances are kept; memory does not grow with history.
"""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from htlc import contract
from htlc.contract import Htlc, Refusal
from htlc.units import AccountId, AssetId, HtlcId, Instant, Quantity
from ledgers.block import Leaf, leaf, read_leaf
from ledgers.book import Effect, Kind, Side
from ledgers.names import is_name
from ledgers.port import Issue, Redeem, Transfer
from ledgers.wire import WireError, integer, octets, operation_digest, terms_of


class Flaw(StrEnum):
    """What can be wrong with a posting."""

    ENTRY = "entry"  # it is not what the book would have written
    ONCE = "once"  # it had its effect before, or nothing to have an effect on


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One flaw of one posting: what was expected, and what is there."""

    flaw: Flaw
    what: str


class _Impossible(Exception):
    """The posting cannot be, after those before it."""

    def __init__(self, flaw: Flaw, what: str) -> None:
        super().__init__(what)
        self.fault = Fault(flaw=flaw, what=what)


class Replay:
    """The books of one ledger; `counters` are the counter-accounts of its assets."""

    def __init__(self, counters: Mapping[AssetId, AccountId]) -> None:
        self._counters = counters
        self.open: dict[HtlcId, Htlc] = {}
        self.balances: dict[tuple[AccountId, AssetId], list[int]] = {}  # available, locked
        self.kinds: Counter[Kind] = Counter()
        self.movements: Counter[AccountId] = Counter()
        """Postings of each account: of its statement."""

    def take(self, data: bytes, at: Instant) -> tuple[Effect | None, list[Fault]]:
        """Follow one posting of a block with ledger time `at`: what it does, and its faults."""
        try:
            entry = read_leaf(data)
            quantity = integer(entry.quantity, "quantity")
        except (msgspec.DecodeError, WireError) as error:
            return None, [Fault(flaw=Flaw.ENTRY, what=f"expected an entry: {error}")]
        faults = self._move(entry, quantity)
        self.kinds[entry.op] += 1
        try:
            effect = self._effect(entry, at)
        except (_Impossible, WireError) as error:
            fault = getattr(error, "fault", Fault(flaw=Flaw.ENTRY, what=str(error)))
            return None, [fault, *faults]
        if (expected := leaf(effect)) != data:
            what = f"expected {expected.decode()}, found {data.decode()}"
            faults.append(Fault(flaw=Flaw.ENTRY, what=what))
        return effect, faults

    # --- balances --------------------------------------------------------------------------------

    def _move(self, entry: Leaf, quantity: int) -> list[Fault]:
        asset = AssetId(entry.asset)
        debit, credit = AccountId(entry.debit.account), AccountId(entry.credit.account)
        self.movements.update({debit, credit})
        left = self._add(debit, asset, entry.debit.balance, -quantity)
        self._add(credit, asset, entry.credit.balance, quantity)
        if left >= 0 or left + quantity < 0 or self._counters.get(asset) == debit:
            return []  # told when it falls below zero, not as long as it stays there
        side = entry.debit.balance
        what = f"expected {debit} to have {quantity} {asset} {side}, it had {left + quantity}"
        return [Fault(flaw=Flaw.ENTRY, what=what)]

    def _add(self, account: AccountId, asset: AssetId, side: Side, quantity: int) -> int:
        balance = self.balances.setdefault((account, asset), [0, 0])
        balance[side is Side.LOCKED] += quantity
        return balance[side is Side.LOCKED]

    # --- effects ---------------------------------------------------------------------------------

    def _effect(self, entry: Leaf, at: Instant) -> Effect:
        """What the book would have posted. Raises _Impossible and WireError."""
        if not is_name(entry.id):  # nothing can be looked up under it: a NUL stops PostgreSQL
            raise _Impossible(Flaw.ENTRY, f"expected an id of visible ASCII, found {entry.id!r}")
        match entry.op:
            case Kind.LOCK:
                return self._locked(entry, at)
            case Kind.EXECUTE | Kind.CANCEL | Kind.REFUND:
                return self._ended(entry, at)
            case Kind.ISSUE | Kind.REDEEM | Kind.TRANSFER:
                return self._moved(entry, at)

    def _locked(self, entry: Leaf, at: Instant) -> Effect:
        if entry.terms is None:
            raise _Impossible(Flaw.ENTRY, "expected the terms of the lock")
        terms = terms_of(entry.terms)
        if terms.id in self.open:
            raise _Impossible(Flaw.ONCE, f"expected one lock of {terms.id}, it is locked already")
        made = _unrefused(contract.lock(terms, at), f"lock of {terms.id}")
        self.open[terms.id] = made
        return _of_contract(entry, made, at)

    def _ended(self, entry: Leaf, at: Instant) -> Effect:
        known = self.open.get(HtlcId(entry.id))
        what = f"{entry.op} of {entry.id}"
        if known is None:
            raise _Impossible(Flaw.ONCE, f"expected a locked contract for the {what}, it is none")
        key = b"" if entry.key is None else octets(entry.key, "key")
        match entry.op:
            case Kind.EXECUTE:
                after = contract.execute(known, key, at)
            case Kind.CANCEL:
                after = contract.cancel(known, key, at)
            case _:
                after = contract.refund(known, at)
        ended = _unrefused(after, what)
        del self.open[known.terms.id]
        return _of_contract(entry, ended, at)

    def _moved(self, entry: Leaf, at: Instant) -> Effect:
        """Issue, redeem and transfer: only the first two touch a counter-account."""
        debit, credit = AccountId(entry.debit.account), AccountId(entry.credit.account)
        counter = self._counters.get(AssetId(entry.asset))
        if (entry.op is Kind.ISSUE, entry.op is Kind.REDEEM) != (
            debit == counter,
            credit == counter,
        ):
            what = f"expected no {entry.op} between {debit} and {credit}, {counter} is the issuer's"
            raise _Impossible(Flaw.ENTRY, what)
        return Effect(
            kind=entry.op,
            id=entry.id,
            by=entry.by,
            at=at,
            debit=debit,
            credit=credit,
            asset=AssetId(entry.asset),
            quantity=Quantity(int(entry.quantity)),
            digest=_digest(entry),
        )


def _unrefused(made: Htlc | Refusal, what: str) -> Htlc:
    if isinstance(made, Refusal):
        raise _Impossible(Flaw.ENTRY, f"expected no {what}: {made}")
    return made


def _of_contract(entry: Leaf, htlc: Htlc, at: Instant) -> Effect:
    terms = htlc.terms
    return Effect(
        kind=entry.op,
        id=terms.id,
        by=entry.by,
        at=at,
        debit=terms.payer,
        credit=terms.payee if entry.op is Kind.EXECUTE else terms.payer,
        asset=terms.asset,
        quantity=terms.quantity,
        htlc=htlc,
    )


def _digest(entry: Leaf) -> bytes:
    """The digest under which the ledger remembers the operation."""
    asset, quantity = AssetId(entry.asset), Quantity(int(entry.quantity))
    debit, credit = AccountId(entry.debit.account), AccountId(entry.credit.account)
    if entry.op is Kind.TRANSFER:
        return operation_digest(
            Transfer(id=entry.id, debit=debit, credit=credit, asset=asset, quantity=quantity)
        )
    issue = entry.op is Kind.ISSUE
    kind, account = (Issue, credit) if issue else (Redeem, debit)
    return operation_digest(kind(id=entry.id, account=account, asset=asset, quantity=quantity))
