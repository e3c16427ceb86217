"""Business rules that no schema checks: reference data, check digits, scales, dates, parties.

`check` gives the first refusal, in the order in which an operator would look: what could not be
read, the identifiers, who sends it, what it is about, when.
"""

import unicodedata
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import lru_cache
from typing import Final

import msgspec
from stdnum import isin as isin_number
from stdnum import lei as lei_number

from protocols.iso20022.codes import ReasonCode
from protocols.iso20022.codes import RejectionReason as Reason
from protocols.iso20022.currencies import minor_units
from protocols.iso20022.instruction import (
    CreditDebit,
    Movement,
    Payment,
    QuantityType,
    SettlementInstruction,
    SettlementParties,
)
from protocols.iso20022.lexical import bic11, units

#: Quantities and amounts are kept as signed 64-bit integers.
UNITS_MAX: Final = 2**63 - 1

PLAIN: Final = "an identifier has no control or format characters and no outer blanks"

_ROOT: Final = "/Document/SctiesSttlmTxInstr"


class BusinessRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why an instruction or a payment is refused for good: code, field, the rule in a sentence."""

    code: ReasonCode
    field: str
    rule: str


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """A security: its ledger, what its quantities count, and with how many decimals."""

    ledger: str
    quantity_type: QuantityType
    scale: int
    smallest: int = 1  # in units of 10**-scale
    multiple: int = 1


class Currency(msgspec.Struct, frozen=True, kw_only=True):
    """A currency: its ledger and the decimals of its smallest unit there."""

    ledger: str
    scale: int


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """Reference data. BICs have eleven characters (`lexical.bic11`)."""

    instruments: Mapping[str, Instrument]  # by ISIN
    currencies: Mapping[str, Currency]  # by ISO 4217 code
    depositories: frozenset[str]
    accounts: Mapping[str, Mapping[str, frozenset[str]]]  # member -> ledger -> account ids


def every_day_open(ledger: str, day: date) -> bool:  # noqa: ARG001
    """The calendar of ledgers that never close."""
    return True


Calendar = Callable[[str, date], bool]


def check(
    instruction: SettlementInstruction,
    reference: Reference,
    today: date,
    is_open: Calendar = every_day_open,
) -> BusinessRefusal | None:
    """The first rule that the instruction breaks, or None.

    `today` is the business date: a settlement date in the past stands for the current business
    day, whenever that is, and is asked of no calendar. `is_open` says whether a ledger settles on
    a day.
    """
    return next(_broken(instruction, reference, today, is_open), None)


def _broken(
    i: SettlementInstruction, reference: Reference, today: date, is_open: Calendar
) -> Iterator[BusinessRefusal]:
    for fault in i.unreadable:
        yield BusinessRefusal(code=fault.code, field=fault.field, rule=fault.rule)
    yield from _texts(i)
    yield from _party_rules(i, reference)
    yield from _security(i, reference)
    yield from _cash(i, reference)
    yield from _accounts(i, reference)
    yield from _dates(i, reference, today, is_open)


def _refusal(code: Reason, field: str, rule: str) -> BusinessRefusal:
    return BusinessRefusal(code=code, field=f"{_ROOT}/{field}", rule=rule)


def _texts(i: SettlementInstruction) -> Iterator[BusinessRefusal]:
    """A control or format character (a right-to-left override) makes two ids look like one."""
    delivering, receiving = i.delivering, i.receiving
    for code, field, text in (
        (Reason.VALR, "TxId", i.transaction_id),
        (Reason.VALR, "SttlmTpAndAddtlParams/CmonId", i.common_id),
        (Reason.SAFE, "QtyAndAcctDtls/SfkpgAcct/Id", i.safekeeping_account),
        (Reason.CASH, "QtyAndAcctDtls/CshAcct", i.cash_account),
        (Reason.SAFE, "DlvrgSttlmPties/Pty1/SfkpgAcct/Id", delivering.account),
        (Reason.SAFE, "RcvgSttlmPties/Pty1/SfkpgAcct/Id", receiving.account),
        (Reason.VALR, "DlvrgSttlmPties/Pty1/PrcgId", delivering.processing_id),
        (Reason.VALR, "RcvgSttlmPties/Pty1/PrcgId", receiving.processing_id),
    ):
        if text is not None and not is_plain(text):
            yield _refusal(code, field, PLAIN)


def is_plain(text: str) -> bool:
    """Whether an identifier is what it looks like (`PLAIN` says the rule)."""
    if text.isascii():
        return text.isprintable() and text == text.strip() != ""
    return text == text.strip() and all(unicodedata.category(c) not in ("Cc", "Cf") for c in text)


def _party_rules(i: SettlementInstruction, reference: Reference) -> Iterator[BusinessRefusal]:
    own = "DlvrgSttlmPties" if i.movement is Movement.DELI else "RcvgSttlmPties"
    if bic11(i.own.party1) != bic11(i.sender):
        rule = f"{i.movement} is sent by {own}/Pty1, here {i.own.party1}, not by {i.sender}"
        yield _refusal(Reason.ICAG, f"{own}/Pty1/Id/AnyBIC", rule)
    yield from _side(i.delivering, "DlvrgSttlmPties", reference)
    yield from _side(i.receiving, "RcvgSttlmPties", reference)


def _side(side: SettlementParties, name: str, reference: Reference) -> Iterator[BusinessRefusal]:
    if bic11(side.party1) not in reference.accounts:
        rule = f"{side.party1} is no member"
        yield _refusal(Reason.ICAG, f"{name}/Pty1/Id/AnyBIC", rule)
    if side.lei is not None and not _lei_holds(side.lei):
        rule = f"the check digits of LEI {side.lei} are wrong (ISO 17442, ISO 7064 mod 97-10)"
        yield _refusal(Reason.ICAG, f"{name}/Pty1/LEI", rule)
    if bic11(side.depository) not in reference.depositories:
        rule = f"{side.depository} is no depository here"
        yield _refusal(Reason.DEPT, f"{name}/Dpstry/Id/AnyBIC", rule)


# Members send the same few numbers all day, and a check costs tens of microseconds.
@lru_cache(maxsize=4096)
def _lei_holds(lei: str) -> bool:
    return bool(lei_number.is_valid(lei))


@lru_cache(maxsize=65536)
def _isin_holds(isin: str) -> bool:
    # Prefixes are not judged: XS, EU, QS are no countries, and reference data knows the security.
    return isin_number.calc_check_digit(isin[:-1]) == isin[-1]


def _security(i: SettlementInstruction, reference: Reference) -> Iterator[BusinessRefusal]:
    if not _isin_holds(i.isin):
        rule = f"the check digit of ISIN {i.isin} is wrong (ISO 6166, Luhn)"
        yield _refusal(Reason.DSEC, "FinInstrmId/ISIN", rule)
        return
    instrument = reference.instruments.get(i.isin)
    if instrument is None:
        yield _refusal(Reason.DSEC, "FinInstrmId/ISIN", f"ISIN {i.isin} is on no ledger here")
        return
    yield from _quantity(i, instrument)


def _quantity(i: SettlementInstruction, instrument: Instrument) -> Iterator[BusinessRefusal]:
    field = f"QtyAndAcctDtls/SttlmQty/Qty/{i.quantity_type}"
    if i.quantity_type is not instrument.quantity_type:
        rule = f"{i.isin} is settled in {instrument.quantity_type}"
        yield _refusal(Reason.DQUA, field, rule)
        return
    try:
        quantity = units(i.quantity, instrument.scale)
    except ValueError as error:
        yield _refusal(Reason.DQUA, field, f"{error}; {i.isin} has {instrument.scale}")
        return
    if not 0 < quantity <= UNITS_MAX:
        yield _refusal(Reason.DQUA, field, "a quantity is more than zero and fits 63 bits")
    elif quantity < instrument.smallest:
        rule = f"{i.quantity} is less than the smallest quantity of {i.isin}"
        yield _refusal(Reason.MINO, field, rule)
    elif quantity % instrument.multiple:
        rule = f"{i.quantity} is no multiple of what settles of {i.isin}"
        yield _refusal(Reason.MUNO, field, rule)


def _cash(i: SettlementInstruction, reference: Reference) -> Iterator[BusinessRefusal]:
    if i.amount is None or i.currency is None:
        if i.payment is Payment.APMT:
            rule = "an instruction against payment names its settlement amount"
            yield _refusal(Reason.DMON, "SttlmAmt", rule)
        return
    if (fault := currency_fault(i.currency, reference)) is not None:
        yield _refusal(Reason.NCRR, "SttlmAmt/Amt/@Ccy", fault)
    wanted = CreditDebit.CRDT if i.movement is Movement.DELI else CreditDebit.DBIT
    if i.payment is Payment.APMT and i.credit_debit is not wanted:
        rule = f"the side that sends {i.movement} against payment is on the {wanted} side"
        yield _refusal(Reason.DMON, "SttlmAmt/CdtDbtInd", rule)
    if i.currency in reference.currencies:
        fault = amount_fault(i.amount, i.currency, reference.currencies[i.currency].scale)
        if fault is not None:
            yield _refusal(Reason.DMON, "SttlmAmt/Amt", fault)


def currency_fault(currency: str, reference: Reference) -> str | None:
    """What is wrong with a currency; None: it is active and settled here."""
    if minor_units(currency) is None:
        return f"{currency} is no active currency (ISO 4217)"
    return None if currency in reference.currencies else f"{currency} is on no ledger here"


def amount_fault(amount: str, currency: str, scale: int) -> str | None:
    """What is wrong with an amount (canonical text) of a currency with so many decimals."""
    try:
        value = units(amount, scale)
    except ValueError as error:
        return f"{error}; {currency} has {scale}, never rounded"
    if not 0 < value <= UNITS_MAX:
        return "an amount is more than zero and fits 63 bits"
    return None


def _accounts(i: SettlementInstruction, reference: Reference) -> Iterator[BusinessRefusal]:
    own = reference.accounts.get(bic11(i.own.party1), {})
    if i.safekeeping_account and i.own.account and i.safekeeping_account != i.own.account:
        rule = f"two accounts of one side: {i.safekeeping_account} and {i.own.account}"
        yield _refusal(Reason.SAFE, "QtyAndAcctDtls/SfkpgAcct/Id", rule)
    securities, cash = _ledgers(i, reference)
    if securities is not None:
        fault = account_fault(i.own_account, own, securities)
        if fault is not None:
            yield _refusal(Reason.SAFE, "QtyAndAcctDtls/SfkpgAcct/Id", fault)
    if cash is not None:
        fault = account_fault(i.cash_account, own, cash)
        if fault is not None:
            yield _refusal(Reason.CASH, "QtyAndAcctDtls/CshAcct", fault)


def account_fault(
    account: str | None, own: Mapping[str, frozenset[str]], ledger: str
) -> str | None:
    """What is wrong with an account of the sender; one that is not named must be the only one."""
    known = own.get(ledger, frozenset())
    if account is None:
        return None if len(known) == 1 else f"name the account on {ledger}: there are {len(known)}"
    return None if account in known else f"{account} is no account of the sender on {ledger}"


def _dates(
    i: SettlementInstruction, reference: Reference, today: date, is_open: Calendar
) -> Iterator[BusinessRefusal]:
    if i.trade_date > i.settlement_date:
        rule = f"traded {i.trade_date}, after its settlement date {i.settlement_date}"
        yield _refusal(Reason.DTRD, "TradDtls/TradDt/Dt/Dt", rule)
    if i.settlement_date < today:
        return
    for ledger in _ledgers(i, reference):
        if ledger is not None and not is_open(ledger, i.settlement_date):
            rule = f"{ledger} is closed on {i.settlement_date}; name a business day of both ledgers"
            yield _refusal(Reason.DDAT, "TradDtls/SttlmDt/Dt/Dt", rule)


def _ledgers(i: SettlementInstruction, reference: Reference) -> tuple[str | None, str | None]:
    """The ledgers of the securities and, against payment, of the cash."""
    instrument = reference.instruments.get(i.isin)
    currency = reference.currencies.get(i.currency or "") if i.payment is Payment.APMT else None
    return (instrument.ledger if instrument else None, currency.ledger if currency else None)
