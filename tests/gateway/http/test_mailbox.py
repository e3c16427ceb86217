"""The mailbox over HTTP: pages, acknowledgement, stream."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from gateway.http.exchange import ISO_JSON_FORM
from protocols.iso20022 import envelope, header
from protocols.iso20022.advice import (
    Confirmation,
    Outbound,
    Processing,
    ProcessingStatus,
    References,
    StatusAdvice,
)
from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.errors import RejectCode
from protocols.iso20022.schemas import namespace_of, validate
from tests.gateway.http.conftest import Served
from tests.gateway.http.fake import BUYER, GATEWAY, NOW, SELLER
from tests.protocols.samples import delivery

RELATED = header.Related(
    sender=SELLER,
    receiver=GATEWAY,
    business_message_id="M1",
    definition="sese.023.001.11",
    created_at=NOW,
)
NOTICE = {"settlement": "0192f3c4-5d6e-7f80-9a1b-2c3d4e5f6071", "state": "SETTLED", "final": True}


def accepted() -> Outbound:
    return StatusAdvice(
        references=References(account_owner_tx="T<1>"),
        processing=ProcessingStatus(status=Processing.ACCEPTED),
    )


def settled() -> Outbound:
    return Confirmation(
        references=References(account_owner_tx="T1"), instruction=delivery(), effective_at=NOW
    )


async def page(served: Served, query: str = "", **headers: str) -> Any:
    answer = await served.seller.ask("GET", f"/v1/messages{query}", **headers)
    assert answer.status == 200, answer.text
    return answer.json


async def test_entries_are_written_as_valid_messages(served: Served) -> None:
    stored = [served.fake.put(SELLER, accepted(), RELATED), served.fake.put(SELLER, settled())]
    found = (await page(served))["messages"]
    assert [entry["definition"] for entry in found] == ["sese.024.001.12", "sese.025.001.11"]
    for entry, kept in zip(found, stored, strict=True):
        (item,) = envelope.split(entry["xml"].encode())
        assert isinstance(item, Enveloped)
        validate(item.document, namespace_of(item.document), RejectCode.XSDV)
        head = item.header
        assert (head.sender, head.receiver) == (GATEWAY, SELLER)
        assert head.business_message_id == entry["id"] == kept.id.replace("-", "")
        assert (head.definition, head.created_at) == (entry["definition"], kept.created_at)
    assert [entry["related"] for entry in found] == ["M1", None]


async def test_the_header_relates_to_the_message_answered(served: Served) -> None:
    served.fake.put(SELLER, accepted(), RELATED)
    (entry,) = (await page(served))["messages"]
    (item,) = envelope.split(entry["xml"].encode())
    assert isinstance(item, Enveloped)
    assert item.header.related == RELATED


async def test_the_json_form_stands_in_message_when_asked_for(served: Served) -> None:
    served.fake.put(SELLER, accepted())
    answer = await served.seller.ask("GET", "/v1/messages", Accept=f"text/html, {ISO_JSON_FORM}")
    (entry,) = answer.json["messages"]
    assert "xml" not in entry
    status = entry["message"]["Document"]["SctiesSttlmTxStsAdvc"]
    assert status["TxId"]["AcctOwnrTxId"] == "T<1>"
    assert answer.headers["Vary"] == "Accept"


@pytest.mark.parametrize(
    "accept",
    ["application/json", "*/*", f"{ISO_JSON_FORM}; q=0", "application/vnd.iso20022+json; form=2"],
)
async def test_otherwise_it_is_xml(served: Served, accept: str) -> None:
    served.fake.put(SELLER, accepted())
    (entry,) = (await page(served, Accept=accept))["messages"]
    assert "xml" in entry
    assert "message" not in entry


async def test_a_settlement_notice_is_json_in_both_forms(served: Served) -> None:
    served.fake.put(SELLER, NOTICE)
    for accept in ("*/*", ISO_JSON_FORM):
        (entry,) = (await page(served, Accept=accept))["messages"]
        assert (entry["definition"], entry["message"]) == ("lockstep.settlement.1", NOTICE)


async def test_pages_go_on_where_the_last_one_ended(served: Served) -> None:
    for _ in range(5):
        served.fake.put(SELLER, NOTICE)
    served.fake.put(BUYER, NOTICE)
    seen, query = [], "?limit=2"
    while (found := await page(served, query))["messages"]:
        seen += [entry["cursor"] for entry in found["messages"]]
        query = f"?limit=2&after={found['next']}"
    assert len(seen) == 5
    assert seen == sorted(set(seen))
    assert found["next"] == seen[-1]


async def test_an_empty_mailbox_has_a_cursor_to_begin_at(served: Served) -> None:
    start = (await page(served))["next"]
    served.fake.put(SELLER, NOTICE)
    assert len((await page(served, f"?after={start}"))["messages"]) == 1


@pytest.mark.parametrize(
    "query",
    ["after=7", "after=", "after=m0", "after=mffffffffffffffff", "after=m000000000000000G", "x=1"],
)
async def test_a_cursor_never_given_out_is_refused(served: Served, query: str) -> None:
    for path in ("/v1/messages", "/v1/messages/stream"):
        answer = await served.seller.ask("GET", f"{path}?{query}")
        assert (answer.status, answer.json["field"]) == (422, query.partition("=")[0])


async def test_acknowledging_never_goes_back(served: Served) -> None:
    for _ in range(3):
        served.fake.put(SELLER, NOTICE)
    cursors = [entry["cursor"] for entry in (await page(served))["messages"]]
    for through, reached in ((cursors[1], cursors[1]), (cursors[0], cursors[1])):
        answer = await served.seller.ask("POST", "/v1/messages/ack", {"through": through})
        assert answer.json == {"through": reached}


@pytest.mark.parametrize(
    "body", [{}, {"through": 1}, {"through": "x"}, {"through": "m00000000000000ff"}]
)
async def test_only_a_message_that_is_there_is_acknowledged(
    served: Served, body: dict[str, Any]
) -> None:
    served.fake.put(SELLER, NOTICE)
    answer = await served.seller.ask("POST", "/v1/messages/ack", body)
    assert (answer.status, answer.json["field"]) == (422, "through")
    assert served.fake.acknowledged == {}


# ---------------------------------------------------------------------- the stream


class Stream:
    """A reader of server-sent events."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.comments = 0

    async def next(self) -> tuple[str, Any]:
        """The next event: its id and its data."""
        id = ""
        while True:
            line = (await asyncio.wait_for(self.response.content.readline(), 60)).decode()
            assert line, "the stream has ended"
            name, _, value = line.rstrip("\n").partition(": ")
            self.comments += name == ""
            if name == "id":
                id = value
            elif name == "data":
                return id, json.loads(value)


