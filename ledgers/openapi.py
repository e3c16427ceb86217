"""The published description of a service (OpenAPI 3.1), made from its table of routes."""

from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import msgspec

from ledgers.described import Answer, Content, Described, Failure, Parameter

PATH: Final = "/openapi.json"

_REFERENCE: Final = "#/components/schemas/{name}"

Json = dict[str, Any]
Schemas = dict[str, Json]


def document(routes: Sequence[Described], *, title: str, summary: str, bearer: str) -> Json:
    """The whole description as JSON types. `bearer` says whose tokens there are."""
    types = [content.type for content in _contents(routes) if content.type is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    known = dict(zip(map(repr, types), schemas, strict=True))
    scheme = {"type": "http", "scheme": "bearer", "description": bearer}
    whole = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": _version(), "summary": summary},
        "paths": _paths(routes, known),
        "components": {"schemas": components, "securitySchemes": {"bearer": scheme}},
    }
    # Through JSON, because defaults of tuples stand in the schemas as tuples.
    plain: Json = msgspec.json.decode(msgspec.json.encode(whole))
    _for_everybody(plain)
    return plain


def _version() -> str:
    try:
        return version("lockstep")
    except PackageNotFoundError:  # run from a checkout
        return "unreleased"


def _contents(routes: Iterable[Described]) -> Iterable[Content]:
    for route in routes:
        yield from route.request
        for answer in route.answers:
            yield from answer.contents
        for failure in route.failures():
            yield from failure.contents


def _for_everybody(node: Any) -> None:
    r"""Patterns as ECMA-262 has them: there `$` is the very end, which Python spells `\Z`."""
    if isinstance(node, list):
        for each in node:
            _for_everybody(each)
    elif isinstance(node, dict):
        if isinstance(pattern := node.get("pattern"), str):
            node["pattern"] = pattern.replace(r"\Z", "$")
        for each in node.values():
            _for_everybody(each)


def _paths(routes: Iterable[Described], known: Schemas) -> Json:
    paths: Json = {}
    for route in routes:
        operation = _operation(route, known)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return paths


def _operation(route: Described, known: Schemas) -> Json:
    operation: Json = {
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


def _parameter(parameter: Parameter) -> Json:
    described: Json = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "required": parameter.required,
        "schema": parameter.schema,
    }
    return described if parameter.example is None else described | {"example": parameter.example}


def _media(contents: Iterable[Content], known: Schemas) -> Json:
    """The forms of a body; what has one media type and several schemas is any of them."""
    media: Json = {}
    for content in contents:
        found = _content(content, known)
        before = media.setdefault(content.media, found)
        one, other = before.get("schema", {}), found.get("schema", {})
        either = one.get("anyOf", [one])
        if other != one and other not in either:
            media[content.media] = before | {"schema": {"anyOf": [*either, other]}}
    return media


def _content(content: Content, known: Schemas) -> Json:
    if content.binary:
        return {}  # OpenAPI 3.1, 4.8.14.2: bytes of a media type have no schema
    text = {"type": "string", "contentMediaType": content.media}
    schema = text if content.type is None else known[repr(content.type)]
    if content.example is None:
        return {"schema": schema}
    return {"schema": schema, "example": msgspec.to_builtins(content.example)}


def _responses(route: Described, known: Schemas) -> Json:
    responses = {str(a.status): _answer(a, known) for a in route.answers}
    for status, failures in _by_status(route.failures()).items():
        responses[str(status)] = _refusal(status, failures, known)
    return dict(sorted(responses.items()))


def _answer(answer: Answer, known: Schemas) -> Json:
    response: Json = {
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


def _by_status(failures: Iterable[Failure]) -> dict[int, list[Failure]]:
    statuses: dict[int, list[Failure]] = {}
    for failure in failures:
        for status in failure.statuses:
            group = statuses.setdefault(status, [])
            if failure not in group:
                group.append(failure)
    return statuses


_HEADERS: Final = {
    401: {"WWW-Authenticate": {"description": "RFC 6750", "schema": {"type": "string"}}},
    503: {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}},
}


def _refusal(status: int, failures: Sequence[Failure], known: Schemas) -> Json:
    contents = [content for failure in failures for content in failure.contents]
    titles = "; ".join(f"{failure.title} (`{failure.type}`)" for failure in failures)
    response: Json = {"description": titles, "content": _media(contents, known)}
    return response | {"headers": _HEADERS[status]} if status in _HEADERS else response
