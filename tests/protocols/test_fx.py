"""fxtr.014 to .017: read and written, business rules with their codes, matching of two trades."""

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.fx_matching import FxCandidate, best, compare, keys
from protocols.iso20022 import fx_rules, fxtr014, fxtr014_write, inbound, json_form
from protocols.iso20022.envelope import validate
from protocols.iso20022.fx import (
    FxAmendment,
    FxAmount,
    FxCancellation,
    FxStatus,
    FxTrade,
    Rate,
    TradeStatus,
)
from protocols.iso20022.fx_rules import rate_holds
from protocols.iso20022.lexical import decimal_text
from protocols.iso20022.lock_block import HashAlgorithm, HashLock, LockBlock
from protocols.iso20022.rules import Currency, Reference
from protocols.iso20022.xml import digest, parse
from protocols.matching import Matched, NearMiss
from tests.protocols import samples

BANK_A, BANK_B = "BKAAUS30XXX", "BKBBJPJ0XXX"
TODAY = date(2026, 10, 8)
YEN = FxAmount(currency="JPY", amount="1492500000")
DOLLARS = FxAmount(currency="USD", amount="10000000")
REFERENCE = Reference(
    instruments={},
    currencies={
        "USD": Currency(ledger="fed", scale=2),
        "JPY": Currency(ledger="boj", scale=0),
        "BHD": Currency(ledger="cbb", scale=3),
    },
    depositories=frozenset(),
    accounts={
        bank: {"fed": frozenset({f"USD-{bank}"}), "boj": frozenset({f"JPY-{bank}"})}
        for bank in (BANK_A, BANK_B)
    },
)


def trade_a() -> FxTrade:
    return FxTrade(
        sender=BANK_A,
        definition="fxtr.014.001.05",
        transaction_id="BKAA-FX-77120",
        common_id="FXT-2026-01177",
        trade_date=date(2026, 10, 6),
        settlement_date=TODAY,
        party=BANK_A,
        counterparty=BANK_B,
        buys=YEN,
        sells=DOLLARS,
        rate=Rate(value="149.25", decimals=2, unit="USD", quoted="JPY"),
        operation="NEWT",
        product="SPOT",
        pvp=True,
    )


def trade_b() -> FxTrade:
    return altered(
        trade_a(),
        sender=BANK_B,
        transaction_id="BKBB-FX-00913",
        party=BANK_B,
        counterparty=BANK_A,
        buys=DOLLARS,
        sells=YEN,
    )


def altered(trade: FxTrade, **fields: Any) -> FxTrade:
    return msgspec.structs.replace(trade, **fields)


def read(document: str, definition: str, sender: str = BANK_A) -> Any:
    item = samples.one(samples.message(document, definition, sender))
    validate(item)
    return inbound.decode(item)


# ---------------------------------------------------------------------- reading and writing


def test_the_examples_of_both_sides_are_read_and_match_but_for_the_party_that_holds_a_secret() -> (
    None
):
    a = read(samples.sample("fxtr.014-side-A.xml"), "fxtr.014.001.05")
    b = read(samples.sample("fxtr.014-side-B.xml"), "fxtr.014.001.05", BANK_B)
    assert a.lock is not None and a.lock.secret_holder is not None
    assert altered(a, lock=None) == trade_a()
    assert altered(b, lock=None) == trade_b()
    assert compare(a, b) == ()


@pytest.mark.parametrize("version", ["03", "04", "05", "06"])
def test_what_is_written_is_read_again_in_every_version(version: str) -> None:
    definition = f"fxtr.014.001.{version}"
    whole = altered(
        trade_a(),
        definition=definition,
        product=None if version == "03" else "FORW",
        receiving_account="JPY-0001",
        paying_account="USD-0001",
        lock=LockBlock(
            swap_id="5c1e8d70-93b2-4b6f-8f0e-2a4b6c8d0e12",
            leg="FXSA",
            execution_lock=HashLock(algorithm=HashAlgorithm.SHA256, digest="ab" * 32),
        ),
    )
    assert read(fxtr014_write.encode(whole, definition), definition) == whole


