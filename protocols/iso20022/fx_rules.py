"""Business rules of a foreign exchange trade: what no schema checks, with the code of each refusal.

`check` gives the first refusal in the order in which an operator would look: what could not be
read, who trades, what is exchanged at which rate, from which accounts, when.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal, localcontext
from typing import Final

from protocols.iso20022.codes import RejectionReason as Reason
from protocols.iso20022.currencies import minor_units
from protocols.iso20022.fx import FxAmount, FxTrade, Operation, Rate
from protocols.iso20022.lexical import bic11
from protocols.iso20022.rules import (
    PLAIN,
    BusinessRefusal,
    Calendar,
    Reference,
    account_fault,
    amount_fault,
    currency_fault,
    every_day_open,
    is_plain,
)

#: Significant digits of the arithmetic. An amount has 18 and a rate 11: a product has at most 29,
#: one more than Decimal keeps by itself, and a sum or half of it a few more.
_DIGITS: Final = 50

_ROOTS: Final = {"014": "/Document/FXTradInstr", "015": "/Document/FXTradInstrAmdmnt"}
"""The element that holds a trade, by the number of its message: where its lock block stands too."""

_OPERATIONS: Final = {"014": Operation.NEW, "015": Operation.AMEND}


def check(
    trade: FxTrade, reference: Reference, today: date, is_open: Calendar = every_day_open
) -> BusinessRefusal | None:
    """The first rule that the trade breaks, or None. `today` is the business date: a value date in
    the past stands for the current business day."""
    return next(_broken(trade, reference, today, is_open), None)


def _broken(
    t: FxTrade, reference: Reference, today: date, is_open: Calendar
) -> Iterator[BusinessRefusal]:
    for fault in t.unreadable:
        yield BusinessRefusal(code=fault.code, field=fault.field, rule=fault.rule)
    kind = _kind_of(t)
    for code, field, rule in _faults(t, kind, reference, today, is_open):
        yield BusinessRefusal(code=code, field=f"{_ROOTS[kind]}/{field}", rule=rule)


def root(trade: FxTrade) -> str:
    """The element that holds the trade in the message in which it came (an XPath)."""
    return _ROOTS[_kind_of(trade)]


def _kind_of(trade: FxTrade) -> str:
    return trade.definition[5:8]


_Fault = tuple[Reason, str, str]


def _faults(
    t: FxTrade, kind: str, reference: Reference, today: date, is_open: Calendar
) -> Iterator[_Fault]:
    yield from _texts(t)
    yield from _kind(t, _OPERATIONS[kind])
    yield from _parties(t, reference)
    yield from _amounts(t, reference)
    yield from _rate(t)
    yield from _accounts(t, reference)
    yield from _dates(t, reference, today, is_open)


def _texts(t: FxTrade) -> Iterator[_Fault]:
    for code, field, text in (
        (Reason.VALR, "TradInf/OrgtrRef", t.transaction_id),
        (Reason.VALR, "TradInf/CmonRef", t.common_id),
        (Reason.CASH, "TradgSdSttlmInstrs", t.receiving_account),
        (Reason.CASH, "CtrPtySdSttlmInstrs", t.paying_account),
    ):
        if text is not None and not is_plain(text):
            yield code, field, PLAIN


def _kind(t: FxTrade, wanted: Operation) -> Iterator[_Fault]:
    if t.operation not in (None, wanted):
        yield Reason.VALR, "TradInf/OprTp", f"{wanted} is what this message asks for"
    if not t.pvp:
        rule = "only trades that settle payment versus payment (true) are served"
        yield Reason.VALR, "TradInf/PmtVrssPmtInd", rule


def _parties(t: FxTrade, reference: Reference) -> Iterator[_Fault]:
    if bic11(t.party) != bic11(t.sender):
        rule = f"the trading side sends its own trades; it is {t.party}, not {t.sender}"
        yield Reason.ICAG, "TradgSdId/SubmitgPty", rule
    if bic11(t.counterparty) not in reference.accounts:
        yield Reason.ICAG, "CtrPtySdId/SubmitgPty", f"{t.counterparty} is no member"
    if bic11(t.party) == bic11(t.counterparty):
        rule = "the two sides are two members: nobody settles with itself"
        yield Reason.ICAG, "CtrPtySdId/SubmitgPty", rule


def _amounts(t: FxTrade, reference: Reference) -> Iterator[_Fault]:
    for name, given in (("TradgSdBuyAmt", t.buys), ("TradgSdSellAmt", t.sells)):
        field = f"TradAmts/{name}"
        fault = currency_fault(given.currency, reference)
        if fault is not None:
            yield Reason.NCRR, f"{field}/Amt/@Ccy", fault
            continue
        scale = reference.currencies[given.currency].scale
        fault = amount_fault(given.amount, given.currency, scale)
        if fault is not None:
            yield Reason.DMON, f"{field}/Amt", fault
    if t.buys.currency == t.sells.currency:
        rule = "two currencies are exchanged, not one against itself"
        yield Reason.NCRR, "TradAmts/TradgSdSellAmt/Amt/@Ccy", rule


def _rate(t: FxTrade) -> Iterator[_Fault]:
    field = "AgrdRate"
    known = {t.buys.currency, t.sells.currency}
    named = [currency for currency in (t.rate.unit, t.rate.quoted) if currency is not None]
    if len(set(named)) != len(named) or not known.issuperset(named):
        rule = f"the rate is one of {' and '.join(sorted(known))}"
        yield Reason.DDEA, field, rule
    elif t.rate.value == "0":
        yield Reason.DDEA, f"{field}/XchgRate", "a rate is greater than zero"
    elif not rate_holds(t.rate, t.buys, t.sells):
        rule = f"{t.rate.value} is not the rate of these amounts, however they were rounded"
        yield Reason.DDEA, f"{field}/XchgRate", rule


def rate_holds(rate: Rate, buys: FxAmount, sells: FxAmount) -> bool:
    """Whether the rate is that of the amounts: one amount is the other at this rate, rounded to its
    minor unit, or the rate is their quotient, rounded to its own decimals. A rate that does not
    name its currencies holds if it does either way round."""
    if rate.unit == buys.currency or rate.quoted == sells.currency:
        return _holds(rate, buys, sells)
    if rate.unit == sells.currency or rate.quoted == buys.currency:
        return _holds(rate, sells, buys)
    return _holds(rate, buys, sells) or _holds(rate, sells, buys)


def _holds(rate: Rate, unit: FxAmount, quoted: FxAmount) -> bool:
    """In exact arithmetic: no division is needed. A last digit more than half a unit off is let
    pass: some round down, some to even."""
    value, one, other = (Decimal(text) for text in (rate.value, unit.amount, quoted.amount))
    with localcontext(prec=_DIGITS):
        difference = abs(other - one * value)
        return (
            difference <= _smallest(quoted)
            or difference <= _smallest(unit) * value
            or difference <= one * Decimal(1).scaleb(-rate.decimals) / 2
        )


def _smallest(amount: FxAmount) -> Decimal:
    return Decimal(1).scaleb(-(minor_units(amount.currency) or 0))


def _accounts(t: FxTrade, reference: Reference) -> Iterator[_Fault]:
    own = reference.accounts.get(bic11(t.party), {})
    for given, account, field in (
        (t.buys, t.receiving_account, "TradgSdSttlmInstrs"),
        (t.sells, t.paying_account, "CtrPtySdSttlmInstrs/DlvryAgt"),
    ):
        currency = reference.currencies.get(given.currency)
        if currency is not None:
            fault = account_fault(account, own, currency.ledger)
            if fault is not None:
                yield Reason.CASH, field, fault


def _dates(t: FxTrade, reference: Reference, today: date, is_open: Calendar) -> Iterator[_Fault]:
    if t.trade_date > t.settlement_date:
        rule = f"traded {t.trade_date}, after its value date {t.settlement_date}"
        yield Reason.DTRD, "TradInf/TradDt", rule
    day = t.settlement_date
    if day < today:
        return
    for given in (t.buys, t.sells):
        currency = reference.currencies.get(given.currency)
        if currency is not None and not is_open(currency.ledger, day):
            yield Reason.DDAT, "TradAmts/SttlmDt", f"{currency.ledger} is closed on {day}"
