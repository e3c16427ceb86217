"""Everything that goes wrong at the HTTP interface, told as RFC 9457 problem documents.

Each kind of problem is a URN with one status and one title. A request that cannot be served as it
is raises `RequestError`; expected outcomes of the services (a conflict, a denial) are values, and
become problems here as well, so that a batch can carry one beside each item.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final, Self

import msgspec

from gateway.http.wire import FieldError, Problem
from gateway.port import Busy, Conflict, Denied, Refused
from ledgers.described import PROBLEM_JSON, Content, Failure, ProblemKind
from ledgers.shape import fault
from protocols.iso20022.errors import ProtocolError, RejectCode

URN: Final = "urn:lockstep:problem:"
MEDIA_TYPE: Final = PROBLEM_JSON

RETRY_AFTER_SECONDS: Final = 1
"""Intake drains thousands a second: a client that comes back in a second finds room again."""


class Kind(ProblemKind):
    """The gateway's kinds of problems."""

    MALFORMED = ("malformed", 400, "The request cannot be read")
    NOT_AUTHENTICATED = ("not-authenticated", 401, "Who asks is not known")
    FORBIDDEN = ("forbidden", 403, "Not allowed to whom asks")
    NOT_FOUND = ("not-found", 404, "Not found")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "The method is not served here")
    TIMEOUT = ("request-timeout", 408, "The request did not arrive in time")
    CONFLICT = ("conflict", 409, "Known with other content")
    DENIED = ("denied", 409, "Its state does not allow this any more")
    TOO_LARGE = ("too-large", 413, "Larger than accepted")
    UNSUPPORTED = ("unsupported-media-type", 415, "This content type is not accepted here")
    INVALID = ("invalid", 422, "A rule is broken")
    MESSAGE = ("message-rejected", 422, "The message cannot be processed")
    INTERNAL = ("internal", 500, "An error of ours")
    BUSY = ("busy", 503, "Too much to do at the moment; send it again")


STATUSES: Final = {Kind.MESSAGE: tuple(sorted({code.status_hint for code in RejectCode}))}
"""Kinds whose status is not one: that of the reject code."""


def failure(kind: Kind, *beside: Content) -> Failure:
    """A kind as the published description has it; `beside` are other forms of it."""
    return Failure(
        type=URN + kind.value,
        title=kind.title,
        statuses=STATUSES.get(kind, (kind.status,)),
        contents=(Content(media=MEDIA_TYPE, type=Problem), *beside),
    )


def problem(
    kind: Kind,
    detail: str,
    *,
    code: str | None = None,
    errors: Sequence[FieldError] = (),
    instance: str | None = None,
) -> Problem:
    """The document of a kind; the first fault is its `field` and `rule`."""
    first = errors[0] if errors else None
    return Problem(
        type=URN + kind.value,
        title=kind.title,
        status=kind.status,
        detail=detail,
        instance=instance,
        field=first.field if first else None,
        rule=first.rule if first else None,
        code=code,
        errors=tuple(errors) if len(errors) > 1 else (),
    )


class RequestError(Exception):
    """A request that cannot be served as it is. Becomes its problem."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = problem(kind, detail, code=code)
        self.headers = headers or {}

    @classmethod
    def field(cls, field: str, rule: str) -> Self:
        """About one field of a request that is otherwise readable."""
        error = cls(Kind.INVALID, f"{field}: {rule}")
        error.problem = invalid((FieldError(field=field, rule=rule),))
        return error


def invalid(errors: Sequence[FieldError]) -> Problem:
    """Fields that break rules, all of them."""
    detail = "; ".join(f"{error.field}: {error.rule}" for error in errors[:3])
    more = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
    return problem(Kind.INVALID, detail + more, errors=errors)


def rejected(error: ProtocolError) -> Problem:
    """A message that cannot be processed: the problem beside the admi.002."""
    return Problem(
        type=URN + Kind.MESSAGE.value,
        title=Kind.MESSAGE.title,
        status=error.status_hint,
        detail=f"{error.code.meaning}: {error.description}",
        field=error.location,
        rule=error.description,
        code=error.code.value,
    )


def outcome(answer: Refused | Conflict | Busy | Denied) -> Problem:
    """An expected "no" of the services."""
    match answer:
        case Refused():
            return invalid([FieldError(field=f.field, rule=f.rule) for f in answer.faults])
        case Conflict():
            return problem(Kind.CONFLICT, answer.what, code=RejectCode.XDUP.value)
        case Busy():
            return problem(Kind.BUSY, RejectCode.XBSY.meaning, code=RejectCode.XBSY.value)
        case Denied():
            return problem(Kind.DENIED, answer.why, code=answer.code)


_TEXT_MAX: Final = 200
"""Of a caller's own text that is told back: enough to recognise it."""


def shape_error(error: msgspec.ValidationError) -> FieldError:
    """Where and why JSON does not have the shape of its type."""
    field, rule = fault(error)
    return FieldError(field=field or "$", rule=rule)


def unreadable_json(error: Exception) -> RequestError:
    """Bytes that are no JSON at all."""
    why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    return RequestError(Kind.MALFORMED, f"no JSON: {why[:_TEXT_MAX]}", code=RejectCode.XWEL.value)


_OF_STATUS: Final = {
    404: Kind.NOT_FOUND,
    405: Kind.METHOD_NOT_ALLOWED,
    408: Kind.TIMEOUT,
    413: Kind.TOO_LARGE,
    415: Kind.UNSUPPORTED,
}


def of_status(status: int, detail: str) -> Problem:
    """A status that the HTTP library answers with by itself."""
    kind = _OF_STATUS.get(status)
    if kind is not None:
        return problem(kind, detail)
    return Problem(
        type="about:blank", title=HTTPStatus(status).phrase, status=status, detail=detail
    )
