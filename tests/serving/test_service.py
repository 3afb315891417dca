"""Models by name, keys, health, counts, the log, and the description of the API."""

import json
import logging
import sys
from html import unescape

import numpy as np
import pytest

from numpy_erniem import Embedder, TextClassifier
from numpy_erniem.cli.main import main
from numpy_erniem.cli.serve import LIMITS
from numpy_erniem.serving.app import build_app
from numpy_erniem.serving.logs import JsonFormatter
from numpy_erniem.serving.models import ENDPOINTS, ServedModel, load_model
from numpy_erniem.serving.openapi import STATUSES, describe_api, render_page
from numpy_erniem.serving.schemas import check_schema
from numpy_erniem.serving.settings import Settings, parse_models, read_keys
from numpy_erniem.serving.sockets import open_socket
from tests.conftest import REPOSITORY
from tests.serving.conftest import HEADS, Client

PATH = "/v1/embeddings"


def code_of(response, status):
    assert response.status_code == status, response.text
    return response.json()["error"]["code"]


def test_models_are_listed_with_their_tasks(serve):
    body = serve("rank", "spans").get("/v1/models").json()
    assert body["object"] == "list"
    assert {row["id"]: row["tasks"] for row in body["data"]} == {
        "bundled": ["embeddings"],
        "rank": ["classify", "rerank"],
        "spans": ["extract"],
    }
    assert {row["object"] for row in body["data"]} == {"model"}


def test_a_model_is_described_by_its_name(started, embedder):
    client = Client(build_app(started(ServedModel("org/name", {"embeddings": embedder}))))
    assert client.get("/v1/models/org/name").json()["id"] == "org/name"
    assert code_of(client.get("/v1/models/other"), 404) == "model_not_found"


def test_an_unknown_model_is_not_found(serve):
    response = serve().post(PATH, {"input": "a", "model": "text-embedding-3-small"})
    assert code_of(response, 404) == "model_not_found"
    assert response.json()["error"]["param"] == "model"


def test_a_model_without_the_head_is_refused_with_those_that_have_it(serve):
    response = serve("rank").post(PATH, {"input": "a", "model": "rank"})
    assert code_of(response, 400) == "wrong_model"
    assert "bundled" in response.json()["error"]["message"]


def test_a_model_is_left_out_only_where_there_is_one(serve):
    client = serve("rank", "labels")
    assert client.post("/v1/rerank", {"query": "a", "documents": ["b"]}).status_code == 200
    response = client.post("/classify", {"input": "a"})
    assert code_of(response, 400) == "missing_required_parameter"
    assert "rank, labels" in response.json()["error"]["message"]
    assert client.post("/classify", {"input": "a", "model": "labels"}).json()["model"] == "labels"


@pytest.mark.parametrize("name", HEADS)
def test_a_folder_has_the_tasks_of_its_head(name, model_of, tokenizer, tmp_path):
    model_of(name).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = load_model("x", str(tmp_path))
    assert sorted(model.pipelines) == sorted(HEADS[name][1])
    assert len({id(pipeline.model) for pipeline in model.pipelines.values()}) == 1


@pytest.mark.usefixtures("same_bits")
def test_the_bundled_model_gives_vectors_and_languages(started):
    model = load_model("bundled", None)
    client = Client(build_app(started(model)))
    (row,) = client.get("/v1/models").json()["data"]
    assert row["tasks"] == ["classify", "embeddings"]
    texts = ["Open the file", "Öffnen Sie die Datei"]
    found = client.post("/classify", {"input": texts, "top_k": 1}).json()["data"]
    assert [of_text["labels"][0]["label"] for of_text in found] == ["en", "de"]
    assert found[0]["labels"] == [TextClassifier.from_pretrained()(texts[0])]
    vectors = [row["embedding"] for row in client.post(PATH, {"input": texts}).json()["data"]]
    assert np.array_equal(np.array(vectors, np.float32), Embedder.from_pretrained()(texts))


