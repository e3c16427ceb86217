"""Problem details (RFC 9457): how the ledger's HTTP service says that a request was bad."""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from ledgers.described import PROBLEM_JSON, Content, Failure, ProblemKind
from ledgers.instruments import ReferenceDataError
from ledgers.port import LedgerUnreachable
from ledgers.wire import WireError

TYPE_PREFIX: Final = "urn:lockstep:ledger:problem:"

_log = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()


class Kind(ProblemKind):
    """What may be wrong with a request to a ledger, or to a registry's node."""

    MALFORMED = ("malformed-json", 400, "The body is no JSON")
    UNAUTHORIZED = ("unauthorized", 401, "Who asks is not known")
    FORBIDDEN = ("forbidden", 403, "Not allowed to whom asks")
    NOT_FOUND = ("not-found", 404, "Not found")
    NOT_FINAL = ("not-final", 404, "The block is not final here yet")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "The method is not served here")
    BEFORE_SNAPSHOT = ("before-snapshot", 410, "From before the snapshot by which it joined")
    NOT_KEPT = ("not-kept", 410, "The height is not kept any more")
    NO_SNAPSHOT = ("no-snapshot", 410, "There is no snapshot to give")
    TOO_LARGE = ("too-large", 413, "Larger than accepted")
    TOO_MANY = ("too-many", 413, "More members than accepted")
    UNSUPPORTED = ("unsupported-media-type", 415, "This content type is not accepted here")
    INVALID = ("invalid-content", 422, "A rule is broken")
    INTERNAL = ("internal-error", 500, "An error of ours")
    UNAVAILABLE = ("unavailable", 503, "Away at the moment; ask again")


class LedgerProblem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457. `field` names the place and `rule` what it breaks."""

    type: str
    title: str
    status: int
    detail: str = ""
    field: str = ""
    rule: str = ""


class ProblemError(Exception):
    """A request that cannot be served as it is: becomes a problem response."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        field: str = "",
        rule: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = LedgerProblem(
            type=TYPE_PREFIX + kind.value,
            title=kind.title,
            status=kind.status,
            detail=detail,
            field=field,
            rule=rule,
        )
        self.headers = headers or {}


def failure(kind: Kind) -> Failure:
    """A kind as the published description has it."""
    return Failure(
        type=TYPE_PREFIX + kind.value,
        title=kind.title,
        statuses=(kind.status,),
        contents=(Content(media=PROBLEM_JSON, type=LedgerProblem),),
    )


def response(problem: LedgerProblem, headers: dict[str, str]) -> web.Response:
    return web.Response(
        status=problem.status,
        body=_encoder.encode(problem),
        content_type=PROBLEM_JSON,
        headers=headers,
    )


def bad_field(field: str, rule: str) -> ProblemError:
    """The content breaks a rule at a place that we can name."""
    detail = f"{field}: {rule}" if field else rule
    return ProblemError(Kind.INVALID, detail, field=field, rule=rule)


def problem_of(error: Exception) -> ProblemError:
    """The problem that an exception means to the client; what we did not foresee is our error."""
    match error:
        case ProblemError():
            return error
        case WireError(field=field, rule=rule) | ReferenceDataError(field=field, rule=rule):
            return bad_field(field, rule)
        case LedgerUnreachable():
            # One second: a restart of PostgreSQL takes less.
            return ProblemError(Kind.UNAVAILABLE, str(error), headers={"Retry-After": "1"})
        case _:
            _log.exception("a request failed by our own error", exc_info=error)
            return ProblemError(Kind.INTERNAL, "the request failed by an error of ours")


_OF_STATUS: Final = {
    404: (Kind.NOT_FOUND, "there is no such resource"),
    405: (Kind.METHOD_NOT_ALLOWED, "served are"),
    413: (Kind.TOO_LARGE, "the body has more bytes than are accepted"),
}


def _of_http(error: web.HTTPException) -> web.Response:
    """What the HTTP library answers with by itself."""
    allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    if error.status in _OF_STATUS:
        kind, detail = _OF_STATUS[error.status]
        problem = ProblemError(kind, " ".join([detail, *allow.values()])).problem
    else:
        title = HTTPStatus(error.status).phrase
        problem = LedgerProblem(
            type="about:blank", title=title, status=error.status, detail=error.reason
        )
    return response(problem, allow)


Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def problems(request: web.Request, handler: Next) -> web.StreamResponse:
    """Outermost: whatever goes wrong below leaves as a problem, never as a traceback."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _of_http(error)
    except Exception as error:
        found = problem_of(error)
        return response(found.problem, found.headers)
