"""One request and its answer, as the routes see them: who asks, what was sent, what is replied."""

import asyncio
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, Protocol, TypeVar

import msgspec
from aiohttp import web

from gateway.http import notation, problems
from gateway.http.problems import Kind, RequestError
from gateway.http.whole import Whole
from gateway.http.wire import Problem
from gateway.port import Conflict, Gateway, Messaging, Principal, Reconciling, Statements
from ledgers.headers import HEADERS as HEADERS
from protocols.iso20022.envelope import ACCEPTED
from protocols.iso20022.errors import RejectCode

T = TypeVar("T")

JSON: Final = "application/json"
XML: Final = "application/xml"
ISO_JSON: Final = "application/vnd.iso20022+json"
ISO_JSON_FORM: Final = f"{ISO_JSON}; form=1"

BODY_SECONDS: Final = 30.0
"""For a body to arrive: 4 MB over 2 Mbit/s takes 16 s; slower is an attack or a dead line."""

encode: Final = msgspec.json.Encoder().encode


class Memory(Protocol):
    """Keeps what was answered under an `Idempotency-Key`, durably, per member."""

    async def remember(
        self, member: str, key: str, digest: bytes, status: int, answer: str
    ) -> tuple[int, str] | Conflict | None:
        """Keep `status` and `answer` for a key, if nothing but a reservation is kept for it.

        What is kept afterwards (status 0: a reservation without an answer yet), or None where that
        is what was given; Conflict if the key was used with another digest."""
        ...


class Services(Gateway, Memory, Protocol):
    """Everything behind the interface."""


class MessageDesk(msgspec.Struct, frozen=True, kw_only=True):
    """What the routes of messages and mailboxes work with, in a gateway and in a registry node."""

    gateway: Messaging
    statements: Statements
    bic: str  # `Fr` of what is written here
    body_bytes_max: int
    batch_max: int
    heartbeat_seconds: float
    sign: Callable[[str, str], str]  # a message to a member, signed where that is agreed
    now: Callable[[], int]
    say: Callable[[str], None]
    closing: asyncio.Event  # set when the application shuts down: streams end
    accepted: frozenset[str] = ACCEPTED  # definitions that are read in the JSON form


class Desk(MessageDesk, frozen=True, kw_only=True):
    """What every route of the gateway works with; one for the application."""

    gateway: Services
    reconciliation: Reconciling


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer before it is HTTP."""

    status: int
    body: bytes
    media: str = JSON
    headers: Mapping[str, str] = {}

    def answer(self, request: web.Request) -> web.StreamResponse:
        """As it is sent to whoever asked."""
        if self.body and Whole.serves(request):
            return Whole(self.status, self.media, self.headers, self.body)
        return self.response()

    def response(self) -> web.Response:
        headers = {**HEADERS, "Content-Type": self.media, **self.headers}
        return web.Response(status=self.status, body=self.body, headers=headers)


def json_reply(status: int, content: object, **headers: str) -> Reply:
    return Reply(status=status, body=encode(content), headers=headers)


def problem_reply(problem: Problem) -> Reply:
    """A problem document, with the header that its status asks for."""
    return Reply(
        status=problem.status,
        body=encode(problem),
        media=problems.MEDIA_TYPE,
        headers=retry_after(problem.status),
    )


def retry_after(status: int) -> dict[str, str]:
    """RFC 9110 section 10.2.3, for a 503."""
    return {"Retry-After": str(problems.RETRY_AFTER_SECONDS)} if status == 503 else {}


class MessageCall(msgspec.Struct, kw_only=True):
    """A request of somebody who is known and may ask this, about messages."""

    desk: MessageDesk
    request: web.Request
    principal: Principal
    read: bytes | None = None  # its body, once it was asked for

    @property
    def gateway(self) -> Messaging:
        return self.desk.gateway

    @property
    def media(self) -> tuple[str, Mapping[str, str]]:
        """Content type in lower case, and its parameters."""
        return media_type(self.request.headers.get("Content-Type", ""))

    async def body(self) -> bytes:
        """The whole body, as often as it is asked for; RequestError if it is too large, encoded, or
        does not arrive."""
        if self.read is None:
            self.read = await self._body()
        return self.read

    async def _body(self) -> bytes:
        request, most = self.request, self.desk.body_bytes_max
        if request.rel_url.raw_query_string:
            self.query()  # what has a body has no parameters
        headers = request.headers
        if "Content-Encoding" in headers and headers["Content-Encoding"].lower() != "identity":
            # A kilobyte can unpack to a gigabyte.
            raise RequestError(Kind.UNSUPPORTED, "send the body without Content-Encoding")
        if request.content.is_eof():  # it came with its head, as nearly all do: nothing to wait for
            body = request.content.read_nowait()
            if len(body) > most:
                raise too_large(most)
            return body
        if (request.content_length or 0) > most:
            raise too_large(most)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise too_large(most) from None
        except TimeoutError:
            raise RequestError(Kind.TIMEOUT, f"no body within {BODY_SECONDS:g} s") from None

    async def json(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The body as what a decoder expects."""
        return decoded(decoder, await self.json_body())

    async def json_body(self) -> bytes:
        """The bytes of a JSON body; its content type is asked before it is read."""
        if not is_json(self.request.headers.get("Content-Type", "")):
            raise RequestError(Kind.UNSUPPORTED, f"send {JSON}, in UTF-8")
        return await self.body()

    def query(self, *names: str) -> dict[str, str]:
        """The query, which holds these names at most, each once."""
        query = self.request.query
        for name in query:
            if name not in names:
                raise RequestError.field(name[:64], "is no parameter of this resource")
            if len(query.getall(name)) > 1:
                raise RequestError.field(name, "is given more than once")
        return dict(query)


