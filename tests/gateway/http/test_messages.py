"""ISO 20022 messages over HTTP: XML and JSON form, alone and in batches."""

import json
from typing import Any

import msgspec
import pytest
from lxml import etree

from gateway.http import exchange
from protocols.iso20022 import envelope, json_form, render
from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.errors import RejectCode
from protocols.iso20022.schemas import namespace_of, validate
from protocols.iso20022.sese023_write import encode
from tests.gateway.http.client import Answer
from tests.gateway.http.conftest import BATCH_MAX, BODY_BYTES_MAX, Served
from tests.gateway.http.fake import BUYER, GATEWAY, SELLER
from tests.protocols.samples import delivery, header, marked_repeated

XML = exchange.XML
JSON = exchange.ISO_JSON_FORM


def message(id: str = "M1", trade: str = "T1", **head: Any) -> str:
    """A sese.023 of the seller; `trade` makes the content differ."""
    written = encode(msgspec.structs.replace(delivery(), transaction_id=trade))
    return render.business_message(
        msgspec.structs.replace(header(), business_message_id=id, **head), written
    )


def as_json(xml: str) -> dict[str, Any]:
    return json_form.to_json(xml)


def replies(answer: Answer) -> list[tuple[str, str, str]]:
    """Of an XML answer: definition, the reference it is about, its code; each of them valid."""
    assert answer.headers["Content-Type"] == "application/xml; charset=utf-8"
    found = []
    for item in envelope.split(answer.body):
        assert isinstance(item, Enveloped)
        validate(item.document, namespace_of(item.document), RejectCode.XSDV)
        assert item.header.definition == item.definition
        assert (item.header.sender, item.header.receiver) == (GATEWAY, SELLER)
        assert item.header.business_service == "lockstep.dvp.01"
        texts = {etree.QName(e).localname: e.text or "" for e in item.document.iter()}
        found.append((item.definition, texts["Ref"], texts.get("RjctgPtyRsn", "")))
    return found


RECEIPT, REJECTION = "admi.007.001.01", "admi.002.001.01"


async def send(served: Served, *messages: str, batch: bool = False) -> Answer:
    body = render.batch(list(messages)) if batch or len(messages) > 1 else messages[0]
    return await served.seller.ask("POST", "/v1/messages", body.encode(), media=XML)


async def test_a_message_is_received_with_a_receipt(served: Served) -> None:
    answer = await send(served, message("M1"))
    assert (answer.status, answer.headers["Location"]) == (202, "/v1/messages")
    assert replies(answer) == [(RECEIPT, "M1", "")]


async def test_the_receipt_relates_to_the_header_received(served: Served) -> None:
    (item,) = envelope.split((await send(served, message("M1"))).body)
    assert isinstance(item, Enveloped)
    related = item.header.related
    assert related is not None
    assert (related.business_message_id, related.sender) == ("M1", SELLER)
    assert related.created_at == header().created_at


async def test_a_repetition_gets_the_same_answer_marked_as_one(served: Served) -> None:
    first = await send(served, message("M1"))
    marked = marked_repeated(first.text).encode()
    for is_marked in (True, False):  # by its sender
        again = await send(served, message("M1", possible_duplicate=is_marked))
        assert (again.status, again.body) == (202, marked)
    batch = await send(served, message("M2", possible_duplicate=True), message("M2"))
    heads = [item.header for item in envelope.split(batch.body) if isinstance(item, Enveloped)]
    assert [head.possible_duplicate for head in heads] == [False, True]


async def test_other_content_is_409_with_a_rejection_as_body(served: Served) -> None:
    await send(served, message("M1"))
    answer = await send(served, message("M1", "T2"))
    assert answer.status == 409
    assert replies(answer) == [(REJECTION, "M1", "XDUP")]