def test_the_pipelines_of_a_folder_share_the_encoder():
    pipelines = load_model("bundled", None).pipelines
    encoder = pipelines["embeddings"].model.weights
    of_head = pipelines["classify"].model.weights["ernie_m"]
    tables = [w["embeddings"]["word_embeddings"]["weight"] for w in (encoder, of_head)]
    assert np.shares_memory(*tables)


@pytest.mark.filterwarnings("ignore:.*drawn at random", "ignore:.*sentence vectors")
def test_a_folder_of_several_classes_has_the_tasks_of_each(model_of, tokenizer, tmp_path):
    model_of("entities").save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["architectures"] = ["ErnieMModel", "ErnieMForTokenClassification"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    pipelines = load_model("x", str(tmp_path)).pipelines
    assert sorted(pipelines) == ["embeddings", "tag"]
    assert pipelines["embeddings"](["a"]).shape == (1, 12)


def test_models_have_the_names_of_the_command_line(tmp_path):
    folder = tmp_path / "e5"
    folder.mkdir()
    words = ["a=b=c", str(folder), "org/model"]
    assert parse_models(words) == {"a": "b=c", "e5": str(folder), "org/model": "org/model"}
    assert parse_models([]) == {"bundled": None}
    for wrong in (["=x"], ["x="], [""], ["a=b", "a=c"]):
        with pytest.raises(ValueError, match="NAME=FOLDER"):
            parse_models(wrong)


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def test_a_request_needs_one_of_the_keys(serve):
    client = serve(keys=(b"one", b"two"))
    for key in ("one", "two"):
        assert client.post(PATH, {"input": "a"}, headers=bearer(key)).status_code == 200
    wrong = [{}, bearer("three"), bearer(""), bearer("onetwo"), {"Authorization": "Basic one"}]
    for headers in wrong:
        response = client.post(PATH, {"input": "a"}, headers=headers)
        assert code_of(response, 401) == "invalid_api_key"
        assert response.headers["www-authenticate"] == "Bearer"
    for path in ("/v1/models", "/v1/models/bundled", "/metrics"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers=bearer("one")).status_code == 200


def test_health_and_the_description_need_no_key(serve):
    client = serve(keys=(b"one",))
    for path in ("/health", "/health/live", "/health/ready", "/", "/openapi.json"):
        assert client.get(path).status_code == 200


def test_keys_come_from_a_file_and_from_the_environment(tmp_path):
    path = tmp_path / "keys"
    path.write_text("# of the team\nabc\n\n  def  \n", encoding="utf-8")
    assert read_keys(path, {}) == (b"abc", b"def")
    assert read_keys(path, {"ERNIEM_API_KEYS": "ghi, abc"}) == (b"abc", b"def", b"ghi")
    assert read_keys(None, {}) == ()


@pytest.mark.parametrize("content", [b"", b"# none\n", b"\xff\xfe", "schlüssel".encode(), b"a b\n"])
def test_a_file_without_usable_keys_is_refused(tmp_path, content):
    path = tmp_path / "keys"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="key"):
        read_keys(path, {})
    with pytest.raises(ValueError, match="ERNIEM_API_KEYS holds no key"):
        read_keys(None, {"ERNIEM_API_KEYS": " , "})


def test_keys_are_not_shown():
    assert "secret" not in repr(Settings(keys=(b"secret",)))


def test_health_tells_when_a_thread_has_ended(serve):
    client = serve()
    assert client.get("/health").json() == {"status": "ok", "live": True, "ready": True}
    (model,) = client.service.models.values()
    model.runner.stop()
    response = client.get("/health")
    assert response.status_code == 503
    assert response.json()["ready"] is False
    assert client.get("/health/live").status_code == 200
    assert code_of(client.post(PATH, {"input": "a"}), 503) == "unavailable"


def test_metrics_count_requests_texts_and_tokens(serve):
    client = serve()
    tokens = client.post(PATH, {"input": ["Open a file", "b"]}).json()["usage"]["total_tokens"]
    client.post(PATH, {"input": []})
    client.post("/somewhere/else", {})
    lines = client.get("/metrics").text.splitlines()
    assert 'erniem_requests_total{path="/v1/embeddings",status="200"} 1.0' in lines
    assert 'erniem_requests_total{path="/v1/embeddings",status="400"} 1.0' in lines
    assert 'erniem_requests_total{path="other",status="404"} 1.0' in lines
    assert 'erniem_batch_texts_sum{model="bundled"} 2.0' in lines
    assert f'erniem_tokens_total{{model="bundled"}} {tokens + 4.0}' in lines
    assert 'erniem_waiting_texts{model="bundled"} 0.0' in lines
    assert 'erniem_request_seconds_count{path="/v1/embeddings"} 2.0' in lines


