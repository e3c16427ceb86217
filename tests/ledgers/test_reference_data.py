"""Identifiers and reference data: ISIN, LEI, BIC, securities, currencies."""

from typing import Any

import pytest

from htlc.units import AccountId
from ledgers.currency import currency
from ledgers.instruments import (
    SCALE_MAX,
    Instrument,
    ReferenceDataError,
    is_bic,
    is_currency_code,
    is_isin,
    is_lei,
)
from ledgers.securities import security

APPLE = "US0378331005"  # the example of ISO 6166's literature
SECURITY: dict[str, Any] = {
    "isin": APPLE,
    "name": "Apple Inc.",
    "scale": 0,
    "quantity_type": "Unit",
    "issuer": "APPLUS33XXX",
    "issuer_account": AccountId("issuer-1"),
}
CURRENCY: dict[str, Any] = {
    "code": "EUR",
    "scale": 2,
    "central_bank": "ECBFDEFFXXX",
    "reserves_account": AccountId("reserves"),
}


@pytest.mark.parametrize("check", [is_isin, is_lei, is_bic, is_currency_code])
def test_identifiers_have_one_spelling(check: Any) -> None:
    good = {
        is_isin: APPLE,
        is_lei: "5493001KJTIIGC8Y1R12",
        is_bic: "DEUTDEFFXXX",
        is_currency_code: "EUR",
    }[check]
    assert check(good)
    wrong = (good.lower(), f" {good}", f"{good}\n", good[:-1], good + "0", "", good[1:] + "é")
    assert not any(check(text) for text in wrong)


def test_check_digits_are_checked() -> None:
    assert not is_isin("US0378331006")
    assert not is_lei("5493001KJTIIGC8Y1R13")


def test_a_security_stands_against_its_issuer_account() -> None:
    assert security(**SECURITY) == Instrument(
        asset=APPLE,  # type: ignore[arg-type]
        name="Apple Inc.",
        scale=0,
        quantity_type="Unit",
        issuer="APPLUS33XXX",
        counter=AccountId("issuer-1"),
    )


def test_a_currency_stands_against_the_reserves() -> None:
    made = currency(**CURRENCY)
    assert (made.asset, made.quantity_type, made.counter) == ("EUR", "Ccy", "reserves")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"isin": "US0378331006"}, "isin"),
        ({"name": ""}, "name"),
        ({"name": "x" * 351}, "name"),
        ({"quantity_type": "AmtsdVal"}, "quantity_type"),
        ({"scale": -1}, "scale"),
        ({"scale": SCALE_MAX + 1}, "scale"),
    ],
)
def test_a_security_that_breaks_a_rule_is_refused_by_its_field(
    changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(ReferenceDataError) as refused:
        security(**SECURITY | changes)
    assert refused.value.field == field and refused.value.rule


@pytest.mark.parametrize(
    ("changes", "field"), [({"code": "eur"}, "currency"), ({"scale": 18}, "scale")]
)
def test_a_currency_that_breaks_a_rule_is_refused_by_its_field(
    changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(ReferenceDataError) as refused:
        currency(**CURRENCY | changes)
    assert refused.value.field == field
