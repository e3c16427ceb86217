"""Rules of cash messages that no schema checks: who orders, whose accounts, which currency.

Whether a payment is the agreed one is asked where its instruction is known (`mismatch`).
"""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Final

from protocols.iso20022.codes import PaymentReason, TransferReason
from protocols.iso20022.lexical import bic11
from protocols.iso20022.payment import LiquidityTransfer, PaymentOrder
from protocols.iso20022.rules import (
    PLAIN,
    BusinessRefusal,
    Reference,
    amount_fault,
    currency_fault,
    is_plain,
)

_PAYMENT: Final = "/Document/FICdtTrf/CdtTrfTxInf"
_TRANSFER: Final = "/Document/LqdtyCdtTrf/LqdtyCdtTrf"


def check(order: PaymentOrder, reference: Reference) -> BusinessRefusal | None:
    """The first rule that a payment order breaks by itself, or None."""
    return next(_broken(order, reference), None)


def _broken(order: PaymentOrder, reference: Reference) -> Iterator[BusinessRefusal]:
    for fault in order.unreadable:
        yield BusinessRefusal(code=fault.code, field=fault.field, rule=fault.rule)
    yield from _texts(order)
    yield from _parties(order, reference)
    yield from _money(order, reference)


def _refusal(code: PaymentReason, field: str, rule: str) -> BusinessRefusal:
    return BusinessRefusal(code=code, field=f"{_PAYMENT}/{field}", rule=rule)


def _texts(order: PaymentOrder) -> Iterator[BusinessRefusal]:
    for field, text in (
        ("PmtId/InstrId", order.instruction_id),
        ("PmtId/EndToEndId", order.end_to_end_id),
    ):
        if text is not None and not is_plain(text):
            yield _refusal(PaymentReason.NARR, field, PLAIN)


def _parties(order: PaymentOrder, reference: Reference) -> Iterator[BusinessRefusal]:
    if order.debtor is None or bic11(order.debtor) != bic11(order.sender):
        rule = f"the debtor sends the order itself, by its BIC: {order.sender}"
        yield _refusal(PaymentReason.RC03, "Dbtr/FinInstnId/BICFI", rule)
    if order.creditor is None or bic11(order.creditor) not in reference.accounts:
        rule = f"{order.creditor or 'a creditor without BIC'} is no member"
        yield _refusal(PaymentReason.RC04, "Cdtr/FinInstnId/BICFI", rule)


def _money(order: PaymentOrder, reference: Reference) -> Iterator[BusinessRefusal]:
    if (fault := currency_fault(order.currency, reference)) is not None:
        yield _refusal(PaymentReason.AM03, "IntrBkSttlmAmt/@Ccy", fault)
        return
    currency = reference.currencies[order.currency]
    if (fault := amount_fault(order.amount, order.currency, currency.scale)) is not None:
        yield _refusal(PaymentReason.AM12, "IntrBkSttlmAmt", fault)
    for code, field, account, owner in (
        (PaymentReason.AC02, "DbtrAcct/Id", order.debtor_account, order.debtor),
        (PaymentReason.AC03, "CdtrAcct/Id", order.creditor_account, order.creditor),
    ):
        owned = reference.accounts.get(bic11(owner or ""), {})
        if (rule := _not_owned(account, owned, currency.ledger, owner)) is not None:
            yield _refusal(code, field, rule)


def _not_owned(
    account: str | None, owned: Mapping[str, frozenset[str]], ledger: str, owner: str | None
) -> str | None:
    """An account that is not named is the one of the instruction."""
    if account is None or account in owned.get(ledger, frozenset()):
        return None
    return f"{account} is no account of {owner} on {ledger}"


def mismatch(
    order: PaymentOrder, *, amounts: frozenset[str], currency: str, creditor: str
) -> BusinessRefusal | None:
    """Why an order is not the payment of the instruction that it names. `amounts` are those that
    were agreed: the payer's own, and once it is matched the deliverer's."""
    if bic11(order.creditor or "") != bic11(creditor):
        rule = f"the instruction is paid to {creditor}"
        return _refusal(PaymentReason.RC04, "Cdtr/FinInstnId/BICFI", rule)
    if order.currency != currency:
        rule = f"the instruction is paid in {currency}"
        return _refusal(PaymentReason.AM03, "IntrBkSttlmAmt/@Ccy", rule)
    if order.amount not in amounts:
        rule = f"agreed is {' or '.join(sorted(amounts))}"
        return _refusal(PaymentReason.AM09, "IntrBkSttlmAmt", rule)
    return None


def check_transfer(
    transfer: LiquidityTransfer, reference: Reference, sender: str, today: date
) -> BusinessRefusal | None:
    """The first rule that a liquidity transfer of this member breaks, or None."""
    return next(_transfer_broken(transfer, reference, sender, today), None)


def _transfer_broken(
    transfer: LiquidityTransfer, reference: Reference, sender: str, today: date
) -> Iterator[BusinessRefusal]:
    for fault in transfer.unreadable:
        code = TransferReason(fault.code.value)
        yield BusinessRefusal(code=code, field=fault.field, rule=fault.rule)
    currency = transfer.currency or ""
    if (rule := currency_fault(currency, reference)) is not None:
        yield _no_transfer(TransferReason.AM03, "TrfdAmt/AmtWthCcy/@Ccy", rule)
        return
    known = reference.currencies[currency]
    if (rule := amount_fault(transfer.amount, currency, known.scale)) is not None:
        yield _no_transfer(TransferReason.AM12, "TrfdAmt/AmtWthCcy", rule)
    own = reference.accounts.get(bic11(sender), {}).get(known.ledger, frozenset())
    for code, field, account in (
        (TransferReason.AC02, "DbtrAcct/Id", transfer.debit_account),
        (TransferReason.AC03, "CdtrAcct/Id", transfer.credit_account),
    ):
        if account not in own:
            rule = f"{account or 'no account'} is no account of {sender} on {known.ledger}"
            yield _no_transfer(code, field, rule)
    if transfer.debit_account == transfer.credit_account:
        rule = "the two accounts are two: nothing moves from one to itself"
        yield _no_transfer(TransferReason.AC03, "CdtrAcct/Id", rule)
    if transfer.settlement_date is not None and transfer.settlement_date > today:
        rule = f"a transfer is made at once, on {today}"
        yield _no_transfer(TransferReason.DT01, "SttlmDt", rule)


def _no_transfer(code: TransferReason, field: str, rule: str) -> BusinessRefusal:
    return BusinessRefusal(code=code, field=f"{_TRANSFER}/{field}", rule=rule)
