"""A ledger behind HTTP as a `Ledger`: the client side of the contract in `README.md`."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from htlc.contract import Status
from htlc.units import AccountId, HtlcId, Instant
from ledgers import preference, trace, views
from ledgers.books import Holdings, Position
from ledgers.port import (
    Answer,
    Cursor,
    Description,
    Fact,
    Issue,
    LedgerUnreachable,
    Lock,
    Operation,
    Redeem,
    Terms,
    Transfer,
    Unknown,
)
from ledgers.wire import AnswerJson, WireError, answer_of, operation_json

DEADLINE_SECONDS: Final = 15.0
"""For one request: longer than the ledger's own deadline of a batch (10 s), so that its answer, if
it has one, is heard; after that the outcome is open and the caller asks again."""

OPERATIONS_MAX: Final = 2_000
"""Of one request, by the contract."""

TRANSIENT: Final = frozenset({408, 410, 425, 429})
"""Statuses below 500 that mean "later" (RFC 9110, 6585, 8470), not "never"; or, Gone, that another
node of the same ledger has what this one has not (a registry that joined by a snapshot)."""

TERMS_MAX: Final = 500_000
"""Contracts whose terms are remembered: more than a gateway has open (200,000 settlements), and the
terms are held by the settlement anyway. Beyond it the oldest are asked for again."""

_LOCKED: Final = Status.LOCKED
"""For where it is asked for of every answer (the reason is told in `htlc.leg`)."""

T = TypeVar("T")
U = TypeVar("U")

_answers = msgspec.json.Decoder(list[AnswerJson])
_facts = msgspec.json.Decoder(views.FactsJson)
_holdings = msgspec.json.Decoder(views.HoldingsJson)
_positions = msgspec.json.Decoder(list[views.PositionJson])
_place = msgspec.json.Decoder(views.PlaceJson)
_description = msgspec.json.Decoder(views.DescriptionJson)


class RemoteLedgerError(Exception):
    """The ledger refuses to talk to us as we do (4xx): an error in our configuration or code,
    which trying again does not mend. The text is the problem's."""


