"""Settlements over HTTP: propose, accept, cancel, show, list; and the ledgers they settle on."""

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from gateway.http import notation, problems, proposals, views, wire
from gateway.http.exchange import (
    Call,
    Reply,
    decoded,
    json_reply,
    limit_of,
    not_found,
    problem_reply,
)
from gateway.http.problems import Kind, RequestError
from gateway.port import Denied, Refused, View
from gateway.swaps import reported
from htlc.units import SettlementId
from ledgers import preference
from protocols.iso20022.errors import RejectCode
from protocols.iso20022.lexical import bic11

DESCRIPTION: Final = (
    "A proposal, or an array of them. It is PROPOSED until every payer has posted the same terms "
    "or accepted them, or has given a power of attorney. The id makes it idempotent: the same "
    "terms again get the settlement as it is now, other terms under the same id 409 (XDUP). An "
    "array is ordered, not atomic: the whole is 202, and each proposal has its own status in its "
    "place. With `Prefer: return=minimal` one proposal, or each of an array, is answered with the "
    "result alone: status, id and state, without the settlement as it is."
)

PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 200
"""Lines of a list: one page of a screen or a report; lists of thousands are read by cursor."""

_one: Final = msgspec.json.Decoder(wire.Proposal)
_many: Final = msgspec.json.Decoder(list[wire.Proposal])
_items: Final = msgspec.json.Decoder(list[msgspec.Raw])
_cancellation: Final = msgspec.json.Decoder(wire.Cancellation)
_resolving: Final = msgspec.json.Decoder(wire.Resolving)
_release: Final = msgspec.json.Decoder(wire.Release)
_acceptance: Final = msgspec.json.Decoder(wire.Acceptance)

T = TypeVar("T")

Item = proposals.Drawn | wire.Problem
Outcome = View | wire.Problem

_APPLIED: Final = {"Preference-Applied": preference.MINIMAL}
"""RFC 7240, section 3: tells the client which of its preferences were met."""

_BLANKS: Final = b" \t\r\n"


async def propose(call: Call) -> Reply:
    """One proposal, or an array of them: ordered, not atomic, each with an answer of its own."""
    body = await call.json_body()
    if body.lstrip(_BLANKS).startswith(b"["):
        return await _propose_many(call, body)
    (outcome,) = await _take(call, [_item(call, _sender(call), decoded(_one, body))])
    if isinstance(outcome, wire.Problem):
        return problem_reply(outcome)
    location = f"/v1/settlements/{outcome.id}"
    if _wants_minimal(call):
        return json_reply(202, _minimal(outcome), Location=location, **_APPLIED)
    return json_reply(202, views.settlement(outcome, call.gateway.scale), Location=location)


async def _propose_many(call: Call, body: bytes) -> Reply:
    outcomes = await _take(call, _batch(call, body))
    if _wants_minimal(call):
        return json_reply(202, [_minimal(outcome) for outcome in outcomes], **_APPLIED)
    scale = call.gateway.scale
    return json_reply(202, [_result(outcome, scale) for outcome in outcomes])


def _wants_minimal(call: Call) -> bool:
    return preference.wants_minimal(call.request.headers.get(preference.HEADER))


def _batch(call: Call, body: bytes) -> list[Item]:
    sender = _sender(call)
    try:
        return [_item(call, sender, proposal) for proposal in _bounded(call, _many.decode(body))]
    except msgspec.ValidationError:
        # Some item has another shape: read them one by one, so that only those are refused.
        return [_shaped(call, sender, raw) for raw in _bounded(call, decoded(_items, body))]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise problems.unreadable_json(error) from None


def _bounded(call: Call, items: list[T]) -> list[T]:
    """Asked before any item is looked at: an array of nothings is cheap to send."""
    if 1 <= len(items) <= call.desk.batch_max:
        return items
    detail = f"an array holds 1 to {call.desk.batch_max} proposals, this one {len(items)}"
    raise RequestError(
        Kind.TOO_LARGE if items else Kind.INVALID, detail, code=RejectCode.XSIZ.value
    )


def _sender(call: Call) -> str:
    return bic11(call.principal.name)


def _shaped(call: Call, sender: str, raw: msgspec.Raw) -> Item:
    try:
        return _item(call, sender, decoded(_one, raw))
    except RequestError as error:
        return error.problem


