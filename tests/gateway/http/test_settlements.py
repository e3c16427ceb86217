"""Settlements over HTTP, against a server on loopback."""

import hashlib
from typing import Any

import pytest

from htlc.units import QUANTITY_MAX
from tests.gateway.http.client import Answer
from tests.gateway.http.conftest import BATCH_MAX, ID, Served, changed, proposal
from tests.gateway.http.fake import BUYER, ISIN, SELLER

OTHER = "0192f3c4-5d6e-7f80-9a1b-2c3d4e5f6072"
SECRET = {"holder": SELLER, "algorithm": "sha256", "encoding": "raw", "hash": "ab" * 32}


async def test_a_proposal_waits_for_the_other_payer(served: Served) -> None:
    answer = await served.seller.ask("POST", "/v1/settlements", proposal())
    assert answer.status == 202
    assert answer.headers["Location"] == f"/v1/settlements/{ID}"
    shown = answer.json
    assert (shown["state"], shown["awaits"]) == ("PROPOSED", [BUYER])
    assert shown["principal_risk"] is None


async def test_the_same_terms_from_the_other_payer_open_it(served: Served) -> None:
    await served.seller.ask("POST", "/v1/settlements", proposal())
    shown = (await served.buyer.ask("POST", "/v1/settlements", proposal())).json
    assert (shown["state"], shown["awaits"], shown["protocol"]) == ("LOCKING", [], "two_key")
    assert shown["principal_risk"] == {"level": "none", "window_seconds": None}
    assert shown["trusts"].startswith("the gateway's operator")
    assert shown["commit_by"] == "2026-10-06T09:01:00Z"
    cash = shown["legs"][1]
    assert (cash["quantity"], cash["state"], cash["final"]) == ("998750.00", "UNSEEN", False)
    assert cash["contract"].startswith(ID[:8])


async def test_the_window_of_residual_risk_is_shown_in_seconds(served: Served) -> None:
    risky = proposal(protocol="htlc")
    await served.seller.ask("POST", "/v1/settlements", risky)
    shown = (await served.buyer.ask("POST", "/v1/settlements", risky)).json
    assert shown["principal_risk"] == {"level": "residual", "window_seconds": 600.0}
    assert shown["trusts"] == "each party its own watch"
    assert all(leg["expires_at"] for leg in shown["legs"])


@pytest.mark.parametrize(
    "change",
    [
        ("legs.1.quantity", "998750"),
        ("legs.1.quantity", "998750.0"),
        ("legs.0.payer.member", SELLER[:8]),
    ],
)
async def test_another_spelling_is_the_same_content(
    served: Served, change: tuple[str, str]
) -> None:
    await served.seller.ask("POST", "/v1/settlements", proposal())
    answer = await served.buyer.ask("POST", "/v1/settlements", changed(*change))
    assert (answer.status, answer.json["state"]) == (202, "LOCKING")


async def test_another_spelling_of_an_instant_is_the_same_content(served: Served) -> None:
    first = proposal(commit_by="2026-10-06T10:00:00Z")
    second = proposal(commit_by="2026-10-06T10:00:00.000Z")
    await served.seller.ask("POST", "/v1/settlements", first)
    assert (await served.buyer.ask("POST", "/v1/settlements", second)).json["state"] == "LOCKING"


async def test_other_content_under_the_same_id_is_a_conflict(served: Served) -> None:
    await served.seller.ask("POST", "/v1/settlements", proposal())
    answer = await served.buyer.ask("POST", "/v1/settlements", changed("legs.1.quantity", "1"))
    assert (answer.status, answer.json["code"]) == (409, "XDUP")
    assert answer.json["type"] == "urn:lockstep:problem:conflict"


async def test_the_digest_is_over_the_swap_that_is_meant(served: Served) -> None:
    """Written out: it is stored, and must not change when what is not said could be said."""
    await served.seller.ask("POST", "/v1/settlements", changed("legs.1.quantity", "998750"))
    digest, _ = served.fake.settlements[ID]
    meant = (
        f'{{"id":"{ID}","legs":[{{"leg":"SECU","ledger":"registry","asset":"{ISIN}",'
        '"quantity":1000000,"payer":{"member":"SELADEF0XXX","account":"REGA-SELADE-0001"},'
        '"payee":{"member":"BUYRFRP0XXX","account":"REGA-BUYRFR-0001"}},'
        '{"leg":"CASH","ledger":"eur","asset":"EUR","quantity":99875000,'
        '"payer":{"member":"BUYRFRP0XXX","account":"EUR-BUYRFR"},'
        '"payee":{"member":"SELADEF0XXX","account":"EUR-SELADE"}}]}'
    )
    assert digest == hashlib.sha256(meant.encode()).digest()


