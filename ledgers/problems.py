"""Problem details (RFC 9457): how the ledger's HTTP service says that a request was bad."""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from ledgers.instruments import ReferenceDataError
from ledgers.port import LedgerUnreachable
from ledgers.wire import WireError

PROBLEM_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:lockstep:ledger:problem:"

_log = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a refusal; `field` names the place and `rule` what it breaks."""

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
        status: HTTPStatus,
        name: str,
        detail: str,
        *,
        field: str = "",
        rule: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(
            type=TYPE_PREFIX + name,
            title=status.phrase,
            status=status,
            detail=detail,
            field=field,
            rule=rule,
        )
        self.headers = headers or {}


def response(error: ProblemError) -> web.Response:
    return web.Response(
        status=error.problem.status,
        body=_encoder.encode(error.problem),
        content_type=PROBLEM_TYPE,
        headers=error.headers,
    )


def bad_field(field: str, rule: str) -> ProblemError:
    """The content breaks a rule at a place that we can name."""
    detail = f"{field}: {rule}" if field else rule
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return ProblemError(status, "invalid-content", detail, field=field, rule=rule)


def problem_of(error: Exception) -> ProblemError:
    """The problem that an exception means to the client; what we did not foresee is our error."""
    match error:
        case ProblemError():
            return error
        case WireError(field=field, rule=rule) | ReferenceDataError(field=field, rule=rule):
            return bad_field(field, rule)
        case LedgerUnreachable():
            # One second: a restart of PostgreSQL takes less.
            retry = {"Retry-After": "1"}
            status = HTTPStatus.SERVICE_UNAVAILABLE
            return ProblemError(status, "unavailable", str(error), headers=retry)
        case web.HTTPException():
            return _of_http(error)
        case _:
            _log.exception("a request failed by our own error", exc_info=error)
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            return ProblemError(status, "internal-error", "the request failed by an error of ours")


def _of_http(error: web.HTTPException) -> ProblemError:
    status = HTTPStatus(error.status)
    allow = error.headers.get("Allow")
    name = status.phrase.lower().replace(" ", "-")
    return ProblemError(status, name, error.reason, headers={"Allow": allow} if allow else None)


Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def problems(request: web.Request, handler: Next) -> web.StreamResponse:
    """Outermost: whatever goes wrong below leaves as a problem, never as a traceback."""
    try:
        return await handler(request)
    except Exception as error:
        return response(problem_of(error))