async def test_a_batch_has_a_result_for_each_in_order(served: Served) -> None:
    broken = message("M2").replace("<TxId>T1</TxId>", "<TxId></TxId>")
    await send(served, message("M3"))
    answer = await send(
        served, message("M1"), broken, message("M3", "T2"), message("M4", sender=BUYER)
    )
    assert (answer.status, answer.headers["Location"]) == (202, "/v1/messages")
    assert replies(answer) == [
        (RECEIPT, "M1", ""),
        (REJECTION, "M2", "XSDV"),
        (REJECTION, "M3", "XDUP"),
        (REJECTION, "M4", "XAUT"),
    ]


async def test_a_batch_of_one_is_answered_as_a_batch(served: Served) -> None:
    good = await send(served, message("M1"), batch=True)
    bad = await send(served, message("M2", sender=BUYER), batch=True)
    assert (good.status, bad.status) == (202, 202)
    assert b"<BizMsgs" in good.body
    assert replies(bad) == [(REJECTION, "M2", "XAUT")]


async def test_a_batch_is_bounded(served: Served) -> None:
    messages = [message(f"M{n}") for n in range(BATCH_MAX + 1)]
    answer = await send(served, *messages)
    assert answer.status == 413
    assert replies(answer)[0][2] == "XSIZ"
    assert (await send(served, *messages[1:])).status == 202


BAD: list[tuple[str, bytes, int, str]] = [
    ("nothing", b"", 400, "XWEL"),
    ("no XML", b"hello", 400, "XWEL"),
    ("half of it", message()[:300].encode(), 400, "XWEL"),
    ("a DOCTYPE", b"<!DOCTYPE x [<!ENTITY a 'b'>]>" + message().encode(), 400, "XDTD"),
    ("UTF-16 with a DOCTYPE", ("<!DOCTYPE x>" + message()).encode("utf-16"), 400, "XDTD"),
    ("no header", b"<BizMsg xmlns='urn:lockstep:tech:xsd:bizmsg.001.01'/>", 422, "XBAH"),
    ("an empty batch", b"<BizMsgs xmlns='urn:lockstep:tech:xsd:bizmsg.001.01'/>", 422, "XSDV"),
    ("another sender", message(sender=BUYER).encode(), 403, "XAUT"),
    ("another receiver", message(receiver="OTHRUS30XXX").encode(), 422, "XBAH"),
    ("another version", message().replace("023.001.11", "023.001.02").encode(), 422, "XVER"),
    ("two versions", message(definition="sese.023.001.10").encode(), 422, "XBAH"),
    ("a schema error", message().replace("DELI", "DELIVER").encode(), 422, "XSDV"),
    ("a reply of ours", message(definition="sese.024.001.12").encode(), 422, "XBAH"),
]


@pytest.mark.parametrize(
    ("body", "status", "code"), [bad[1:] for bad in BAD], ids=[b[0] for b in BAD]
)
async def test_a_technical_refusal_is_a_rejection_with_its_status(
    served: Served, body: bytes, status: int, code: str
) -> None:
    answer = await served.seller.ask("POST", "/v1/messages", body, media=XML)
    assert answer.status == status
    assert [reply[2] for reply in replies(answer)] == [code]
    assert served.fake.boxes == {}


async def test_the_short_form_of_a_bic_is_the_same_member(served: Served) -> None:
    short = message(sender=SELLER[:8], receiver=GATEWAY[:8])
    assert (await send(served, short)).status == 202


async def test_a_body_too_large_is_told_in_the_form_it_came_in(served: Served) -> None:
    body = b" " * (BODY_BYTES_MAX + 1)
    as_xml = await served.seller.ask("POST", "/v1/messages", body, media=XML)
    assert as_xml.status == 413
    assert [reply[2] for reply in replies(as_xml)] == ["XSIZ"]
    problem = await served.seller.ask("POST", "/v1/messages", body, media=JSON)
    assert (problem.status, problem.json["code"]) == (413, "XSIZ")


