"""The aiohttp application of the gateway's public interface, made from the table of routes."""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from gateway.http import exchange, idempotency, openapi, problems
from gateway.http.auth import CHALLENGE, Authentication
from gateway.http.exchange import Call, Desk, Reply, Services, problem_reply
from gateway.http.problems import Kind, RequestError, problem
from gateway.http.routes import ROUTES, Route
from gateway.http.wire import Problem
from gateway.ids import new_id
from protocols.iso20022.errors import RejectCode

HEARTBEAT_SECONDS: Final = 15.0
"""Of a silent stream: below the idle limit of every common proxy (nginx 60 s, AWS ALB 60 s), and
how soon a reader that has gone is noticed."""

Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]
Handler = Endpoint


def build_app(
    gateway: Services,
    *,
    bic: str,
    auth: Authentication,
    body_bytes_max: int,
    batch_max: int,
    say: Callable[[str], None],
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
    now: Callable[[], int] = time.time_ns,
) -> web.Application:
    """The application over a gateway's services. `say` gets a line for each error of ours."""
    desk = Desk(
        gateway=gateway,
        bic=bic,
        body_bytes_max=body_bytes_max,
        batch_max=batch_max,
        heartbeat_seconds=heartbeat_seconds,
        now=now,
        say=say,
        closing=asyncio.Event(),
    )
    app = web.Application(middlewares=[_problems_for(say)], client_max_size=max(body_bytes_max, 1))
    _add(app, desk, auth)

    async def close(_: web.Application) -> None:
        desk.closing.set()

    app.on_shutdown.append(close)
    return app


def _add(app: web.Application, desk: Desk, auth: Authentication) -> None:
    methods: dict[str, list[str]] = {}
    for route in ROUTES:
        endpoint = _endpoint(route, desk, auth)
        for method in (route.method, "HEAD") if route.head else (route.method,):
            app.router.add_route(method, route.path, endpoint)
            methods.setdefault(route.path, []).append(method)
    description = exchange.json_reply(200, openapi.document())
    for method in ("GET", "HEAD"):
        app.router.add_route(method, openapi.PATH, _always(description))
        methods.setdefault(openapi.PATH, []).append(method)
    for path, served in methods.items():
        app.router.add_route("OPTIONS", path, _options(served))


def _endpoint(route: Route, desk: Desk, auth: Authentication) -> Endpoint:
    async def endpoint(request: web.Request) -> web.StreamResponse:
        principal = auth.principal(request)
        if principal is None:
            raise _unknown(request)
        if principal.role not in route.roles:
            roles = " or ".join(sorted(route.roles))
            raise RequestError(Kind.FORBIDDEN, f"this is for a {roles}", code=RejectCode.XAUT.value)
        call = Call(desk=desk, request=request, principal=principal)
        answer = await _handled(route, call)
        return answer.response() if isinstance(answer, Reply) else answer

    return endpoint


async def _handled(route: Route, call: Call) -> Reply | web.StreamResponse:
    if route.method == "POST" and idempotency.applies(call):
        return await idempotency.once(call, route.handler)
    return await route.handler(call)


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


def _options(methods: Iterable[str]) -> Endpoint:
    allow = {"Allow": ", ".join(sorted({*methods, "OPTIONS"}))}

    async def endpoint(_: web.Request) -> web.StreamResponse:
        return web.Response(status=204, headers={**exchange.HEADERS, **allow})

    return endpoint


def _problems_for(say: Callable[[str], None]) -> Middleware:
    """Whatever goes wrong becomes a problem document; an error of ours is told to `say` once."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except RequestError as error:
            return _response(error.problem, error.headers)
        except web.HTTPException as error:
            allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return _response(problems.of_status(error.status, error.reason), allow)
        except ConnectionError:
            raise  # nobody is there any more to be answered
        except Exception as error:
            return _internal(request, error, say)

    return middleware


def _response(found: Problem, headers: Mapping[str, str]) -> web.Response:
    response = problem_reply(found).response()
    response.headers.update(headers)
    return response


def _internal(request: web.Request, error: Exception, say: Callable[[str], None]) -> web.Response:
    """The caller gets an id and nothing of our inside; the log gets both."""
    id = f"urn:uuid:{new_id()}"
    trace = "".join(traceback.format_exception(error))
    say(f"error {id} at {request.method} {request.path}: {error!r}\n{trace}")
    detail = "it is logged; tell us the instance"
    return _response(problem(Kind.INTERNAL, detail, instance=id), {})