WRONG: list[tuple[str, Any, str, str]] = [
    # what is changed, to what, the field told, a piece of the rule told
    ("id", "0192F3C4-5D6E-7F80-9A1B-2C3D4E5F6071", "id", "UUID in lower case"),
    ("id", "x", "id", "UUID"),
    ("id", ID + "\n", "id", "UUID"),
    ("id", 7, "id", "Expected `str`"),
    ("id", None, "id", "is required"),
    ("legs", [], "legs", "length >= 2"),
    ("legs", "none", "legs", "Expected `array`"),
    ("legs.1.leg", "cash", "legs[1].leg", "1 to 8 capitals"),
    ("legs.1.leg", "SECU", "legs[1].leg", "names another leg already"),
    ("legs.1.ledger", "usd", "legs[1].ledger", "is one of registry, eur"),
    ("legs.1.asset", "USD", "legs[1].asset", "ledger eur keeps"),
    ("legs.1.quantity", "998750.001", "legs[1].quantity", "2 decimals, not 3"),
    ("legs.0.quantity", "1.0", "legs[0].quantity", "0 decimals, not 1"),
    ("legs.1.quantity", "1e3", "legs[1].quantity", "no exponent"),
    ("legs.1.quantity", "-1.00", "legs[1].quantity", "no sign"),
    ("legs.1.quantity", "+1.00", "legs[1].quantity", "no sign"),
    ("legs.1.quantity", " 1.00", "legs[1].quantity", "no blank"),
    ("legs.1.quantity", "1.", "legs[1].quantity", "plain decimal"),
    ("legs.1.quantity", ".5", "legs[1].quantity", "plain decimal"),
    ("legs.1.quantity", "007", "legs[1].quantity", "plain decimal"),
    ("legs.1.quantity", "١٢", "legs[1].quantity", "plain decimal"),
    ("legs.1.quantity", "NaN", "legs[1].quantity", "plain decimal"),
    ("legs.1.quantity", "1.00\n", "legs[1].quantity", "plain decimal"),
    ("legs.1.quantity", "0.00", "legs[1].quantity", "positive"),
    ("legs.0.quantity", str(QUANTITY_MAX + 1), "legs[0].quantity", "63 bits"),
    ("legs.0.quantity", "9" * 5000, "legs[0].quantity", "63 bits"),
    ("legs.1.quantity", 998750.0, "legs[1].quantity", "Expected `str`"),
    ("legs.1.payer.member", "BUYR", "legs[1].payer.member", "ISO 9362"),
    ("legs.1.payee.member", SELLER.lower(), "legs[1].payee.member", "ISO 9362"),
    ("legs.1.payee.member", BUYER, "legs[1].payee.member", "pays a leg to itself"),
    ("legs.0.payee.account", "", "legs[0].payee.account", "1 to 140"),
    ("legs.0.payee.account", "A\u0000B", "legs[0].payee.account", "printable"),
    ("legs.0.payee.account", "A\u202eB", "legs[0].payee.account", "printable"),
    ("legs.0.expires_at", "2026-10-06", "legs[0].expires_at", "RFC 3339"),
    ("legs.0.colour", "red", "legs[0].colour", "not known here"),
    ("commit_by", "2026-10-06T09:00:00", "commit_by", "UTC"),
    ("commit_by", "2026-10-06T11:00:00+02:00", "commit_by", "UTC"),
    ("commit_by", "2026-02-30T09:00:00Z", "commit_by", "RFC 3339"),
    ("commit_by", "2026-10-06T09:00:00.0000000001Z", "commit_by", "nanosecond"),
    ("commit_by", "9999-10-06T09:00:00Z", "commit_by", "RFC 3339"),
    ("protocol", "three_key", "protocol", "Invalid enum value"),
    ("secret", SECRET | {"hash": "AB" * 32}, "secret.hash", "lower-case hex"),
    ("secret", SECRET | {"hash": "ab"}, "secret.hash", "32 bytes"),
    ("secret", SECRET | {"holder": "nobody"}, "secret.holder", "ISO 9362"),
    ("secret", SECRET | {"holder": "OTHRUS30"}, "secret.holder", "a party of the swap"),
    ("secret", SECRET | {"algorithm": "md5"}, "secret.algorithm", "Invalid enum value"),
    ("colour", "red", "colour", "not known here"),
]