def _item(call: Call, sender: str, proposal: wire.Proposal) -> Item:
    drawn = proposals.read(proposal, call.gateway)
    if not isinstance(drawn, tuple):
        return problems.outcome(drawn)
    if drawn[0].has_party(sender):
        return drawn
    return problems.problem(
        Kind.FORBIDDEN, "a swap is proposed by one of its parties", code=RejectCode.XAUT.value
    )


async def _take(call: Call, items: Sequence[Item]) -> list[Outcome]:
    """What is sound so far goes to the gateway at once; the rest keeps its problem."""
    drawn = [item for item in items if isinstance(item, tuple)]
    answers = iter(await call.gateway.take_settlements(call.principal.name, drawn) if drawn else ())
    outcomes: list[Outcome] = []
    for item in items:
        answer = next(answers) if isinstance(item, tuple) else item
        match answer:
            case View() | wire.Problem():
                outcomes.append(answer)
            case _:
                outcomes.append(problems.outcome(answer))
    return outcomes


def _result(outcome: Outcome, scale: views.Scale) -> wire.SettlementResult:
    if isinstance(outcome, wire.Problem):
        return wire.SettlementResult(status=outcome.status, problem=outcome)
    return wire.SettlementResult(status=202, settlement=views.settlement(outcome, scale))


def _minimal(outcome: Outcome) -> wire.SettlementResult:
    if isinstance(outcome, wire.Problem):
        return wire.SettlementResult(status=outcome.status, problem=outcome)
    return wire.SettlementResult(status=202, id=outcome.id, state=reported(outcome.state))


async def show(call: Call) -> Reply:
    call.query()
    id = SettlementId(call.settlement())
    return _shown(call, await call.gateway.show(call.principal, id))


async def accept(call: Call) -> Reply:
    """A payer's consent to the terms that the id stands for."""
    id = SettlementId(call.settlement())
    if await call.body():
        await call.json(_acceptance)
    return _shown(call, await call.gateway.accept(call.principal, id))


async def cancel(call: Call) -> Reply:
    id = SettlementId(call.settlement())
    reason = (await call.json(_cancellation)).reason
    if not notation.is_reason(reason):
        raise RequestError.field("reason", notation.REASON.rule)
    return _shown(call, await call.gateway.cancel(call.principal, id, reason))


async def release(call: Call) -> Reply:
    """The preimage is read, used and forgotten: it stands in no answer."""
    id = SettlementId(call.settlement())
    asked = await call.json(_release)
    if not notation.is_digest(asked.preimage):  # the same form: 32 bytes
        raise RequestError.field("preimage", notation.PREIMAGE.rule)
    preimage = bytes.fromhex(asked.preimage)
    return _shown(call, await call.gateway.release(call.principal, id, asked.leg, preimage))


async def resolve(call: Call) -> Reply:
    """An operator's word on how a lost decision went."""
    id = SettlementId(call.settlement())
    said = await call.json(_resolving)
    if not notation.is_reason(said.evidence):
        raise RequestError.field("evidence", notation.REASON.rule)
    answer = await call.gateway.resolve(call.principal, id, said.decision, said.evidence)
    return _shown(call, answer)


def _shown(call: Call, answer: View | Denied | Refused | None) -> Reply:
    match answer:
        case None:
            raise not_found()
        case Denied() | Refused():
            return problem_reply(problems.outcome(answer))
        case View():
            return json_reply(200, views.settlement(answer, call.gateway.scale))


async def page(call: Call) -> Reply:
    """Settlements of the caller, newest first."""
    query = call.query("before", "limit")
    limit = limit_of(query, PAGE_DEFAULT, PAGE_MAX)
    before = query.get("before")
    if before is not None and not notation.is_uuid(before):
        raise RequestError.field("before", notation.CURSOR.rule)
    found = await call.gateway.list(
        call.principal, before=None if before is None else SettlementId(before), limit=limit
    )
    return json_reply(
        200,
        wire.SettlementPage(
            settlements=tuple(views.line(summary) for summary in found),
            next=found[-1].id if len(found) == limit else None,
        ),
    )


async def ledgers(call: Call) -> Reply:
    call.query()
    states = call.gateway.ledgers()
    return json_reply(200, wire.LedgerList(ledgers=tuple(views.ledger(s) for s in states)))
