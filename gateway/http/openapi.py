"""The published description of the interface (OpenAPI 3.1), made from the table of routes."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import msgspec

from gateway.http import exchange, problems, wire
from gateway.http.exchange import described
from gateway.http.problems import Kind
from gateway.http.route import Answer, Content, Parameter, Route
from gateway.http.routes import ROUTES
from gateway.http.samples import REJECTION_XML

PATH: Final = "/openapi.json"

_REFERENCE: Final = "#/components/schemas/{name}"


def document() -> dict[str, Any]:
    """The whole description as JSON types."""
    # Through JSON, because defaults of tuples stand in the schemas as tuples.
    whole: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(_document()))
    return whole


def _document() -> dict[str, Any]:
    types = [content.type for content in _contents(ROUTES) if content.type is not None]
    schemas, components = msgspec.json.schema_components(
        [*types, wire.Problem], ref_template=_REFERENCE
    )
    known = dict(zip(map(repr, types), schemas, strict=False))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Lockstep gateway",
            "version": _version(),
            "summary": "Settles DvP and PvP atomically across independent ledgers",
        },
        "paths": _paths(known),
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of each member and operator",
                }
            },
        },
    }


def _version() -> str:
    try:
        return version("lockstep")
    except PackageNotFoundError:  # run from a checkout
        return "unreleased"


def _contents(routes: Iterable[Route]) -> Iterable[Content]:
    for route in routes:
        yield from route.request
        for answer in route.answers:
            yield from answer.contents


Schemas = dict[str, dict[str, Any]]


def _paths(known: Schemas) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for route in ROUTES:
        operation = _operation(route, known)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return paths


def _operation(route: Route, known: Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "security": [{"bearer": []}],
        "parameters": [_parameter(parameter) for parameter in route.parameters],
        "responses": _responses(route, known),
    }
    if route.description:
        operation["description"] = route.description
    if route.request:
        operation["requestBody"] = {
            "required": route.body_required,
            "content": _media(route.request, known),
        }
    return operation


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "required": parameter.required,
        "schema": parameter.schema,
    }


def _media(contents: Iterable[Content], known: Schemas) -> dict[str, Any]:
    return {content.media: _content(content, known) for content in contents}


def _content(content: Content, known: Schemas) -> dict[str, Any]:
    text = {"type": "string", "contentMediaType": content.media}
    schema = text if content.type is None else known[repr(content.type)]
    if content.example is None:
        return {"schema": schema}
    return {"schema": schema, "example": described(content.example)}


def _responses(route: Route, known: Schemas) -> dict[str, Any]:
    responses = {str(a.status): _answer(a, known) for a in route.answers}
    for status, kinds in _by_status(route.kinds).items():
        responses[str(status)] = _refusal(status, kinds)
    return dict(sorted(responses.items()))


def _answer(answer: Answer, known: Schemas) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": answer.description,
        "content": _media(answer.contents, known),
    }
    if answer.location:
        response["headers"] = {
            "Location": {
                "description": "Where it is told what became of it (not with an array)",
                "schema": {"type": "string"},
            }
        }
    return response


def _by_status(kinds: Iterable[Kind]) -> dict[int, list[Kind]]:
    statuses: dict[int, list[Kind]] = {}
    for kind in kinds:
        for status in problems.STATUSES.get(kind, (kind.status,)):
            group = statuses.setdefault(status, [])
            if kind not in group:
                group.append(kind)
    return statuses


def _refusal(status: int, kinds: Iterable[Kind]) -> dict[str, Any]:
    content: dict[str, Any] = {
        problems.MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(name="Problem")}}
    }
    if Kind.MESSAGE in kinds:
        content |= _media((Content(media=exchange.XML, example=REJECTION_XML),), {})
    titles = "; ".join(f"{kind.title} (`{problems.URN}{kind.value}`)" for kind in kinds)
    response: dict[str, Any] = {"description": titles, "content": content}
    if status == 401:
        response["headers"] = {
            "WWW-Authenticate": {"description": "RFC 6750", "schema": {"type": "string"}}
        }
    if status == 503:
        response["headers"] = {
            "Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}
        }
    return response
