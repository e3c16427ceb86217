"""The aiohttp application of the gateway's public interface, made from the table of routes."""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping

from aiohttp import HttpVersion11, web
from aiohttp.typedefs import Middleware

from gateway.http import exchange, idempotency, openapi, problems
from gateway.http.auth import CHALLENGE, Authentication
from gateway.http.exchange import Call, Desk, Reply, Services, problem_reply
from gateway.http.problems import Kind, RequestError, problem
from gateway.http.route import Route
from gateway.http.routes import ROUTES
from gateway.http.stream import HEARTBEAT_SECONDS
from gateway.http.wire import Problem
from gateway.ids import new_id
from gateway.port import Reconciling, Statements
from gateway.telemetry import logs
from protocols.iso20022.errors import RejectCode

Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]
Handler = Endpoint


def build_app(
    gateway: Services,
    *,
    statements: Statements,
    reconciliation: Reconciling,
    bic: str,
    auth: Authentication,
    body_bytes_max: int,
    batch_max: int,
    say: Callable[[str], None],
    sign: Callable[[str, str], str] = lambda _, message: message,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
    now: Callable[[], int] = time.time_ns,
    away: tuple[type[Exception], ...] = (),
) -> web.Application:
    """The application over a gateway's services. `say` gets a line for each error of ours; what
    is `away` means that the store cannot be reached: ask again; `sign` puts our signature into an
    XML message to a member where that is agreed."""
    desk = Desk(
        gateway=gateway,
        statements=statements,
        reconciliation=reconciliation,
        bic=bic,
        body_bytes_max=body_bytes_max,
        batch_max=batch_max,
        heartbeat_seconds=heartbeat_seconds,
        sign=sign,
        now=now,
        say=say,
        closing=asyncio.Event(),
    )
    app = web.Application(
        middlewares=[_problems_for(say, away)], client_max_size=max(body_bytes_max, 1)
    )
    _add(app, desk, auth)

    async def close(_: web.Application) -> None:
        desk.closing.set()

    app.on_shutdown.append(close)
    return app


def _add(app: web.Application, desk: Desk, auth: Authentication) -> None:
    served: dict[str, dict[str, Endpoint]] = {}
    for route in ROUTES:
        endpoint = _endpoint(route, desk, auth)
        for method in (route.method, "HEAD") if route.head else (route.method,):
            served.setdefault(route.path, {})[method] = endpoint
    description = _always(exchange.json_reply(200, openapi.document()))
    served[openapi.PATH] = {"GET": description, "HEAD": description}
    for path, methods in served.items():
        for method, endpoint in methods.items():
            app.router.add_route(method, path, endpoint, expect_handler=_expectation)
        app.router.add_route("*", path, _other(methods), expect_handler=_expectation)
    app.router.add_route("*", "/{path:.*}", _nowhere, expect_handler=_expectation)


async def _expectation(request: web.Request) -> None:
    """Say 100 to one who waits for it (RFC 9110 section 10.1.1), ignore any other expectation. The
    library's own answer repeats what it was sent, fails on what is no UTF-8, and stands outside the
    middleware."""
    if request.headers["Expect"].lower() == "100-continue" and request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # nothing of the answer itself has been written


async def _nowhere(_: web.Request) -> web.StreamResponse:
    raise RequestError(Kind.NOT_FOUND, "there is no such resource")


def _endpoint(route: Route, desk: Desk, auth: Authentication) -> Endpoint:
    async def endpoint(request: web.Request) -> web.StreamResponse:
        principal = auth.principal(request)
        if principal is None:
            raise _unknown(request)
        logs.MEMBER.set(principal.name)
        if principal.role not in route.roles:
            roles = ", ".join(sorted(route.roles))
            said = f"you ask as {principal.role}; this may be asked as: {roles}"
            raise RequestError(Kind.FORBIDDEN, said, code=RejectCode.XAUT.value)
        call = Call(desk=desk, request=request, principal=principal)
        if posts and idempotency.applies(call):
            return (await idempotency.once(call, route.handler)).answer(request)
        answer = await route.handler(call)
        return answer.answer(request) if isinstance(answer, Reply) else answer

    posts = route.method == "POST"
    return endpoint


def _unknown(request: web.Request) -> RequestError:
    """RFC 6750 section 3.1: only a token that was shown can be called invalid."""
    if "Authorization" not in request.headers:
        detail, challenge = "send Authorization: Bearer TOKEN", CHALLENGE
    else:
        detail, challenge = "the token is not known", f'{CHALLENGE}, error="invalid_token"'
    return RequestError(Kind.NOT_AUTHENTICATED, detail, headers={"WWW-Authenticate": challenge})


def _always(reply: Reply) -> Endpoint:
    async def endpoint(_: web.Request) -> web.StreamResponse:
        return reply.response()

    return endpoint


def _other(methods: Iterable[str]) -> Endpoint:
    """OPTIONS, and every method that a path does not serve."""
    allow = {"Allow": ", ".join(sorted({*methods, "OPTIONS"}))}

    async def endpoint(request: web.Request) -> web.StreamResponse:
        if request.method == "OPTIONS":
            return web.Response(status=204, headers={**exchange.HEADERS, **allow})
        raise RequestError(Kind.METHOD_NOT_ALLOWED, f"served are {allow['Allow']}", headers=allow)

    return endpoint


def _problems_for(say: Callable[[str], None], away: tuple[type[Exception], ...]) -> Middleware:
    """Whatever goes wrong becomes a problem document; an error of ours is told to `say` once."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except RequestError as error:
            return _response(error.problem, error.headers)
        except web.HTTPException as error:
            return _response(problems.of_status(error.status, error.reason), {})
        except Exception as error:
            if isinstance(error, ConnectionError) and _has_gone(request):
                raise  # nobody is there any more to be answered
            if isinstance(error, away):
                return _away(request, error, say)
            return _internal(request, error, say)

    return middleware


def _response(found: Problem, headers: Mapping[str, str]) -> web.Response:
    response = problem_reply(found).response()
    response.headers.update(headers)
    return response


def _has_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _away(request: web.Request, error: Exception, say: Callable[[str], None]) -> web.Response:
    say(f"{request.method} {request.path} was told to come back: {error!r}")
    return _response(problem(Kind.BUSY, "the gateway's database is away; ask again"), {})


def _internal(request: web.Request, error: Exception, say: Callable[[str], None]) -> web.Response:
    """The caller gets an id and nothing of our inside; the log gets both."""
    id = f"urn:uuid:{new_id()}"
    trace = "".join(traceback.format_exception(error))
    say(f"{logs.ERROR}{id} at {request.method} {request.path}: {error!r}\n{trace}")
    detail = "it is logged; tell us the instance"
    return _response(problem(Kind.INTERNAL, detail, instance=id), {})
