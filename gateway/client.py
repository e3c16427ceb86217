"""A client of the gateway's HTTP contract, as a custodian's system would write one.

    async with aiohttp.ClientSession() as session:
        gateway = GatewayClient(session, "https://gateway.example", token)
        for outcome in await gateway.send(xml):        # one message, or many in a BizMsgs
            ...                                        # Received (durable), or Rejected (why)
        async for message in gateway.follow(after):    # the mailbox, from a cursor on, for ever
            ...                                        # keep it, then:
            await gateway.acknowledge(message.cursor)

What to know:
- Sending is idempotent: after a lost connection send the same bytes again; the gateway knows a
  message by (`Fr`, `BizMsgIdr`) and gives the stored answer.
- *Received* means kept, not accepted: what becomes of an instruction is told in the mailbox.
- A mailbox is read by cursor, in order, at least once. Keep the cursor with what you did about the
  message, and no message is lost or handled twice.
- Where the gateway can reach you, it delivers: `set_webhook`, and `opened_delivery` in your
  receiver, which tells a delivery from what somebody else has sent.
- Where signatures are agreed: `protocols.iso20022.signature.Signer(key, certificate).sign(xml)`
  before you send; `signature.verify` on what you are sent.

`gateway/demo/custodian.py` is a whole system of a custodian over this, to start from.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import aiohttp
import msgspec

from gateway import webhook_signature
from gateway.http import report_wire, wire
from ledgers import preference
from protocols.iso20022.envelope import Enveloped, split
from protocols.iso20022.errors import ProtocolError

XML: Final = "application/xml"
JSON: Final = "application/json"
ISO_JSON: Final = "application/vnd.iso20022+json; form=1"
"""The JSON form of ISO 20022 messages, with its version."""

DEADLINE_SECONDS: Final = 30.0
"""For one request: a batch of 500 messages takes a second, and a gateway that is being restarted
is back within a few."""

SILENCE_SECONDS: Final = 60.0
"""A stream says something (a comment at least) several times a minute; after this it is dead."""

PAUSE_SECONDS: Final = 0.5
"""Before a broken stream is opened again."""

LINE_BYTES_MAX: Final = 4 * 1024 * 1024
"""A message of 256 kB, escaped as a JSON text in one line of the stream, many times over."""

_BRIEFLY: Final = {preference.HEADER: preference.MINIMAL}
_NO_MORE: Final[Mapping[str, str]] = {}
"""Headers of a request beside those of every one."""

T = TypeVar("T")


class ForgedDeliveryError(Exception):
    """What came is not a webhook delivery of the gateway's, or not of now: answer 401, keep
    nothing."""


def opened_delivery(
    secret: str, headers: Mapping[str, str], body: bytes, now: float | None = None
) -> wire.Delivery:
    """The message in a request to one's webhook; ForgedDeliveryError unless it is signed with the
    secret, within five minutes of now (seconds since 1970). Keep it before you answer 2xx. One with
    the `id` of the message before has come again."""
    given = {name.lower(): value for name, value in headers.items()}
    at = int(time.time() if now is None else now)
    fault = webhook_signature.fault(secret, given, body, at)
    if fault is not None:
        raise ForgedDeliveryError(fault)
    return msgspec.json.decode(body, type=wire.Delivery)


class GatewayUnreachableError(Exception):
    """No answer. What was sent may have been taken: send the same again."""


class ProblemError(Exception):
    """The gateway does not do what was asked; `problem` says why (RFC 9457)."""

    def __init__(self, problem: wire.Problem) -> None:
        super().__init__(problem.detail or problem.title)
        self.problem = problem


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A message is received and kept, under our `id` for it."""

    reference: str | None  # its BizMsgIdr; None in the JSON form, which answers in order
    id: str


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """A message is not processed (an admi.002, or its problem): nothing of it is kept."""

    reference: str | None
    code: str
    description: str
    location: str | None = None


Outcome = Received | Rejected


class Proposed(msgspec.Struct, frozen=True, kw_only=True):
    """What a brief answer to a proposal says; a full one says it as well, so whoever prefers the
    brief one can read both (RFC 7240: a preference may be ignored)."""

    id: str
    state: str