async def test_a_busy_gateway_rejects_with_xbsy(served: Served) -> None:
    served.fake.busy = True
    answer = await send(served, message("M1"))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert replies(answer) == [(REJECTION, "M1", "XBSY")]


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ("application/xml; charset=UTF-8", 202),
        ('application/xml; charset="utf-8"', 202),
        ("application/xml; charset=iso-8859-1", 415),
        ("application/json", 415),
        ("text/xml", 415),
        ("application/vnd.iso20022+json", 415),
        ("application/vnd.iso20022+json; form=2", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
        (";;;===", 415),
    ],
)
async def test_only_the_agreed_content_types_are_taken(
    served: Served, media: str, status: int
) -> None:
    answer = await served.seller.ask("POST", "/v1/messages", message().encode(), media=media)
    assert answer.status == status


async def test_the_content_type_and_the_declaration_say_the_same_encoding(served: Served) -> None:
    utf8 = XML + "; charset=utf-8"
    latin = f'<?xml version="1.0" encoding="ISO-8859-1"?>{message()}'.encode("latin-1")
    assert (await served.seller.ask("POST", "/v1/messages", latin, media=XML)).status == 202
    for body in (latin, message().encode("utf-16"), message().encode("utf-16-be")):
        answer = await served.seller.ask("POST", "/v1/messages", body, media=utf8)
        assert (answer.status, replies(answer)[0][2]) == (400, "XWEL")


async def test_packed_bodies_are_not_unpacked(served: Served) -> None:
    answer = await served.seller.ask(
        "POST", "/v1/messages", b"\x1f\x8b", media=XML, Content_Encoding="gzip"
    )
    assert answer.status == 415


async def test_the_json_form_is_answered_in_json(served: Served) -> None:
    answer = await served.seller.ask(
        "POST", "/v1/messages", json.dumps(as_json(message("M1"))).encode(), media=JSON
    )
    assert (answer.status, answer.headers["Location"]) == (202, "/v1/messages")
    (known,) = served.fake.digests.values()
    assert answer.json == {"id": known[1].id}


async def test_both_forms_share_one_idempotency(served: Served) -> None:
    await send(served, message("M1"))
    again = json.dumps(as_json(message("M1"))).encode()
    assert (await served.seller.ask("POST", "/v1/messages", again, media=JSON)).status == 202
    other = json.dumps(as_json(message("M1", "T2"))).encode()
    answer = await served.seller.ask("POST", "/v1/messages", other, media=JSON)
    assert (answer.status, answer.json["code"]) == (409, "XDUP")
    assert answer.json["type"] == "urn:lockstep:problem:message-rejected"


async def test_an_array_of_the_json_form_has_a_result_for_each(served: Served) -> None:
    broken = as_json(message("M2"))
    broken["Document"]["SctiesSttlmTxInstr"]["TxId"] = ""
    items = [as_json(message("M1")), broken, 7, [], as_json(message("M3", sender=BUYER))]
    answer = await served.seller.ask("POST", "/v1/messages", json.dumps(items).encode(), media=JSON)
    assert (answer.status, answer.headers["Location"]) == (202, "/v1/messages")
    assert [item["status"] for item in answer.json] == [202, 422, 422, 422, 403]
    assert "TxId" in answer.json[1]["problem"]["field"]
    assert answer.json[4]["problem"]["code"] == "XAUT"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"null", b"[" * 50_000, b"\xff"])
async def test_what_is_no_json_form_is_a_problem(served: Served, body: bytes) -> None:
    answer = await served.seller.ask("POST", "/v1/messages", body, media=JSON)
    assert (answer.status in (400, 413, 422), answer.media) == (True, "application/problem+json")


async def test_operators_send_no_messages(served: Served) -> None:
    answer = await served.operator.ask("POST", "/v1/messages", message().encode(), media=XML)
    assert (answer.status, answer.json["code"]) == (403, "XAUT")
