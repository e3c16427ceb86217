"""Business rules: each broken alone, and the code, field and sentence that tell it."""

from datetime import date
from typing import Any

import msgspec
import pytest

from protocols.iso20022.codes import RejectionReason
from protocols.iso20022.currencies import minor_units
from protocols.iso20022.instruction import (
    CreditDebit,
    Payment,
    QuantityType,
    SettlementInstruction,
    Unreadable,
)
from protocols.iso20022.lexical import decimal_text, escaped, padded, units
from protocols.iso20022.rules import Currency, Instrument, check
from tests.protocols import samples


def with_(**fields: Any) -> SettlementInstruction:
    return msgspec.structs.replace(samples.delivery(), **fields)


def with_side(side: str, **fields: Any) -> SettlementInstruction:
    i = samples.delivery()
    return msgspec.structs.replace(i, **{side: msgspec.structs.replace(getattr(i, side), **fields)})


def test_a_good_instruction_breaks_no_rule() -> None:
    for i in (samples.delivery(), samples.receipt(), samples.read(samples.deliver())):
        assert check(i, samples.reference(), samples.TODAY) is None


def test_a_bic_of_eight_is_the_one_of_eleven_with_xxx() -> None:
    assert check(with_(sender="SELADEF0"), samples.reference(), samples.TODAY) is None