class RemoteLedger:
    """A remote ledger, spoken to as the principal of `token`. The session stays the caller's."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._minimal = {**self._headers, preference.HEADER: preference.MINIMAL}
        self._terms: dict[HtlcId, Terms] = {}  # of open contracts

    async def describe(self) -> Description:
        """Raises LedgerUnreachable, RemoteLedgerError."""
        wire = _decoded(_description, await self._request("GET", "/v1/description"))
        return _converted(views.description_of, wire)

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Answer | Unknown]:
        """Raises RemoteLedgerError; whatever else goes wrong is Unknown."""
        answers: list[Answer | Unknown] = []
        for start in range(0, len(operations), OPERATIONS_MAX):
            answers += await self._apply(operations[start : start + OPERATIONS_MAX])
        return answers

    async def _apply(self, operations: Sequence[Operation]) -> Sequence[Answer | Unknown]:
        """One request. The ledger need not tell the terms of contracts if we know all of them."""
        known = self._known(operations)
        content = [operation_json(operation) for operation in operations]
        answers = await self._ask("/v1/operations", content, known or [None] * len(operations))
        self._remember(answers)
        return answers

    def _known(self, operations: Sequence[Operation]) -> Sequence[Terms | None] | None:
        """The terms that operations are about, as far as we know that the ledger has them so; None
        if there are some that we do not know."""
        known = [
            operation.terms
            if isinstance(operation, Lock)
            else self._terms.get(HtlcId(operation.id))
            for operation in operations
        ]
        if not all(known) and any(
            terms is None and not isinstance(operation, Issue | Redeem | Transfer)
            for terms, operation in zip(known, operations, strict=True)
        ):
            return None
        return known

    def _remember(self, answers: Sequence[Answer | Unknown]) -> None:
        """The terms of open contracts: their ids name them for ever."""
        for answer in answers:
            if isinstance(answer, Unknown) or (htlc := answer.htlc) is None:
                continue
            terms = htlc.terms
            if htlc.status is _LOCKED:
                self._terms[terms.id] = terms
            else:
                self._terms.pop(terms.id, None)
        while len(self._terms) > TERMS_MAX:
            del self._terms[next(iter(self._terms))]

    async def look(self, ids: Sequence[HtlcId]) -> Sequence[Answer | Unknown]:
        """Raises RemoteLedgerError; whatever else goes wrong is Unknown."""
        answers: list[Answer | Unknown] = []
        for start in range(0, len(ids), OPERATIONS_MAX):
            part = list(ids[start : start + OPERATIONS_MAX])
            answers += await self._ask("/v1/contracts/query", {"ids": part}, [None] * len(part))
        return answers

    async def facts(self, after: Cursor = "") -> AsyncIterator[Fact]:
        """Raises LedgerUnreachable, RemoteLedgerError."""
        while True:
            page = _decoded(_facts, await self._request("GET", "/v1/facts", after=after))
            if not page.facts:
                return
            for wire in page.facts:
                yield _converted(views.fact_of, wire)
            after = page.next

    # --- books: raise LedgerUnreachable, RemoteLedgerError ---------------------------------------

    async def holdings(self, account: AccountId | None, after: str = "") -> Holdings:
        if account is None:
            told = await self._request("GET", "/v1/holdings", after=after)
        else:
            told = await self._request("GET", "/v1/holdings", after=after, account=account)
        page = _decoded(_holdings, told)
        return _converted(views.holdings_of, page)

    async def movements(self, account: AccountId, after: Cursor, until: Cursor) -> Sequence[Fact]:
        path = f"/v1/accounts/{quote(account, safe='')}/facts"
        page = _decoded(_facts, await self._request("GET", path, None, after=after, until=until))
        return [_converted(views.fact_of, wire) for wire in page.facts]

    async def conservation(self) -> Sequence[Position]:
        wires = _decoded(_positions, await self._request("GET", "/v1/conservation"))
        return [_converted(views.position_of, wire) for wire in wires]

    async def last_before(self, at: Instant) -> Cursor:
        answer = await self._request("GET", "/v1/cursor", None, before=str(at))
        return _decoded(_place, answer).cursor

    async def _ask(
        self, path: str, content: Any, known: Sequence[Terms | None]
    ) -> Sequence[Answer | Unknown]:
        """The answers to `known` questions, in order: where terms are known, they may be left out
        (`Prefer: return=minimal`, if that is so of any)."""
        count = len(known)
        try:
            data = await self._request("POST", path, content, minimal=any(known))
            told = _decoded(_answers, data)
        except LedgerUnreachable as error:
            return [Unknown(why=str(error))] * count
        if len(told) != count:
            return [Unknown(why=f"{len(told)} answers to {count} questions")] * count
        return _converted(_answers_of, told, known)

    async def _request(
        self, method: str, path: str, content: Any = None, *, minimal: bool = False, **query: str
    ) -> bytes:
        """One request. Raises LedgerUnreachable when there is no answer, RemoteLedgerError when
        the answer is that we are wrong."""
        # aiohttp sends a stream in pieces; a large block of bytes would hold the event loop.
        body = None if content is None else io.BytesIO(msgspec.json.encode(content))
        headers = self._minimal if minimal else self._headers
        if (current := trace.CURRENT.get()) is not None:
            headers = {**headers, trace.HEADER: current.header()}
        try:
            async with (
                asyncio.timeout(DEADLINE_SECONDS),
                self._session.request(
                    method, self._url + path, data=body, params=query, headers=headers
                ) as response,
            ):
                data = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise LedgerUnreachable(f"{type(error).__name__}: {error}") from error
        if response.status >= 500 or response.status in TRANSIENT:
            raise LedgerUnreachable(f"status {response.status}: {_detail(data)}")
        if response.status != 200:
            raise RemoteLedgerError(f"{method} {path}: {response.status}: {_detail(data)}")
        return data


def _answers_of(
    told: Sequence[AnswerJson], known: Sequence[Terms | None]
) -> Sequence[Answer | Unknown]:
    return [answer_of(wire, terms) for wire, terms in zip(told, known, strict=True)]


def _detail(data: bytes) -> str:
    """The text of a problem, or the beginning of whatever came instead of one."""
    try:
        problem = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return data[:200].decode("utf-8", "replace")
    return str(problem.get("detail") or problem.get("title", ""))


def _decoded(decoder: "msgspec.json.Decoder[T]", data: bytes) -> T:
    """Raises LedgerUnreachable for what is no JSON (a cut answer, a proxy's page), and
    RemoteLedgerError for JSON that is not of the contract: asking again would bring the same."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise RemoteLedgerError(f"not an answer of the contract: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LedgerUnreachable(f"malformed answer: {error}") from None


def _converted(convert: Callable[..., U], *wire: Any) -> U:
    """Raises RemoteLedgerError for members that are not spelled as the contract says."""
    try:
        return convert(*wire)
    except (WireError, ValueError) as error:
        raise RemoteLedgerError(f"not an answer of the contract: {error}") from None
