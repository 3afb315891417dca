"""The description of the API, OpenAPI 3.1, and a page for people that is made of it."""

import html
import json
from collections.abc import Iterable
from typing import Any

from numpy_erniem import __version__
from numpy_erniem.serving.endpoint import Endpoint
from numpy_erniem.serving.schemas import STRING, Schema, any_of, record
from numpy_erniem.serving.settings import Settings

NULL: Schema = {"type": "null"}
ERROR = record(
    ("error",),
    error=record(
        ("message", "type", "param", "code"),
        message=STRING,
        type=STRING,
        param=any_of(STRING, NULL),
        code=STRING,
    ),
)
STATUSES = {
    400: "The request is wrong: `param` names the field",
    401: "No API key, or another one",
    404: "There is no such model",
    408: "The body did not arrive in time",
    413: "The body is too large",
    415: "The body is not JSON by its content type",
    429: "Too many requests wait; come again after `Retry-After` seconds",
    500: "The model failed; the log of the server tells where",
    503: "The server stops, or had no time for the request",
    504: "The request takes too long",
}
MODEL = record(
    ("id", "object", "created", "owned_by", "tasks"),
    id=STRING,
    object=STRING,
    created={"type": "integer"},
    owned_by=STRING,
    tasks={"type": "array", "items": STRING},
)
MODELS = record(("object", "data"), object=STRING, data={"type": "array", "items": MODEL})
HEALTH = record(
    ("status", "live", "ready"), status=STRING, live={"type": "boolean"}, ready={"type": "boolean"}
)
ERROR_REFERENCE = {"$ref": "#/components/schemas/Error"}
LIVE = record(("live",), live={"type": "boolean"})
JSON, TEXT = "application/json", "text/plain"
NAME = {"name": "name", "in": "path", "required": True, "schema": STRING | {"minLength": 1}}


def describe_api(endpoints: Iterable[Endpoint], settings: Settings) -> dict[str, Any]:
    """The description of the API.

    Parameters
    ----------
    endpoints : iterable of Endpoint
    settings : Settings
        Whether keys are needed.

    Returns
    -------
    dict
        OpenAPI 3.1.
    """
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        for path in (endpoint.path, *endpoint.aliases):
            paths[path] = {"post": _operation(endpoint, path)}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "numpy_erniem", "version": __version__},
        "paths": paths | {path: {"get": page} for path, page in _pages().items()},
        "components": {
            "schemas": {"Error": ERROR},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }
    if settings.keys:
        document["security"] = [{"key": []}]
    return document


def _pages() -> dict[str, dict[str, Any]]:
    """The operations without a model, by path."""
    health = _responses(HEALTH) | {"503": _response("It takes none", HEALTH)}
    return {
        "/v1/models": {
            "summary": "The models of this server",
            "responses": _responses(MODELS, (401,)),
        },
        "/v1/models/{name}": {
            "summary": "A model of this server",
            "parameters": [NAME],
            "responses": _responses(MODEL, (401, 404)),
        },
        "/health": {
            "summary": "Whether the server takes requests: 200, or 503",
            "responses": health,
            "security": [],
        },
        "/health/ready": {"summary": "The same as /health", "responses": health, "security": []},
        "/health/live": {
            "summary": "Whether the process lives",
            "responses": _responses(LIVE),
            "security": [],
        },
        "/metrics": {
            "summary": "Counts for Prometheus",
            "responses": _responses(STRING, (401,), TEXT),
        },
    }


def _operation(endpoint: Endpoint, path: str) -> dict[str, Any]:
    schema = endpoint.request_schema
    properties = {
        name: part if name in endpoint.required else any_of(part, NULL)
        for name, part in schema["properties"].items()
    }
    body = {JSON: {"schema": schema | {"properties": properties}}}
    return {
        "summary": endpoint.summary,
        "operationId": path.strip("/").replace("/", "_"),
        "requestBody": {"required": True, "content": body},
        "responses": _responses(endpoint.reply_schema, STATUSES),
    }


def _responses(
    schema: Schema, statuses: Iterable[int] = (), media: str = JSON
) -> dict[str, dict[str, Any]]:
    """Of an operation: its result, and the errors."""
    errors = {str(n): _response(STATUSES[n], ERROR_REFERENCE) for n in statuses}
    return {"200": _response("The result", schema, media), **errors}


def _response(meaning: str, schema: Schema, media: str = JSON) -> dict[str, Any]:
    return {"description": meaning, "content": {media: {"schema": schema}}}


def render_page(document: dict[str, Any]) -> str:
    """The description as a page of HTML that needs no other file."""
    parts = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h2>{method.upper()} {html.escape(path)}</h2>")
            parts.append(f"<p>{html.escape(operation['summary'])}</p>")
            if "requestBody" in operation:
                parts.append(_block("Request", operation["requestBody"]))
            parts.append(_block("Response", operation["responses"]["200"]))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>numpy_erniem</title>'
        "<style>body{font:16px sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
        "pre{background:#f4f4f4;padding:1em;overflow:auto}</style><h1>numpy_erniem</h1>"
        '<p>Requests and responses are JSON. The same for programs: <a href="/openapi.json">'
        "/openapi.json</a>.</p>" + "".join(parts) + "</html>"
    )


def _block(title: str, part: dict[str, Any]) -> str:
    (media,) = part["content"].values()
    text = html.escape(json.dumps(media["schema"], indent=2, ensure_ascii=False))
    return f"<details><summary>{title}</summary><pre>{text}</pre></details>"