def test_the_log_has_a_line_of_each_request_without_its_texts(serve, caplog):
    client = serve(keys=(b"the-key",))
    with caplog.at_level(logging.INFO, "erniem.serving"):
        response = client.post(
            f"{PATH}?q=hidden", {"input": "a secret text"}, headers=bearer("the-key")
        )
    (record,) = caplog.records
    line = json.loads(JsonFormatter().format(record))
    assert line["event"] == "request"
    assert line["request"] == response.headers["x-request-id"]
    assert {k: line[k] for k in ("method", "path", "status", "model", "texts", "tokens")} == {
        "method": "POST",
        "path": PATH,
        "status": 200,
        "model": "bundled",
        "texts": 1,
        "tokens": response.json()["usage"]["total_tokens"],
    }
    assert line["seconds"] > 0
    for hidden in ("secret", "the-key", "hidden"):
        assert hidden not in json.dumps(line)


def test_the_log_tells_of_an_error_where_it_was_not_what_it_says():
    try:
        raise ValueError("a secret text")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("asyncio", 40, "x", 1, "a secret %s", ("text",), info)
    line = JsonFormatter().format(record)
    assert "secret" not in line
    assert json.loads(line)["error"] == "ValueError"
    assert "test_service.py" in json.loads(line)["at"][0]


def test_every_endpoint_is_described():
    document = describe_api(ENDPOINTS, Settings())
    posts = {path for path, methods in document["paths"].items() if "post" in methods}
    assert posts == {
        "/v1/embeddings",
        "/v1/rerank",
        "/v2/rerank",
        "/rerank",
        "/classify",
        "/tag",
        "/answer",
        "/extract",
    }
    assert "security" not in document
    assert describe_api(ENDPOINTS, Settings(keys=(b"k",)))["security"] == [{"key": []}]


def test_every_page_is_described(serve):
    client = serve(keys=(b"k",))
    paths = describe_api(ENDPOINTS, Settings())["paths"]
    found = {}
    for route in client.app.app.routes:
        if "POST" not in route.methods and route.path not in ("/", "/openapi.json"):
            path = route.path.replace("{name:path}", "{name}")
            found[path] = client.get(path.replace("{name}", "bundled"), headers=bearer("k"))
    assert set(found) == {path for path, methods in paths.items() if "get" in methods}
    for path, reply in found.items():
        operation = paths[path]["get"]
        ((media, content),) = operation["responses"]["200"]["content"].items()
        assert reply.headers["content-type"].partition(";")[0] == media
        value = reply.json() if media == "application/json" else reply.text
        check_schema(value, content["schema"], path)
        needs_a_key = client.get(path.replace("{name}", "bundled")).status_code == 401
        assert needs_a_key == ("401" in operation["responses"]) == ("security" not in operation)


def test_health_is_described_where_no_requests_are_taken(serve):
    client = serve()
    client.service.stopping = True
    for path in ("/health", "/health/ready"):
        described = describe_api(ENDPOINTS, Settings())["paths"][path]["get"]["responses"]["503"]
        reply = client.get(path)
        assert reply.status_code == 503
        check_schema(reply.json(), described["content"]["application/json"]["schema"], path)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda e: e.path)
def test_cut_and_warnings_are_described(endpoint):
    schema = endpoint.reply_schema
    if schema["type"] == "array":
        assert "cut" in schema["items"]["properties"]
    else:
        assert {"cut", "warnings"} <= set(schema["properties"])