@pytest.fixture
async def stream(served: Served) -> AsyncIterator[Any]:
    opened: list[aiohttp.ClientResponse] = []

    async def open_stream(query: str = "", **headers: str) -> Stream:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await served.session.get(
            f"{served.base}/v1/messages/stream{query}",
            headers={"Authorization": f"Bearer {SELLER.lower()}", **named},
        )
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        opened.append(response)
        return Stream(response)

    yield open_stream
    for response in opened:
        response.close()


async def test_a_stream_tells_what_is_there_and_then_what_comes(
    served: Served, stream: Any
) -> None:
    served.fake.put(SELLER, NOTICE)
    reader = await stream()
    first = await reader.next()
    served.fake.put(BUYER, NOTICE)
    served.fake.put(SELLER, accepted())
    second = await reader.next()
    found = (await page(served))["messages"]
    assert [first[1], second[1]] == found
    assert [first[0], second[0]] == [entry["cursor"] for entry in found]


@pytest.mark.parametrize("by", ["header", "query", "both"])
async def test_a_stream_resumes_after_the_last_event_received(
    served: Served, stream: Any, by: str
) -> None:
    for _ in range(3):
        served.fake.put(SELLER, NOTICE)
    cursors = [entry["cursor"] for entry in (await page(served))["messages"]]
    header = {"Last_Event_ID": cursors[1]} if by != "query" else {}
    query = {"query": f"?after={cursors[1]}", "both": f"?after={cursors[0]}"}.get(by, "")
    reader = await stream(query, **header)
    assert (await reader.next())[0] == cursors[2]


async def test_nothing_is_lost_or_doubled_over_many_reconnections(
    served: Served, stream: Any
) -> None:
    async def deliver() -> None:
        for _ in range(60):
            served.fake.put(SELLER, NOTICE)
            await asyncio.sleep(0.001)

    delivering = asyncio.ensure_future(deliver())
    seen: list[str] = []
    while len(seen) < 60:
        reader = await stream(Last_Event_ID=seen[-1]) if seen else await stream()
        seen += [(await reader.next())[0] for _ in range(min(7, 60 - len(seen)))]
        reader.response.close()
    await delivering
    assert seen == [stored_cursor(n) for n in range(1, 61)]


def stored_cursor(n: int) -> str:
    return f"m{n:016x}"


async def test_a_silent_stream_is_kept_awake(served: Served, stream: Any) -> None:
    reader = await stream()
    await asyncio.sleep(0.2)
    served.fake.put(SELLER, NOTICE)
    await reader.next()
    assert reader.comments >= 2


async def test_a_stream_ends_cleanly_when_the_gateway_stops(served: Served, stream: Any) -> None:
    reader = await stream()
    await asyncio.sleep(0.02)
    started = asyncio.get_running_loop().time()
    await served.runner.cleanup()
    rest = await asyncio.wait_for(reader.response.content.read(), 60)
    assert b"data:" not in rest
    assert asyncio.get_running_loop().time() - started < 30, (
        "nobody is waited for until the time of a shutdown (60 s) is over"
    )
    assert served.said == []


async def test_a_stream_ends_when_the_mailbox_cannot_be_read(served: Served, stream: Any) -> None:
    reader = await stream()
    served.fake.broken = RuntimeError("the database is away")
    served.fake.put(SELLER, NOTICE)
    await asyncio.wait_for(reader.response.content.read(), 60)
    assert len(served.said) == 1
    assert "the database is away" in served.said[0]


async def test_a_stream_in_the_json_form(served: Served, stream: Any) -> None:
    served.fake.put(SELLER, accepted())
    reader = await stream(Accept=f"text/event-stream, {ISO_JSON_FORM}")
    assert "Document" in (await reader.next())[1]["message"]