class GatewayClient:
    """Speaks to a gateway as the member, or operator, of `token`. The session stays the
    caller's. Every call may raise GatewayUnreachableError, and ProblemError."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}

    # ------------------------------------------------------------------ messages

    async def send(self, body: bytes, content_type: str = XML) -> tuple[Outcome, ...]:
        """Send one message or a batch; an outcome for each, in their order."""
        status, media, data = await self._exchange("POST", "/v1/messages", body, content_type)
        if media == XML:
            return outcomes_in_xml(data)
        if status != 202:
            return (_rejected(None, _problem(status, data)),)
        return _outcomes_in_json(data)

    async def inbox(self, after: str | None = None, limit: int = 100) -> wire.DeliveryPage:
        """A page of the mailbox after a cursor; `next` of the page is where to go on."""
        query = {"limit": str(limit)} | ({} if after is None else {"after": after})
        return await self._ask("GET", "/v1/messages", wire.DeliveryPage, query=query)

    async def follow(self, after: str | None = None) -> AsyncIterator[wire.Delivery]:
        """The mailbox from a cursor on, as it fills. Goes on by itself after a lost connection;
        raises ProblemError only."""
        while True:
            try:
                async for message in self._stream(after):
                    yield message
                    after = message.cursor
            except GatewayUnreachableError:
                pass
            await asyncio.sleep(PAUSE_SECONDS)

    async def _stream(self, after: str | None) -> AsyncIterator[wire.Delivery]:
        """Server-sent events until the connection ends."""
        headers = self._headers | ({} if after is None else {"Last-Event-ID": after})
        timeout = aiohttp.ClientTimeout(total=None, sock_read=SILENCE_SECONDS)
        try:
            async with self._session.get(
                f"{self._url}/v1/messages/stream",
                headers=headers,
                timeout=timeout,
                read_bufsize=LINE_BYTES_MAX,
            ) as response:
                if response.status != 200:
                    raise _error(response.status, await response.read())
                async for line in response.content:
                    if line.startswith(b"data:"):
                        yield msgspec.json.decode(line[5:], type=wire.Delivery)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise GatewayUnreachableError(f"{type(error).__name__}: {error}") from error

    async def acknowledge(self, through: str) -> None:
        """Everything up to a cursor is received and kept here."""
        body = msgspec.json.encode({"through": through})
        await self._ask("POST", "/v1/messages/ack", wire.Acknowledged, body)

    # ------------------------------------------------------------------ webhook

    async def set_webhook(self, url: str, secret: str) -> wire.WebhookView:
        """Have the mailbox posted there, signed with the secret (24 to 128 characters)."""
        body = msgspec.json.encode({"url": url, "secret": secret})
        return await self._ask("PUT", "/v1/webhooks", wire.WebhookView, body)

    async def webhook(self) -> wire.WebhookView:
        """The webhook, and how it does; ProblemError 404 if there is none."""
        return await self._ask("GET", "/v1/webhooks", wire.WebhookView)

    async def remove_webhook(self) -> wire.WebhookView:
        """Deliver no more."""
        return await self._ask("DELETE", "/v1/webhooks", wire.WebhookView)

    # ------------------------------------------------------------------ settlements

    async def propose(self, proposal: dict[str, Any]) -> wire.SettlementView:
        """Propose an agreed swap; the same again, or another payer's same terms, is consent."""
        body = msgspec.json.encode(proposal)
        return await self._ask("POST", "/v1/settlements", wire.SettlementView, body)

    async def propose_briefly(self, proposal: dict[str, Any]) -> Proposed:
        """The same for whoever needs no more than that it is taken: the gateway answers faster."""
        body = msgspec.json.encode(proposal)
        return await self._ask("POST", "/v1/settlements", Proposed, body, headers=_BRIEFLY)

    async def propose_all(
        self, proposals: Sequence[dict[str, Any]], *, briefly: bool = False
    ) -> tuple[wire.SettlementResult, ...]:
        """Propose up to 500 swaps, each with a result of its own, in their order; `briefly` without
        the settlements as they are."""
        body = msgspec.json.encode(proposals)
        results = tuple[wire.SettlementResult, ...]
        headers = _BRIEFLY if briefly else _NO_MORE
        return await self._ask("POST", "/v1/settlements", results, body, headers=headers)

    async def accept(self, id: str) -> wire.SettlementView:
        """A payer's consent to a proposal of somebody else."""
        return await self._ask("POST", f"/v1/settlements/{id}/accept", wire.SettlementView, b"{}")

    async def cancel(self, id: str, reason: str) -> wire.SettlementView:
        """Ask that a settlement be cancelled."""
        body = msgspec.json.encode({"reason": reason})
        return await self._ask("POST", f"/v1/settlements/{id}/cancel", wire.SettlementView, body)

    async def release(self, id: str, leg: str, preimage: str) -> wire.SettlementView:
        """Hand over the secret (64 hex digits) that opens the lock of a leg."""
        body = msgspec.json.encode({"leg": leg, "preimage": preimage})
        return await self._ask("POST", f"/v1/settlements/{id}/release", wire.SettlementView, body)

    async def resolve(self, id: str, decision: str, evidence: str) -> wire.SettlementView:
        """Say, as an operator, how the lost decision of a frozen settlement went."""
        body = msgspec.json.encode({"decision": decision, "evidence": evidence})
        return await self._ask("POST", f"/v1/settlements/{id}/resolve", wire.SettlementView, body)

    async def settlement(self, id: str) -> wire.SettlementView:
        """One settlement, as it is now."""
        return await self._ask("GET", f"/v1/settlements/{id}", wire.SettlementView)

    async def conversation(self, id: str) -> wire.Conversation:
        """What one has sent and was told about a settlement, in order."""
        return await self._ask("GET", f"/v1/settlements/{id}/messages", wire.Conversation)

    async def settlements(self, before: str | None = None, limit: int = 50) -> wire.SettlementPage:
        """A page of one's settlements, newest first; `next` is `before` of the next page."""
        query = {"limit": str(limit)} | ({} if before is None else {"before": before})
        return await self._ask("GET", "/v1/settlements", wire.SettlementPage, query=query)

    async def ledgers(self) -> wire.LedgerList:
        """The ledgers that the gateway settles on, as it sees them."""
        return await self._ask("GET", "/v1/ledgers", wire.LedgerList)

    async def openapi(self) -> dict[str, Any]:
        """The description of the whole interface (OpenAPI 3.1)."""
        return await self._ask("GET", "/openapi.json", dict[str, Any])

    # ------------------------------------------------------------------ statements

    async def state(self, wanted: dict[str, str]) -> report_wire.StatementList:
        """Ask for statements of one's own accounts (`kind`, `ledger`, `account`, `date`, each of
        them optional); their pages are in the mailbox when this returns."""
        body = msgspec.json.encode(wanted)
        return await self._ask("POST", "/v1/statements", report_wire.StatementList, body)

    # ------------------------------------------------------------------ reconciliation

    async def reconciliation(self) -> report_wire.ReconciliationView:
        """Where reconciliation stands, as an operator."""
        return await self._ask("GET", "/v1/reconciliation", report_wire.ReconciliationView)

    async def reconcile(self, wanted: dict[str, Any]) -> report_wire.ReconciliationView:
        """Reconcile now (`ledger`, `afresh`); `running` if it goes on after 20 s."""
        body = msgspec.json.encode(wanted)
        return await self._ask("POST", "/v1/reconciliation", report_wire.ReconciliationView, body)

    # ------------------------------------------------------------------ requests

    async def _ask(
        self,
        method: str,
        path: str,
        kind: type[T],
        body: bytes | None = None,
        query: dict[str, str] | None = None,
        headers: Mapping[str, str] = _NO_MORE,
    ) -> T:
        status, _, data = await self._exchange(method, path, body, JSON, query, headers)
        if status not in (200, 202):
            raise _error(status, data)
        return msgspec.json.decode(data, type=kind)

    async def _exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        content_type: str,
        query: dict[str, str] | None = None,
        more: Mapping[str, str] = _NO_MORE,
    ) -> tuple[int, str, bytes]:
        headers = {**self._headers, **more}
        if body is not None:
            headers["Content-Type"] = content_type
        try:
            async with (
                asyncio.timeout(DEADLINE_SECONDS),
                self._session.request(
                    method, self._url + path, data=body, params=query, headers=headers
                ) as response,
            ):
                return response.status, response.content_type, await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            what = str(error) or type(error).__name__
            raise GatewayUnreachableError(f"{self._url} gives no answer: {what}") from error


