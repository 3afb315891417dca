"""Random requests: no 5xx, errors in OpenAI's form, and nothing that stays behind."""

import json

import pytest

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from numpy_erniem.serving.app import build_app
from numpy_erniem.serving.models import ENDPOINTS, ServedModel
from numpy_erniem.serving.openapi import STATUSES
from numpy_erniem.serving.schemas import check_schema
from tests.serving.conftest import HEADS, Client

SETTINGS = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NAMES = sorted({name for endpoint in ENDPOINTS for name in endpoint.request_schema["properties"]})
TEXT = st.text(st.characters(codec=None), max_size=12)
LEAF = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.sampled_from(list(HEADS))
VALUE = st.recursive(
    LEAF,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | TEXT, inner, max_size=3)
    ),
    max_leaves=8,
)
HEADER = {"Content-Type": "application/json"}


@pytest.fixture
def client(started, embedder, pipelines_of):
    models = [ServedModel(name, pipelines_of(name)) for name in HEADS]
    service = started(
        ServedModel("bundled", {"embeddings": embedder}), *models, max_body=4000, timeout=60.0
    )
    return Client(build_app(service))


def from_schema(schema):
    """Values of a schema, or nearly: numbers out of range, empty lists, missing keys."""
    if "anyOf" in schema:
        return st.one_of(*map(from_schema, schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"]) | VALUE
    kind = schema.get("type")
    if kind == "array":
        return st.lists(from_schema(schema.get("items", {})), max_size=3)
    if kind == "object":
        properties = {
            name: from_schema(part) for name, part in schema.get("properties", {}).items()
        }
        return st.fixed_dictionaries({}, optional=properties) if properties else VALUE
    simple = {
        "string": TEXT,
        "integer": st.integers(-2, 40) | st.integers(),
        "number": st.floats(0, 1) | st.floats(),
        "boolean": st.booleans(),
    }
    return simple.get(kind, VALUE)


def request_of(endpoint):
    """Requests that have every field that is needed, most of them right."""
    properties = endpoint.request_schema["properties"]
    parts = {name: from_schema(part) for name, part in properties.items()}
    parts["model"] = st.sampled_from([*HEADS, "bundled"])
    needed = {name: parts.pop(name) for name in endpoint.required}
    return st.fixed_dictionaries(needed, optional=parts)


def check(client, path, content):
    response = client.request("POST", path, content=content, headers=HEADER)
    assert response.status_code in (200, *STATUSES), response.text
    assert response.status_code < 500, response.text
    body = response.json()
    if response.status_code != 200:
        assert sorted(body["error"]) == ["code", "message", "param", "type"]
    service = client.app.service
    assert (service.open, service.held) == (0, 0)
    assert all(model.runner.waiting == 0 for model in service.models.values())
    return response.status_code, body


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda e: e.path)
def test_requests_that_are_nearly_right(client, endpoint):
    @SETTINGS
    @given(request_of(endpoint))
    def run(body):
        status, reply = check(client, endpoint.path, json.dumps(body).encode())
        if status == 200:
            check_schema(reply, endpoint.reply_schema, "reply")

    run()


def test_any_json(client):
    @SETTINGS
    @given(st.sampled_from([endpoint.path for endpoint in ENDPOINTS]), VALUE)
    def run(path, body):
        check(client, path, json.dumps(body).encode())

    run()


def test_any_bytes(client):
    @SETTINGS
    @given(st.sampled_from([endpoint.path for endpoint in ENDPOINTS]), st.binary(max_size=5000))
    def run(path, content):
        assert check(client, path, content)[0] in (400, 413)

    run()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_api_is_as_it_is_described(client):
    schemathesis = pytest.importorskip("schemathesis")
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    wanted = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(SETTINGS, max_examples=10)
        @given(operation.as_strategy())
        def run(case):
            options = case.as_transport_kwargs(base_url="http://test")
            names = ("params", "json", "content", "data", "headers", "cookies")
            given = {name: options[name] for name in names if options.get(name) is not None}
            case.validate_response(
                client.request(options["method"], options["url"], **given), checks=wanted
            )

        run()