def test_an_amendment_and_a_cancellation_are_read_as_they_were_written() -> None:
    amended = altered(trade_a(), definition="fxtr.015.001.05", operation="AMND")
    amendment = FxAmendment(market_reference="GW1", reason="TYPING ERROR", trade=amended)
    written = fxtr014_write.encode_amendment(amendment)
    assert read(written, "fxtr.015.001.05") == amendment
    named = altered(trade_a(), definition="fxtr.016.001.05", operation="CANC")
    cancellation = FxCancellation(market_reference="GW1", reason="BOOKING ERROR", trade=named)
    written = fxtr014_write.encode_cancellation(cancellation)
    assert read(written, "fxtr.016.001.05") == cancellation
    example = read(samples.sample("fxtr.016-cancel.xml"), "fxtr.016.001.05")
    assert example.market_reference == "GWFX2610080001177A"
    assert (example.trade.buys, example.trade.sells) == (YEN, DOLLARS)
    assert example.trade.rate.value == "0"  # it names none


@pytest.mark.parametrize(
    ("text", "pvp"), [(" true ", True), ("\n1", True), (" false ", False), ("0 ", False)]
)
def test_white_space_around_a_boolean_changes_nothing(text: str, pvp: bool) -> None:
    written = samples.sample("fxtr.014-side-A.xml").replace(
        "<PmtVrssPmtInd>true<", f"<PmtVrssPmtInd>{text}<"
    )
    assert read(written, "fxtr.014.001.05").pvp is pvp


@pytest.mark.parametrize(
    ("name", "definition"),
    [("fxtr.014-side-A", "fxtr.014.001.05"), ("fxtr.016-cancel", "fxtr.016.001.05")],
)
def test_the_json_form_of_an_instruction_says_the_same(name: str, definition: str) -> None:
    xml = samples.message(samples.sample(f"{name}.xml"), definition, BANK_A).decode()
    (item,) = json_form.split(msgspec.json.encode(json_form.to_json(xml)))
    assert not isinstance(item, Exception)
    assert item.digest == digest(parse(xml.encode())[1])


UNREADABLE = {
    "tokens": (
        '<Amt Ccy="USD">10000000.00</Amt>',
        "<DgtlTknAmt><Unit>5</Unit></DgtlTknAmt>",
        "DMON",
    ),
    "a party by name": (
        f"<CtrPtySdId><SubmitgPty><AnyBIC><AnyBIC>{BANK_B}</AnyBIC></AnyBIC>",
        "<CtrPtySdId><SubmitgPty><NmAndAdr><Nm>Bank B</Nm></NmAndAdr>",
        "ICAG",
    ),
    "trading for another": (
        "</SubmitgPty></TradgSdId>",
        f"</SubmitgPty><TradPty><AnyBIC><AnyBIC>{BANK_B}</AnyBIC></AnyBIC></TradPty></TradgSdId>",
        "ICUS",
    ),
    "a fund": (
        "</SubmitgPty></TradgSdId>",
        "</SubmitgPty><FndId><FndId><FndId>1</FndId></FndId></FndId></TradgSdId>",
        "ICUS",
    ),
    "a zone on the date": ("<SttlmDt>2026-10-08<", "<SttlmDt>2026-10-08Z<", "DDAT"),
    "a signed amount": (">10000000.00<", ">+10000000.00<", "DMON"),
    "a negative rate": (">149.25<", ">-149.25<", "DDEA"),
    "no delivery": (
        "</AgrdRate>",
        "</AgrdRate><NDFConds><OpngInd>true</OpngInd><OpngFxgConds><OpngConfRef>X</OpngConfRef>"
        "</OpngFxgConds></NDFConds>",
        "SETS",
    ),
}


