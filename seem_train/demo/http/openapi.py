"""OpenAPI of the API, made of the same types that requests are checked against."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from seem_data import __version__
from seem_train.demo import saving, wire
from seem_train.demo.http.api import Operation
from seem_train.demo.limits import Limits

_REFUSED = {
    400: "The request cannot be done: nothing is drawn, a mark lies outside, the photo is damaged …",
    401: "The token is missing",
    403: "The request comes from a page or for a name that is not this server's",
    404: "There is no such session or object",
    413: "The request is too long",
    415: "The body is not of the media type that is taken",
    422: "The request is not of the form described here",
    503: "Too many sessions, or too much waits for the model; see Retry-After",
}


def document(operations: Sequence[Operation], limits: Limits) -> dict[str, object]:
    """
    Args:
        limits: told in the description.
    """
    types = {t for o in operations for t in (o.body, o.reply) if isinstance(t, type)}
    kinds = sorted({*types, wire.ProblemReply}, key=lambda kind: kind.__name__)
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    schema_of = dict[object, object](zip(kinds, schemas, strict=True))
    paths: dict[str, dict[str, object]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "seem-train demo",
            "version": __version__,
            "description": (
                "Open a photo, ask for objects, correct and save them. Coordinates are (x, y) pixels of the "
                f"upright photo. Photos: at most {limits.body >> 20} MB and {limits.pixels / 1e6:g} million "
                f"pixels. At most {limits.sessions} sessions, each forgotten after {limits.idle_minutes:g} "
                "minutes without a request."
            ),
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _described(operation: Operation, schema_of: Mapping[object, object]) -> dict[str, object]:
    refused = {
        str(status): _content(reason, "application/json", schema_of[wire.ProblemReply])
        for status, reason in _REFUSED.items()
    }
    described: dict[str, object] = {
        "summary": operation.summary,
        "operationId": operation.handler.__name__,
        "parameters": [*_path_parameters(operation), *_query_parameters(operation)],
        "responses": {str(operation.status): _reply(operation, schema_of), **refused},
    }
    if operation.body == "photo":
        media = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
        described["requestBody"] = {"required": True, "content": {"application/octet-stream": media}}
    elif operation.body is not None:
        media = {"schema": schema_of[operation.body]}
        described["requestBody"] = {"required": True, "content": {"application/json": media}}
    return described


def _reply(operation: Operation, schema_of: Mapping[object, object]) -> dict[str, object]:
    if operation.reply is None:
        return {"description": operation.summary}
    if isinstance(operation.reply, str):
        return _content(operation.summary, operation.reply, {})
    return _content(operation.summary, "application/json", schema_of[operation.reply])


def _content(description: str, media: str, schema: object) -> dict[str, object]:
    return {"description": description, "content": {media: {"schema": schema}}}


def _path_parameters(operation: Operation) -> list[dict[str, object]]:
    schemas: dict[str, object] = {
        "session": {"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9_-]+$"},
        "object": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
        "form": {"type": "string", "enum": list(saving.FORMS)},
    }
    names = re.findall(r"\{(\w+)\}", operation.path)
    return [{"name": n, "in": "path", "required": True, "schema": schemas[n]} for n in names]


def _query_parameters(operation: Operation) -> list[dict[str, object]]:
    found = []
    for name, bounds in operation.query:
        schema: dict[str, object] = {"type": "string", "maxLength": 200}
        if bounds is not None:
            schema = {"type": "integer", "minimum": bounds[0], "maximum": bounds[1]}
        found.append({"name": name, "in": "query", "required": False, "schema": schema})
    return found
