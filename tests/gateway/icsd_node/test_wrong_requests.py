"""What a custodian's developer sends wrongly: told by status and field; never an error of ours."""

import io
from typing import Any

from ledgers.service import BODY_BYTES_MAX
from tests.gateway.icsd_node.desk import ABROAD, FIRST, ISIN, Desk, delivery

JSON, XML, PACKED = "application/json", "application/xml", "application/msgpack"
ISO_JSON = "application/vnd.iso20022+json; form=1"
MOST = str(2**63 - 1)

READ: list[tuple[str, int, str | None]] = [
    ("/v1/messages?limit=0", 422, "limit"),
    ("/v1/messages?after=x", 422, "after"),
    ("/v1/messages?limit=1&limit=2", 422, "limit"),
    ("/v1/messages?form=xml", 422, "form"),
    ("/v1/messages/", 404, None),
    ("/v1/webhooks", 404, None),
    (f"/v1/accounts/{ABROAD}", 404, None),
    ("/v1/accounts/%00", 404, None),
    (f"/v1/accounts/{FIRST}/facts?until=x", 422, "until"),
    (f"/v1/holdings?account={ABROAD}", 404, None),
    (f"/v1/facts?after={MOST}0.0", 422, "after"),
    ("/v1/cursor", 422, "before"),
    ("/v1/blocks", 403, None),
    ("/v1/registry/head", 403, None),
    ("/v1/registry/archive", 403, None),
    ("/v1/registry/moments/1", 403, None),
    (f"/v1/registry/holdings/{ABROAD}/{ISIN}", 404, None),
    (f"/v1/registry/holdings/{FIRST}/nothing", 404, None),
    (f"/v1/registry/holdings/{FIRST}/{ISIN}?at=1", 422, "at"),
    ("/v1/registry/contracts/x?at=1", 422, "at"),
]

READ_BY_A_SUPERVISOR: list[tuple[str, int, str | None]] = [
    ("/v1/messages", 403, None),
    ("/v1/registry/blocks?limit=101", 422, "limit"),
    ("/v1/registry/blocks?after=-1", 422, "after"),
    (f"/v1/registry/certificates/{MOST}", 404, None),
    ("/v1/registry/certificates/x", 422, "height"),
    ("/v1/registry/issues/nothing", 404, None),
    ("/v1/registry/archive?limit=1", 422, "limit"),
    ("/v1/registry/moments/0", 410, None),
    (f"/v1/registry/moments/{MOST}", 404, None),
    ("/v1/registry/moments/x", 422, "height"),
    (f"/v1/proofs/{MOST}.{MOST}", 404, None),
]

SENT: list[tuple[str, str, Any, str, int, str | None]] = [
    ("POST", "/v1/messages", b"", XML, 400, None),
    ("POST", "/v1/messages", b"<a/>", XML, 422, None),
    ("POST", "/v1/messages", b"{}", ISO_JSON, 422, None),
    ("POST", "/v1/messages", b"[]", ISO_JSON, 422, None),
    ("POST", "/v1/messages", b"{}", JSON, 415, None),
    ("POST", "/v1/messages?to=x", b"<a/>", XML, 422, "to"),
    ("POST", "/v1/messages", b" " * (BODY_BYTES_MAX + 1), XML, 413, None),
    ("POST", "/v1/messages", delivery("W1").replace("CUSTKZKAXXX", "CUSTKZKBXXX"), XML, 403, None),
    ("POST", "/v1/messages/ack", b"{}", JSON, 422, "through"),
    ("POST", "/v1/messages/ack", b"{", JSON, 400, None),
    ("POST", "/v1/messages/ack", b'{"through":"m00000000000000ff"}', JSON, 422, "through"),
    ("POST", "/v1/statements", b'{"account":"uz-1"}', JSON, 422, "account"),
    ("POST", "/v1/statements", b'{"kind":"cash"}', JSON, 422, "kind"),
    ("POST", "/v1/statements", b'{"date":"yesterday"}', JSON, 422, "date"),
    ("POST", "/v1/statements?kind=cash", b"{}", JSON, 422, "kind"),
    ("PUT", "/v1/webhooks", b'{"url":"ftp://x","secret":"' + b"s" * 24 + b'"}', JSON, 422, "url"),
    ("PUT", "/v1/webhooks", b'{"url":"https://x.example"}', JSON, 422, "secret"),
    ("POST", "/v1/operations", b'[{"op":"refund"}]', JSON, 422, "[0].id"),
    ("POST", "/v1/operations", b'[{"op":"refund","id":"x"}]', JSON, 422, "[0].id"),
    ("POST", "/v1/operations", b"<a/>", XML, 415, None),
    ("POST", "/v1/operations", b" " * (BODY_BYTES_MAX + 1), JSON, 413, None),
    ("POST", "/v1/registry/moments/1/rows", b"x", PACKED, 403, None),
    ("DELETE", "/v1/messages", b"", XML, 405, None),
    ("PUT", "/v1/registry/head", b"", JSON, 405, None),
]


async def test_each_is_told_what_is_wrong_and_where(nodes: Desk) -> None:
    for path, status, field in READ:
        answer = await nodes.ask("GET", path)
        await told(answer, f"GET {path}", status, field)
    for method, path, body, media, status, field in SENT:
        sent = io.BytesIO(body.encode() if isinstance(body, str) else body)
        answer = await nodes.ask(method, path, data=sent, headers={"Content-Type": media})
        await told(answer, f"{method} {path} {body[:60]!r}", status, field)
    for path, status, field in READ_BY_A_SUPERVISOR:
        await told(await nodes.ask("GET", path, token="auditor"), path, status, field)
    for media, status in ((JSON, 415), (PACKED, 422)):
        path = f"/v1/registry/moments/{nodes.ledger.node.head.final}/rows"
        head = {"Content-Type": media}
        answer = await nodes.ask("POST", path, token="auditor", data=b"x", headers=head)
        await told(answer, f"{path} as {media}", status, None)
    for token in (None, "nobody", "stranger"):
        for path in ("/v1/messages", "/v1/statements"):
            answer = await nodes.ask("POST", path, token=token, json={})
            await told(answer, path, 403 if token == "stranger" else 401, None)


async def told(answer: Any, asked: str, status: int, field: str | None) -> None:
    text = await answer.text()
    assert answer.status == status, f"{asked}: {text}"
    assert (answer.headers["Server"], answer.headers["Cache-Control"]) == ("lockstep", "no-store")
    if answer.content_type == XML:
        assert "admi.002.001.01" in text and "<RjctgPtyRsn>" in text, f"{asked}: {text}"
        return
    assert answer.content_type == "application/problem+json", asked
    problem = await answer.json()
    assert problem["detail"] and problem.get("field") == field, f"{asked}: {text}"
    assert field is None or problem["rule"]