def _error(status: int, data: bytes) -> Exception:
    """What a status that is no success means: a gateway that is not there, or a problem."""
    problem = _problem(status, data)
    if status >= 500:
        return GatewayUnreachableError(problem.detail)
    return ProblemError(problem)


def _problem(status: int, data: bytes) -> wire.Problem:
    """The problem in a body, or one made from what a proxy in between has put there."""
    try:
        return msgspec.json.decode(data, type=wire.Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = data[:200].decode("utf-8", "replace")
        return wire.Problem(
            type="about:blank", title=f"Status {status}", status=status, detail=text
        )


def _rejected(reference: str | None, problem: wire.Problem) -> Rejected:
    return Rejected(
        reference=reference,
        code=problem.code or str(problem.status),
        description=problem.detail,
        location=problem.field,
    )


def _outcomes_in_json(data: bytes) -> tuple[Outcome, ...]:
    if not data.lstrip().startswith(b"["):
        taken = msgspec.json.decode(data, type=wire.MessageTaken)
        return (Received(reference=None, id=taken.id),)
    return tuple(
        Received(reference=None, id=result.id)
        if result.problem is None and result.id is not None
        else _rejected(None, result.problem or _problem(result.status, b""))
        for result in msgspec.json.decode(data, type=tuple[wire.MessageResult, ...])
    )


def outcomes_in_xml(data: bytes) -> tuple[Outcome, ...]:
    """The receipts (admi.007) and rejections (admi.002) in an answer, in their order."""
    try:
        return tuple(_outcome_in_xml(item) for item in split(data))
    except ProtocolError as error:
        raise GatewayUnreachableError(f"the answer is none of the gateway's: {error}") from None


def _outcome_in_xml(item: Enveloped | ProtocolError) -> Outcome:
    if isinstance(item, ProtocolError):
        raise item
    (root,) = item.document
    reference = root.findtext(".//{*}RltdRef/{*}Ref")
    if item.definition.startswith("admi.007"):
        return Received(reference=reference, id=root.findtext("{*}MsgId/{*}MsgId") or "")
    return Rejected(
        reference=reference,
        code=root.findtext("{*}Rsn/{*}RjctgPtyRsn") or "",
        description=root.findtext("{*}Rsn/{*}RsnDesc") or "",
        location=root.findtext("{*}Rsn/{*}ErrLctn"),
    )