@pytest.mark.parametrize(("path", "value", "field", "rule"), WRONG)
async def test_a_fault_names_its_field_and_its_rule(
    served: Served, path: str, value: Any, field: str, rule: str
) -> None:
    answer = await served.seller.ask("POST", "/v1/settlements", changed(path, value))
    found = answer.json
    assert (answer.status, answer.media) == (422, "application/problem+json")
    assert found["field"] == field
    assert rule in found["rule"]


async def test_every_fault_is_told_at_once(served: Served) -> None:
    wrong = changed("legs.1.quantity", "0")
    wrong["legs"][0]["payer"]["account"] = ""
    wrong["id"] = "x"
    answer = await served.seller.ask("POST", "/v1/settlements", wrong)
    fields = {error["field"] for error in answer.json["errors"]}
    assert fields == {"id", "legs[0].payer.account", "legs[1].quantity"}


async def test_a_swap_that_is_not_connected_is_refused_with_its_leg(served: Served) -> None:
    answer = await served.seller.ask(
        "POST", "/v1/settlements", changed("legs.1.payee.member", "OTHRUS30")
    )
    assert answer.status == 422
    assert "strongly connected" in answer.json["rule"]


async def test_the_largest_quantity_is_taken(served: Served) -> None:
    answer = await served.seller.ask(
        "POST", "/v1/settlements", changed("legs.0.quantity", str(QUANTITY_MAX))
    )
    assert answer.json["legs"][0]["quantity"] == str(QUANTITY_MAX)


async def test_a_party_may_hold_the_secret(served: Served) -> None:
    await served.seller.ask("POST", "/v1/settlements", proposal(secret=SECRET))
    _, view = served.fake.settlements[ID]
    assert view.state.swap.secret is not None
    assert view.state.swap.secret.digest == bytes.fromhex("ab" * 32)


async def test_nobody_proposes_for_others(served: Served) -> None:
    answer = await served.stranger.ask("POST", "/v1/settlements", proposal())
    assert (answer.status, answer.json["code"]) == (403, "XAUT")
    assert served.fake.settlements == {}


async def test_a_ledger_not_heard_yet_is_no_fault_of_the_proposal(served: Served) -> None:
    silent = changed("legs.1.ledger", "silent")
    silent["legs"][1]["asset"] = "JPY"
    answer = await served.seller.ask("POST", "/v1/settlements", silent)
    assert (answer.status, answer.json["code"]) == (503, "XBSY")
    assert answer.headers["Retry-After"] == "1"


async def test_a_busy_gateway_says_when_to_come_back(served: Served) -> None:
    served.fake.busy = True
    answer = await served.seller.ask("POST", "/v1/settlements", proposal())
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


async def test_each_item_of_an_array_has_its_own_answer(served: Served) -> None:
    wrong, unshaped = changed("legs.1.quantity", "0"), changed("legs.0.payer.member", 7)
    items = [proposal(), wrong, unshaped, 7, proposal(OTHER)]
    answer = await served.seller.ask("POST", "/v1/settlements", items)
    assert answer.status == 202
    assert [item["status"] for item in answer.json] == [202, 422, 422, 422, 202]
    assert answer.json[0]["settlement"]["id"] == ID
    assert answer.json[1]["problem"]["field"] == "legs[1].quantity"
    assert answer.json[2]["problem"]["field"] == "legs[0].payer.member"
    assert answer.json[4]["settlement"]["id"] == OTHER
    assert served.fake.takes == 1


async def test_an_array_is_answered_in_short_for_whoever_prefers_it(served: Served) -> None:
    proposals = [proposal(), changed("legs.1.quantity", "x")]
    answer = await served.seller.ask("POST", "/v1/settlements", proposals, Prefer="return=minimal")
    taken, refused = answer.json
    assert taken == {"status": 202, "id": ID, "state": "PROPOSED"}
    assert (refused["status"], refused["problem"]["field"]) == (422, "legs[1].quantity")
    assert answer.headers["Preference-Applied"] == "return=minimal"