@pytest.mark.parametrize(("old", "new", "code"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_the_schema_allows_and_nobody_settles_is_refused_and_can_be_told(
    old: str, new: str, code: str
) -> None:
    document = fxtr014_write.encode(trade_a())
    assert old in document
    trade = read(document.replace(old, new, 1), "fxtr.014.001.05")
    refusal = fx_rules.check(trade, REFERENCE, TODAY)
    assert refusal is not None and refusal.code.value == code, refusal
    told = FxStatus(trade=trade, market_tx="GW", status=TradeStatus.INVALID, sub_status=code, at=0)
    samples.assert_valid(told)


# ---------------------------------------------------------------------- rules

BROKEN = {
    "a control character": ({"transaction_id": "A\u202eB"}, "VALR"),
    "an amendment": ({"operation": "AMND"}, "VALR"),
    "not payment versus payment": ({"pvp": False}, "VALR"),
    "another's trade": ({"party": BANK_B, "counterparty": BANK_A}, "ICAG"),
    "a stranger": ({"counterparty": "NOBODY20XXX"}, "ICAG"),
    "with itself": ({"counterparty": BANK_A}, "ICAG"),
    "no such currency": ({"sells": FxAmount(currency="ZZZ", amount="1")}, "NCRR"),
    "settled elsewhere": ({"sells": FxAmount(currency="SEK", amount="1")}, "NCRR"),
    "one currency": ({"sells": YEN, "rate": Rate(value="1", decimals=0)}, "NCRR"),
    "half a yen": ({"buys": FxAmount(currency="JPY", amount="1492500000.5")}, "DMON"),
    "nothing": ({"sells": FxAmount(currency="USD", amount="0")}, "DMON"),
    "too much": ({"sells": FxAmount(currency="USD", amount="92233720368547758.08")}, "DMON"),
    "the rate of another day": ({"rate": Rate(value="149.26", decimals=2)}, "DDEA"),
    "the rate the wrong way": (
        {"rate": Rate(value="149.25", decimals=2, unit="JPY", quoted="USD")},
        "DDEA",
    ),
    "the rate of others": (
        {"rate": Rate(value="149.25", decimals=2, unit="EUR", quoted="JPY")},
        "DDEA",
    ),
    "no rate at all": ({"rate": Rate(value="0", decimals=0)}, "DDEA"),
    "another's account": ({"paying_account": f"USD-{BANK_B}"}, "CASH"),
    "an account elsewhere": ({"receiving_account": f"USD-{BANK_A}"}, "CASH"),
    "traded after value": ({"trade_date": date(2026, 10, 9)}, "DTRD"),
}


@pytest.mark.parametrize(("changes", "code"), BROKEN.values(), ids=BROKEN)
def test_each_rule_has_its_code_and_names_the_field(changes: dict[str, Any], code: str) -> None:
    refusal = fx_rules.check(altered(trade_a(), **changes), REFERENCE, TODAY)
    assert refusal is not None and refusal.code.value == code, refusal
    assert refusal.field.startswith("/Document/FXTradInstr/")


def test_both_sides_of_the_example_break_no_rule() -> None:
    for trade in (trade_a(), trade_b()):
        assert fx_rules.check(trade, REFERENCE, TODAY) is None
        assert fx_rules.check(trade, REFERENCE, date(2027, 1, 1)) is None  # settles then


def test_the_day_must_be_open_on_both_ledgers() -> None:
    for closed in ("fed", "boj"):
        refusal = fx_rules.check(trade_a(), REFERENCE, TODAY, lambda ledger, _: ledger != closed)  # noqa: B023
        assert refusal is not None and refusal.code.value == "DDAT"


@given(
    units=st.integers(1, 10**12),
    rate=st.decimals("0.0001", "9999", places=6).map(lambda value: f"{value:f}"),
)
def test_an_amount_calculated_at_the_rate_holds_and_one_far_off_does_not(
    units: int, rate: str
) -> None:
    one = FxAmount(currency="USD", amount=decimal_text(f"{Decimal(units) / 100:f}"))
    product = (Decimal(units) / 100 * Decimal(rate)).quantize(Decimal("0.001"))
    other = FxAmount(currency="BHD", amount=decimal_text(f"{product:f}"))
    agreed = Rate(value=decimal_text(rate), decimals=6)
    assert rate_holds(agreed, one, other)
    assert rate_holds(agreed, other, one)
    wrong = FxAmount(currency="BHD", amount=decimal_text(f"{product * 2 + 1000:f}"))
    assert not rate_holds(msgspec.structs.replace(agreed, unit="USD"), one, wrong)


def test_the_last_of_twenty_nine_digits_decides() -> None:
    # The amounts differ from the rate by half a unit of its last digit and 5e-13: too much.
    one = FxAmount(currency="USD", amount="7649617160196398.63")
    rate = Rate(value="2.3980415036", decimals=10, unit="USD")
    assert not rate_holds(rate, one, FxAmount(currency="EUR", amount="18344099437184214.70"))
    assert rate_holds(rate, one, FxAmount(currency="EUR", amount="18344099437184214.69"))


# ---------------------------------------------------------------------- matching

DIFFERENT = {
    "amount bought": ({"buys": FxAmount(currency="USD", amount="10000000.01")}, "DMON"),
    "amount sold": ({"sells": FxAmount(currency="JPY", amount="1492500001")}, "DMON"),
    "currency": ({"buys": FxAmount(currency="USN", amount="10000000")}, "NCRR"),
    "direction": ({"buys": YEN, "sells": DOLLARS}, "DELN"),
    "trade date": ({"trade_date": date(2026, 10, 5)}, "DTRD"),
    "value date": ({"settlement_date": date(2026, 10, 9)}, "DDAT"),
    "counterparty": ({"counterparty": "BKCCUS30XXX"}, "ICAG"),
    "rate": ({"rate": Rate(value="149.26", decimals=2, unit="USD", quoted="JPY")}, "DDEA"),
    "common reference": ({"common_id": "OTHER"}, "IIND"),
}


@pytest.mark.parametrize(("changes", "code"), DIFFERENT.values(), ids=DIFFERENT)
def test_each_field_that_differs_alone_has_its_code_and_is_found_by_a_key(
    changes: dict[str, Any], code: str
) -> None:
    x, y = trade_a(), altered(trade_b(), **changes)
    for one, other in ((x, y), (y, x)):
        assert [reason.value for reason in compare(one, other)] == [code]
        found = best(one, [FxCandidate(id="c", entered_at=1, trade=other)])
        assert isinstance(found, NearMiss) and found.reason.value == code
    assert keys(x).a == keys(y).a or keys(x).b == keys(y).b


@pytest.mark.parametrize(
    "changes",
    [
        {"common_id": None},
        {"counterparty": BANK_A[:8]},
        {"rate": Rate(value="0.0067", decimals=4, unit="JPY", quoted="USD")},
        {"rate": Rate(value="149.25", decimals=4)},
    ],
)
def test_a_blank_reference_a_short_bic_and_an_inverse_quotation_match(
    changes: dict[str, Any],
) -> None:
    y = altered(trade_b(), **changes)
    assert fx_rules.check(y, REFERENCE, TODAY) is None
    assert compare(trade_a(), y) == compare(y, trade_a()) == ()
    assert keys(trade_a()) == keys(y)


def test_two_differences_are_no_near_miss_and_two_trades_of_one_side_never_are() -> None:
    far = altered(trade_b(), trade_date=date(2026, 10, 5), common_id="OTHER")
    own = altered(trade_a(), transaction_id="BKAA-FX-77121")
    for other in (far, own):
        assert best(trade_a(), [FxCandidate(id="c", entered_at=1, trade=other)]) is None


def test_of_several_counterparts_the_oldest_is_taken() -> None:
    candidates = [FxCandidate(id=str(n), entered_at=9 - n, trade=trade_b()) for n in range(3)]
    found = best(trade_a(), candidates)
    assert isinstance(found, Matched) and found.id == "2"


def test_lock_terms_that_differ_do_not_match() -> None:
    def lock(digest: str) -> LockBlock:
        return LockBlock(
            swap_id="5c1e8d70-93b2-4b6f-8f0e-2a4b6c8d0e12",
            leg="FXSA",
            execution_lock=HashLock(algorithm=HashAlgorithm.SHA256, digest=digest * 32),
        )

    x, y = altered(trade_a(), lock=lock("ab")), altered(trade_b(), lock=lock("ac"))
    assert [reason.value for reason in compare(x, y)] == ["HTLM"]
    assert compare(x, trade_b()) == ()


def test_a_lock_block_twice_is_refused() -> None:
    block = LockBlock(
        swap_id="5c1e8d70-93b2-4b6f-8f0e-2a4b6c8d0e12",
        leg="FXSA",
        execution_lock=HashLock(algorithm=HashAlgorithm.SHA256, digest="ab" * 32),
    )
    document = fxtr014_write.encode(altered(trade_a(), lock=block))
    start, end = document.index("<SplmtryData>"), document.index("</FXTradInstr>")
    twice = document[:end] + document[start:end] + document[end:]
    trade = fxtr014.decode(samples.one(samples.message(twice, "fxtr.014.001.05", BANK_A)))
    assert [fault.code.value for fault in trade.unreadable] == ["VALR"]