class Call(MessageCall, kw_only=True):
    """The same about anything that the gateway serves."""

    desk: Desk

    @property
    def gateway(self) -> Services:
        return self.desk.gateway

    def settlement(self) -> str:
        """The id in the path; one that is no UUID names nothing."""
        id = self.request.match_info["id"]
        if not notation.is_uuid(id):
            raise not_found()
        return id


def too_large(most: int) -> RequestError:
    return RequestError(
        Kind.TOO_LARGE, f"at most {most} bytes are accepted", code=RejectCode.XSIZ.value
    )


def not_found() -> RequestError:
    """The same for what does not exist and for what is not the caller's."""
    return RequestError(Kind.NOT_FOUND, "there is no such settlement of yours")


def decoded(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T:
    """JSON as what a decoder expects; RequestError if it is no JSON, or of another shape."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        fault = problems.shape_error(error)
        raise RequestError.field(fault.field, fault.rule) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise problems.unreadable_json(error) from None


def limit_of(query: Mapping[str, str], default: int, most: int) -> int:
    """The `limit` of a page."""
    text = query.get("limit")
    if text is None:
        return default
    # `isdecimal` knows the digits of all scripts.
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and 1 <= int(text) <= most):
        raise RequestError.field("limit", f"is a number from 1 to {most}")
    return int(text)


@lru_cache(maxsize=256)  # members send the same few over and over
def media_type(header: str) -> tuple[str, Mapping[str, str]]:
    """A media type in lower case, and its parameters (RFC 9110 section 8.3.1)."""
    name, *rest = header.split(";")
    pairs = [part.partition("=") for part in rest]
    return name.strip().lower(), {
        key.strip().lower(): value.strip().strip('"') for key, _, value in pairs
    }


@lru_cache(maxsize=256)
def is_json(header: str) -> bool:
    """Whether a content type is JSON in the one encoding that JSON is exchanged in (RFC 8259)."""
    media, parameters = media_type(header)
    return media == JSON and is_utf8(parameters)


def is_utf8(parameters: Mapping[str, str]) -> bool:
    """Whether a `charset` is UTF-8, or none is given."""
    return parameters.get("charset", "utf-8").lower() in ("utf-8", "utf8", "us-ascii")


@lru_cache(maxsize=256)
def accepts_iso_json(accept: str) -> bool:
    """Whether an `Accept` header asks for the JSON form of ISO 20022 messages."""
    for part in accept.split(","):
        media, parameters = media_type(part)
        if media == ISO_JSON and parameters.get("form", "1") == "1":
            return parameters.get("q", "1").strip("0.") != ""
    return False