async def test_one_proposal_is_answered_in_short_for_whoever_prefers_it(served: Served) -> None:
    async def ask(body: object, prefer: str) -> Answer:
        return await served.seller.ask("POST", "/v1/settlements", body, Prefer=prefer)

    for _ in range(2):  # the same again is answered in the same way
        taken = await ask(proposal(), "wait=1, return=minimal")
        assert (taken.status, taken.json) == (202, {"status": 202, "id": ID, "state": "PROPOSED"})
        assert taken.headers["Preference-Applied"] == "return=minimal"
        assert taken.headers["Location"] == f"/v1/settlements/{ID}"
    whole = await ask(proposal(), "return=representation")
    assert (whole.json["state"], len(whole.json["legs"])) == ("PROPOSED", 2)
    assert "Preference-Applied" not in whole.headers
    refused = await ask(changed("legs.1.quantity", "x"), "return=minimal")
    assert (refused.status, refused.json["field"]) == (422, "legs[1].quantity")


async def test_an_array_of_refusals_only_never_reaches_the_gateway(served: Served) -> None:
    answer = await served.seller.ask("POST", "/v1/settlements", [changed("id", "x")])
    assert [item["status"] for item in answer.json] == [422]
    assert served.fake.takes == 0


@pytest.mark.parametrize(("count", "status"), [(0, 422), (BATCH_MAX, 202), (BATCH_MAX + 1, 413)])
async def test_an_array_is_bounded(served: Served, count: int, status: int) -> None:
    items = [proposal(f"{ID[:-2]}{n:02}") for n in range(count)]
    answer = await served.seller.ask("POST", "/v1/settlements", items)
    assert answer.status == status


@pytest.mark.parametrize("body", [b"", b"{", b"[", b"[}", b"nil", b"\xff", b"[" * 100_000])
async def test_what_is_no_json_is_malformed(served: Served, body: bytes) -> None:
    answer = await served.seller.ask("POST", "/v1/settlements", body, media="application/json")
    assert (answer.status, answer.json["code"]) == (400, "XWEL")


async def test_a_settlement_is_shown_to_its_parties_and_operators_only(served: Served) -> None:
    await served.seller.ask("POST", "/v1/settlements", proposal())
    for client in (served.seller, served.buyer, served.operator):
        assert (await client.ask("GET", f"/v1/settlements/{ID}")).json["id"] == ID
    hidden = await served.stranger.ask("GET", f"/v1/settlements/{ID}")
    absent = await served.stranger.ask("GET", f"/v1/settlements/{OTHER}")
    strange = await served.stranger.ask("GET", "/v1/settlements/%00")
    assert hidden.status == 404
    assert hidden.body == absent.body == strange.body


async def test_a_payer_accepts(served: Served) -> None:
    await served.seller.ask("POST", "/v1/settlements", proposal())
    path = f"/v1/settlements/{ID}/accept"
    assert (await served.stranger.ask("POST", path)).status == 404
    assert (await served.operator.ask("POST", path)).status == 403
    answer = await served.buyer.ask("POST", path)
    assert (answer.status, answer.json["state"]) == (200, "LOCKING")
    assert (await served.buyer.ask("POST", path, {})).status == 200


async def test_an_acceptance_carries_nothing(served: Served) -> None:
    await served.seller.ask("POST", "/v1/settlements", proposal())
    answer = await served.buyer.ask("POST", f"/v1/settlements/{ID}/accept", {"but": "not all"})
    assert (answer.status, answer.json["field"]) == (422, "but")
    assert served.fake.settlements[ID][1].state.agreement is None


async def test_a_party_cancels_a_proposal(served: Served) -> None:
    await served.seller.ask("POST", "/v1/settlements", proposal())
    body = {"reason": "agreed with the counterparty"}
    answer = await served.seller.ask("POST", f"/v1/settlements/{ID}/cancel", body)
    assert answer.status == 200
    assert served.fake.cancelled == [(SELLER, "agreed with the counterparty")]


async def test_a_denied_cancellation_tells_its_code(served: Served) -> None:
    for client in (served.seller, served.buyer):
        await client.ask("POST", "/v1/settlements", proposal())
    answer = await served.seller.ask("POST", f"/v1/settlements/{ID}/cancel", {"reason": "late"})
    assert (answer.status, answer.json["code"]) == (409, "DPRG")
    assert answer.json["type"] == "urn:lockstep:problem:denied"


@pytest.mark.parametrize("reason", ["", "x" * 351, "a\u0000b", "a\u202eb", "a\nb"])
async def test_a_reason_is_a_printable_text(served: Served, reason: str) -> None:
    await served.seller.ask("POST", "/v1/settlements", proposal())
    answer = await served.seller.ask("POST", f"/v1/settlements/{ID}/cancel", {"reason": reason})
    assert (answer.status, answer.json["field"]) == (422, "reason")
    assert served.fake.cancelled == []


