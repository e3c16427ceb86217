"""Statements over HTTP: what is asked, what is answered, and who may ask."""

from typing import Any

import pytest

from tests.gateway.http.client import Client
from tests.gateway.http.conftest import Served


async def test_statements_are_made_for_the_member_that_asks(served: Served) -> None:
    answer = await served.seller.ask("POST", "/v1/statements", {"kind": "cash"})
    assert answer.status == 202
    (made,) = answer.json["statements"]
    assert (made["definition"], made["frequency"], made["pages"]) == ("camt.053.001.08", "INDA", 1)
    daily = await served.seller.ask("POST", "/v1/statements", {"date": "2026-10-05"})
    (made,) = daily.json["statements"]
    assert (made["frequency"], made["business_date"]) == ("DAIL", "2026-10-05")


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"kind": "shares"}, 422, "kind"),
        ({"date": "yesterday"}, 422, "date"),
        ({"account": "EUR-BUYRFR"}, 422, "account"),
        ({"page": 1}, 422, "page"),
        ({"ledger": "silent"}, 503, None),
        ({"ledger": "registry"}, 409, None),
    ],
)
async def test_what_is_wrong_is_told_with_its_field(
    served: Served, body: dict[str, Any], status: int, field: str | None
) -> None:
    answer = await served.seller.ask("POST", "/v1/statements", body)
    assert answer.status == status
    if field is not None:
        assert answer.json["field"] == field


async def test_an_operator_has_no_accounts_to_be_stated(served: Served) -> None:
    assert (await served.operator.ask("POST", "/v1/statements", {})).status == 403


async def test_an_operator_sees_its_ledgers_and_their_breaks(served: Served) -> None:
    answer = await served.operator.ask("GET", "/v1/reconciliation")
    assert answer.status == 200
    assert (answer.json["agreed"], answer.json["running"]) == (False, False)
    assert [each["ledger"] for each in answer.json["ledgers"]] == ["registry", "eur", "silent"]
    (found,) = answer.json["breaks"]
    assert (found["amount"], found["account"], found["age_seconds"]) == ("-2", None, 60.0)
    assert (await served.seller.ask("GET", "/v1/reconciliation")).status == 403


async def test_an_operator_of_one_ledger_reconciles_that_one(served: Served) -> None:
    registrar = Client(served.session, served.base, "registrar")
    answer = await registrar.ask("POST", "/v1/reconciliation", {})
    assert [each["ledger"] for each in answer.json["ledgers"]] == ["registry"]
    other = await registrar.ask("POST", "/v1/reconciliation", {"ledger": "eur"})
    assert (other.status, other.json["field"]) == (422, "ledger")
    afresh = await registrar.ask("POST", "/v1/reconciliation", {"afresh": True})
    assert afresh.status == 403
    assert (await served.operator.ask("POST", "/v1/reconciliation", {"afresh": True})).status == 200
