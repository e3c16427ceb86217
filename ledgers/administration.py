"""Acts of administration: accounts, blocks on them, mandates, instruments.

They move nothing, so they are no entries and stand in no block; a ledger keeps them in a log of its
own, chained by hashes, with who did them. Each act is idempotent: it says how things shall be, and
doing it twice changes nothing the second time.

Accounts and instruments are the ledger operator's business, a mandate is its account owner's.
"""

import msgspec

from htlc.canonical import digest
from htlc.contract import Refusal
from htlc.units import AccountId, Instant
from ledgers.book import Book
from ledgers.instruments import Instrument
from ledgers.parties import Account, Balance, Mandate, Principal, Role


class OpenAccount(msgspec.Struct, frozen=True, kw_only=True, tag="open-account"):
    account: AccountId
    owner: str


class BlockAccount(msgspec.Struct, frozen=True, kw_only=True, tag="block-account"):
    """Stop new locks and transfers from the account; contracts that exist run on."""

    account: AccountId


class UnblockAccount(msgspec.Struct, frozen=True, kw_only=True, tag="unblock-account"):
    account: AccountId


class GrantMandate(msgspec.Struct, frozen=True, kw_only=True, tag="grant-mandate"):
    """Replaces the mandate that the operator has on the account, if any."""

    mandate: Mandate


class RevokeMandate(msgspec.Struct, frozen=True, kw_only=True, tag="revoke-mandate"):
    account: AccountId
    operator: str


class DefineInstrument(msgspec.Struct, frozen=True, kw_only=True, tag="define-instrument"):
    """Checked by `securities.security` or `currency.currency` before it gets here."""

    instrument: Instrument


Act = OpenAccount | BlockAccount | UnblockAccount | GrantMandate | RevokeMandate | DefineInstrument


def administer(book: Book, act: Act, by: Principal) -> bool | Refusal:
    """Do the act in the book. False if things were so already."""
    match act:
        case OpenAccount():
            return _open(book, act, by)
        case BlockAccount(account=account):
            return _block(book, account, True, by)
        case UnblockAccount(account=account):
            return _block(book, account, False, by)
        case GrantMandate(mandate=mandate):
            return _mandate(book, mandate.account, mandate.operator, mandate, by)
        case RevokeMandate(account=account, operator=operator):
            return _mandate(book, account, operator, None, by)
        case DefineInstrument(instrument=instrument):
            return _define(book, instrument, by)


def _open(book: Book, act: OpenAccount, by: Principal) -> bool | Refusal:
    if by.role is not Role.LEDGER_OPERATOR:
        return Refusal.NOT_AUTHORISED
    known = book.accounts.get(act.account)
    if known is not None:
        return False if known.owner == act.owner else Refusal.CONFLICT
    book.accounts[act.account] = Account(id=act.account, owner=act.owner)
    return True


def _block(book: Book, id: AccountId, blocked: bool, by: Principal) -> bool | Refusal:
    if by.role is not Role.LEDGER_OPERATOR:
        return Refusal.NOT_AUTHORISED
    known = book.accounts.get(id)
    if known is None:
        return Refusal.UNKNOWN_ACCOUNT
    book.accounts[id] = msgspec.structs.replace(known, blocked=blocked)
    return known.blocked is not blocked


def _mandate(
    book: Book, id: AccountId, operator: str, mandate: Mandate | None, by: Principal
) -> bool | Refusal:
    account = book.accounts.get(id)
    if account is None:
        return Refusal.UNKNOWN_ACCOUNT
    if account.owner != by.name:
        return Refusal.NOT_AUTHORISED
    known = book.mandates.get((id, operator))
    book.mandates[id, operator] = mandate
    return known != mandate


def _define(book: Book, instrument: Instrument, by: Principal) -> bool | Refusal:
    """The counter-account must be the issuer's own: what it owes stands there."""
    if by.role is not Role.LEDGER_OPERATOR:
        return Refusal.NOT_AUTHORISED
    known = book.instruments.get(instrument.asset)
    if known is not None:
        return False if known == instrument else Refusal.CONFLICT
    counter = book.accounts.get(instrument.counter)
    if counter is None:
        return Refusal.UNKNOWN_ACCOUNT
    if counter.owner != instrument.issuer:
        return Refusal.TERMS_REFUSED
    book.instruments[instrument.asset] = instrument
    book.balances[instrument.counter, instrument.asset] = Balance()
    return True


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log of administration; `previous` is the hash of the line before."""

    at: Instant
    by: str
    act: Act
    previous: bytes

    def hash(self) -> bytes:
        return digest(
            {
                "at": str(self.at),
                "by": self.by,
                "act": _text_only(msgspec.to_builtins(self.act)),
                "previous": self.previous.hex(),
            }
        )


def _text_only(value: object) -> object:
    """Integers as strings, as canonical content has them."""
    if isinstance(value, dict):
        return {key: _text_only(member) for key, member in value.items()}
    return str(value) if isinstance(value, int) else value