async def test_a_list_is_read_page_by_page(served: Served) -> None:
    ids = [f"{ID[:-2]}{n:02}" for n in range(5)]
    await served.seller.ask("POST", "/v1/settlements", [proposal(id) for id in ids])
    seen, query = [], "limit=2"
    while query:
        page = (await served.seller.ask("GET", f"/v1/settlements?{query}")).json
        seen += [line["id"] for line in page["settlements"]]
        query = f"limit=2&before={page['next']}" if page["next"] else ""
    assert seen == sorted(ids, reverse=True)
    assert (await served.stranger.ask("GET", "/v1/settlements")).json["settlements"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=1_0", "limit"),
        ("limit=%D9%A1", "limit"),
        (f"limit={'9' * 5000}", "limit"),
        ("limit=1&limit=2", "limit"),
        ("before=yesterday", "before"),
        ("befor=x", "befor"),
        ("%00=x", "\x00"),
    ],
)
async def test_a_wrong_query_names_its_parameter(served: Served, query: str, field: str) -> None:
    answer = await served.seller.ask("GET", f"/v1/settlements?{query}")
    assert (answer.status, answer.json["field"]) == (422, field)


async def test_ledgers_say_what_they_are_once_they_were_heard(served: Served) -> None:
    found = {x["name"]: x for x in (await served.seller.ask("GET", "/v1/ledgers")).json["ledgers"]}
    assert found["eur"]["assets"] == [{"asset": "EUR", "scale": 2, "quantity_type": "Unit"}]
    assert found["registry"]["assets"][0]["asset"] == ISIN
    assert found["eur"]["hash_functions"] == [{"algorithm": "sha256", "encoding": "raw"}]
    assert (found["silent"]["reachable"], found["silent"]["skew_seconds"]) == (False, None)


async def test_a_holder_hands_over_its_secret(served: Served) -> None:
    await served.seller.ask("POST", "/v1/settlements", proposal())
    path, secret = f"/v1/settlements/{ID}/release", "11" * 32
    answer = await served.seller.ask("POST", path, {"leg": "CASH", "preimage": secret})
    assert answer.status == 200
    assert answer.json["id"] == ID
    assert served.fake.released == [(SELLER, "CASH")]
    assert secret not in answer.text


@pytest.mark.parametrize("preimage", ["11" * 31, "11" * 33, "AA" * 32, "", "00" * 32])
async def test_a_secret_that_opens_nothing_is_refused_and_not_repeated(
    served: Served, preimage: str
) -> None:
    await served.seller.ask("POST", "/v1/settlements", proposal())
    path = f"/v1/settlements/{ID}/release"
    answer = await served.seller.ask("POST", path, {"leg": "CASH", "preimage": preimage})
    assert (answer.status, answer.json["field"]) == (422, "preimage")
    assert not preimage or preimage not in answer.text
    assert served.fake.released == []


# ---------------------------------------------------------------------- resolve

WORD = {"decision": "COMMIT", "evidence": "both parties hold the confirmation, ref. 77"}


async def test_an_operator_says_how_a_lost_decision_went(served: Served) -> None:
    await served.seller.ask("POST", "/v1/settlements", proposal())
    await served.buyer.ask("POST", "/v1/settlements", proposal())
    answer = await served.operator.ask("POST", f"/v1/settlements/{ID}/resolve", WORD)
    assert answer.status == 200
    (said,) = answer.json["resolutions"]
    assert said == WORD | {"operator": "ops", "at": "2026-10-06T09:00:00Z"}


async def test_a_member_cannot_and_an_unfrozen_one_is_denied(served: Served) -> None:
    await served.seller.ask("POST", "/v1/settlements", proposal())
    path = f"/v1/settlements/{ID}/resolve"
    assert (await served.seller.ask("POST", path, WORD)).status == 403
    denied = await served.operator.ask("POST", path, WORD)
    assert (denied.status, denied.json["code"]) == (409, "DPRG")
    for wrong, field in (
        (WORD | {"evidence": ""}, "evidence"),
        (WORD | {"decision": "MAYBE"}, "decision"),
        ({"decision": "COMMIT"}, "evidence"),
    ):
        refused = await served.operator.ask("POST", path, wrong)
        assert refused.status == 422 and field in refused.text