BROKEN = {
    "ISIN check digit": (with_(isin="XS9990000011"), "DSEC", "FinInstrmId/ISIN"),
    "ISIN unknown": (with_(isin="XS9990000028"), "DSEC", "FinInstrmId/ISIN"),
    "quantity type": (
        with_(quantity_type=QuantityType.UNIT),
        "DQUA",
        "QtyAndAcctDtls/SttlmQty/Qty/Unit",
    ),
    "quantity decimals": (with_(quantity="1.5"), "DQUA", "QtyAndAcctDtls/SttlmQty/Qty/FaceAmt"),
    "quantity zero": (with_(quantity="0"), "DQUA", "QtyAndAcctDtls/SttlmQty/Qty/FaceAmt"),
    "quantity of 64 bits": (
        with_(quantity=str(2**63)),
        "DQUA",
        "QtyAndAcctDtls/SttlmQty/Qty/FaceAmt",
    ),
    "currency not in ISO 4217": (with_(currency="ZZZ"), "NCRR", "SttlmAmt/Amt/@Ccy"),
    "currency without ledger": (with_(currency="CHF"), "NCRR", "SttlmAmt/Amt/@Ccy"),
    "amount decimals": (with_(amount="1.001"), "DMON", "SttlmAmt/Amt"),
    "amount zero": (with_(amount="0"), "DMON", "SttlmAmt/Amt"),
    "amount of 64 bits": (with_(amount="92233720368547758.08"), "DMON", "SttlmAmt/Amt"),
    "amount missing": (
        with_(amount=None, currency=None, credit_debit=None),
        "DMON",
        "SttlmAmt",
    ),
    "deliverer who pays": (with_(credit_debit=CreditDebit.DBIT), "DMON", "SttlmAmt/CdtDbtInd"),
    "sent by the other side": (
        with_(sender=samples.BUYER),
        "ICAG",
        "DlvrgSttlmPties/Pty1/Id/AnyBIC",
    ),
    "party unknown": (
        with_side("receiving", party1="NOBODE20XXX"),
        "ICAG",
        "RcvgSttlmPties/Pty1/Id/AnyBIC",
    ),
    "LEI check digits": (
        with_side("delivering", lei="9999DVPGW000SELLER52"),
        "ICAG",
        "DlvrgSttlmPties/Pty1/LEI",
    ),
    "depository unknown": (
        with_side("receiving", depository="REGBDEF0XXX"),
        "DEPT",
        "RcvgSttlmPties/Dpstry/Id/AnyBIC",
    ),
    "account of another": (
        with_(safekeeping_account="REGA-BUYRFR-0001"),
        "SAFE",
        "QtyAndAcctDtls/SfkpgAcct/Id",
    ),
    "two accounts of one side": (
        with_side("delivering", account="REGA-SELADE-0002"),
        "SAFE",
        "QtyAndAcctDtls/SfkpgAcct/Id",
    ),
    "cash account of another": (
        with_(cash_account="EUR-CBKA-BUYRFR"),
        "CASH",
        "QtyAndAcctDtls/CshAcct",
    ),
    "traded after settlement": (
        with_(trade_date=date(2026, 10, 9)),
        "DTRD",
        "TradDtls/TradDt/Dt/Dt",
    ),
    "right-to-left override": (with_(transaction_id="A\u202eB"), "VALR", "TxId"),
    "control character": (with_(common_id="A\u0085B"), "VALR", "SttlmTpAndAddtlParams/CmonId"),
    "blank identifier": (with_(transaction_id=" "), "VALR", "TxId"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_told_by_code_and_field(name: str) -> None:
    instruction, code, field = BROKEN[name]
    refusal = check(instruction, samples.reference(), samples.TODAY)
    assert refusal is not None
    assert (refusal.code.value, refusal.field) == (code, f"/Document/SctiesSttlmTxInstr/{field}")
    assert len(refusal.rule) > 10


def test_a_letter_of_another_script_is_no_control_character() -> None:
    i = with_(transaction_id="ЗАЯВКА-1")
    assert check(i, samples.reference(), samples.TODAY) is None


def test_an_unreadable_field_is_refused_as_the_reading_said() -> None:
    fault = Unreadable(code=RejectionReason.DDAT, field="/x", rule="a date is needed here")
    refusal = check(with_(unreadable=(fault,)), samples.reference(), samples.TODAY)
    assert refusal is not None
    assert (refusal.code, refusal.field, refusal.rule) == (fault.code, fault.field, fault.rule)


def test_free_of_payment_needs_no_amount() -> None:
    i = with_(payment=Payment.FREE, amount=None, currency=None, credit_debit=None)
    assert check(i, samples.reference(), samples.TODAY) is None


def test_an_account_that_is_not_named_must_be_the_only_one() -> None:
    i = with_(safekeeping_account=None, cash_account=None)
    assert check(i, samples.reference(), samples.TODAY) is None
    two = frozenset({"REGA-SELADE-0001", "REGA-SELADE-0002"})
    reference = samples.reference()
    accounts = {**reference.accounts, samples.SELLER: {"rega": two, "cbka": frozenset({"x"})}}
    refusal = check(i, msgspec.structs.replace(reference, accounts=accounts), samples.TODAY)
    assert refusal is not None
    assert refusal.code is RejectionReason.SAFE


def test_quantities_below_the_smallest_or_between_multiples_are_refused() -> None:
    instrument = Instrument(
        ledger="rega",
        quantity_type=QuantityType.FACE_AMOUNT,
        scale=0,
        smallest=1000,
        multiple=1000,
    )
    reference = msgspec.structs.replace(samples.reference(), instruments={samples.ISIN: instrument})
    for quantity, code in (("999", "MINO"), ("1500", "MUNO")):
        refusal = check(with_(quantity=quantity), reference, samples.TODAY)
        assert refusal is not None
        assert refusal.code.value == code
    assert check(with_(quantity="2000"), reference, samples.TODAY) is None


@pytest.mark.parametrize("closed", ["rega", "cbka"])
def test_a_closed_day_of_either_ledger_is_refused(closed: str) -> None:
    def is_open(ledger: str, day: date) -> bool:
        return (ledger, day) != (closed, date(2026, 10, 8))

    refusal = check(samples.delivery(), samples.reference(), samples.TODAY, is_open)
    assert refusal is not None
    assert refusal.code is RejectionReason.DDAT
    assert closed in refusal.rule


def test_a_settlement_date_in_the_past_stands_for_the_current_business_day() -> None:
    today = date(2026, 10, 12)
    assert check(samples.delivery(), samples.reference(), today, lambda *_: False) is None


def test_a_yen_has_no_decimals() -> None:
    reference = msgspec.structs.replace(
        samples.reference(), currencies={"JPY": Currency(ledger="cbka", scale=0)}
    )
    refusal = check(with_(currency="JPY", amount="100.5"), reference, samples.TODAY)
    assert refusal is not None
    assert refusal.code is RejectionReason.DMON
    assert check(with_(currency="JPY", amount="100"), reference, samples.TODAY) is None


@pytest.mark.parametrize(
    ("currency", "decimals"),
    [("EUR", 2), ("JPY", 0), ("BHD", 3), ("CLF", 4), ("XAU", None), ("DEM", None), ("ZZZ", None)],
)
def test_minor_units_are_those_of_iso_4217(currency: str, decimals: int | None) -> None:
    assert minor_units(currency) == decimals


def test_decimals_are_never_rounded() -> None:
    assert units("998750.5", 2) == 99875050
    assert padded("998750.5", 2) == "998750.50"
    assert padded("100", 0) == "100"
    with pytest.raises(ValueError, match="more than 2 decimals"):
        units("1.001", 2)


@pytest.mark.parametrize("text", ["+1", "-1", "1e5", "", ".", "1,5", "٣", "NaN", "1 2"])
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no plain decimal"):
        decimal_text(text)


def test_text_is_escaped_and_cut() -> None:
    assert escaped("a<b>&c") == "a&lt;b&gt;&amp;c"
    assert escaped("x" * 36, 35) == "x" * 34 + "…"