def test_replies_are_as_they_are_described(serve):
    client = serve("rank", "labels", "entities", "answers", "spans")
    requests = {
        PATH: {"input": ["a", "b"]},
        "/v1/rerank": {"query": "a", "documents": ["b"], "return_documents": True},
        "/rerank": {"query": "a", "texts": ["b"], "return_text": True},
        "/classify": {"input": "a", "model": "labels"},
        "/tag": {"input": "Ada Lovelace"},
        "/answer": {"question": "a", "context": "b c d"},
        "/extract": {"input": "Ada Lovelace", "schema": "a"},
    }
    described = client.get("/openapi.json").json()["paths"]
    for path, body in requests.items():
        content = described[path]["post"]["responses"]["200"]["content"]
        reply = client.post(path, body)
        assert reply.status_code == 200, reply.text
        check_schema(reply.json(), content["application/json"]["schema"], path)


def test_the_page_shows_each_path_and_needs_no_other_host(serve):
    page = serve().get("/")
    assert page.headers["content-type"].startswith("text/html")
    for endpoint in ENDPOINTS:
        assert endpoint.path in page.text
        assert endpoint.summary in unescape(page.text)
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert render_page(describe_api(ENDPOINTS, Settings())) == page.text


WRONG_SETTINGS = [
    ("workers", 0),
    ("threads", 0),
    ("max_body", 0),
    ("max_texts", -1),
    ("batch_tokens", 1.5),
    ("timeout", 0.0),
    ("read_timeout", float("nan")),
    ("write_timeout", 0.0),
    ("batch_wait", -1.0),
    ("on_overflow", "no"),
]


@pytest.mark.parametrize(("name", "value"), WRONG_SETTINGS)
def test_a_wrong_setting_is_named(name, value):
    with pytest.raises(ValueError, match=name):
        Settings(**{name: value})


def test_an_address_that_is_in_use_is_told():
    with open_socket("127.0.0.1", 0) as bound:
        bound.listen()
        with pytest.raises(ValueError, match=r"cannot listen on 127\.0\.0\.1 port"):
            open_socket("127.0.0.1", bound.getsockname()[1])
    with pytest.raises(ValueError, match=r"port 99999 is not in 0\.\.65535"):
        open_socket("127.0.0.1", 99999)


WRONG_COMMANDS = {
    "no such folder": (["--model", "x=/nowhere/at/all"], "/nowhere/at/all"),
    "no name": (["--model", "=x"], "NAME=FOLDER"),
    "no key file": (["--api-keys", "/nowhere"], "/nowhere"),
    "no such host": (["--host", "256.0.0.1"], "cannot listen on 256.0.0.1"),
    "a port that is too large": (["--port", "70000"], "0..65535"),
    "no workers": (["--workers", "0"], "workers"),
}


@pytest.mark.parametrize("name", WRONG_COMMANDS)
def test_a_wrong_command_is_one_line(name, capsys):
    arguments, message = WRONG_COMMANDS[name]
    arguments = arguments if "--port" in arguments else [*arguments, "--port", "0"]
    assert main(["serve", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    lines = [line for line in lines if "no API keys" not in line]
    assert len(lines) == 1
    assert message in lines[0]


def test_a_key_on_the_command_line_is_refused_unseen(capsys):
    with pytest.raises(SystemExit) as error:
        main(["serve", "--api-key", "the-key"])
    assert error.value.code == 2
    told = capsys.readouterr().err
    assert "--api-keys FILE" in told
    assert "the-key" not in told


def test_a_missing_package_is_one_line(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "starlette", None)
    assert main(["serve", "--port", "0"]) == 2
    assert "pip install 'numpy-erniem[serve]'" in capsys.readouterr().err


@pytest.mark.skipif(not (REPOSITORY / "docs").is_dir(), reason="not in a checkout")
def test_the_page_names_every_limit_status_and_path():
    page = (REPOSITORY / "docs" / "serving.md").read_text(encoding="utf-8")
    limits = [f"`--{name.replace('_', '-')}`" for name, *_ in LIMITS]
    paths = [path for endpoint in ENDPOINTS for path in (endpoint.path, *endpoint.aliases)]
    statuses = [f"| {status} |" for status in STATUSES]
    missing = [word for word in (*limits, *paths, *statuses) if word not in page]
    assert not missing
