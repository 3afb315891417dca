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
        code=any_of(STRING, NULL),
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
PAGES: dict[str, tuple[str, Schema]] = {
    "/v1/models": ("The models of this server", MODELS),
    "/health": ("Whether the server takes requests: 200, or 503", HEALTH),
    "/health/live": ("Whether the process lives", record(("live",), live={"type": "boolean"})),
    "/health/ready": ("The same as /health", HEALTH),
}


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
    for path, (summary, schema) in PAGES.items():
        paths[path] = {"get": {"summary": summary, "responses": _responses(schema, (401, 503))}}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "numpy_erniem", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {"Error": ERROR},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }
    if settings.keys:
        document["security"] = [{"key": []}]
    return document


def _operation(endpoint: Endpoint, path: str) -> dict[str, Any]:
    schema = endpoint.request_schema
    properties = {
        name: part if name in endpoint.required else any_of(part, NULL)
        for name, part in schema["properties"].items()
    }
    body = {"application/json": {"schema": schema | {"properties": properties}}}
    return {
        "summary": endpoint.summary,
        "operationId": path.strip("/").replace("/", "_"),
        "requestBody": {"required": True, "content": body},
        "responses": _responses(endpoint.reply_schema, STATUSES),
    }


def _responses(schema: Schema, statuses: Iterable[int]) -> dict[str, Any]:
    """Of an operation: its result, and the errors."""
    content = {"application/json": {"schema": schema}}
    found: dict[str, Any] = {"200": {"description": "The result", "content": content}}
    for status in statuses:
        error = {"application/json": {"schema": ERROR_REFERENCE}}
        found[str(status)] = {"description": STATUSES[status], "content": error}
    return found


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
        '<p>Each request and response is JSON. The same for programs: <a href="/openapi.json">'
        "/openapi.json</a>.</p>" + "".join(parts) + "</html>"
    )


def _block(title: str, part: dict[str, Any]) -> str:
    schema = part["content"]["application/json"]["schema"]
    text = html.escape(json.dumps(schema, indent=2, ensure_ascii=False))
    return f"<details><summary>{title}</summary><pre>{text}</pre></details>"
