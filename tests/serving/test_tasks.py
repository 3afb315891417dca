"""The other endpoints give what the pipelines give, with the options of a request."""

import logging
import warnings

import pytest

from numpy_erniem.serving import text_tasks
from numpy_erniem.serving.notes import keep_warnings
from numpy_erniem.serving.text_tasks import MOST_NAMES

pytestmark = pytest.mark.usefixtures("same_bits")
TEXTS = ["Open a file", "打开文件", "Ada Lovelace was born in London"]


def data(response):
    assert response.status_code == 200, response.text
    rows = response.json()["data"]
    assert [row["index"] for row in rows] == list(range(len(rows)))
    return rows


@pytest.fixture
def ranked(pipelines_of):
    def rank(query, texts, **options):
        return pipelines_of("rank")["rerank"](query, texts, **options)

    return rank


RERANK = {"query": "open", "documents": TEXTS}


def test_rerank_has_the_order_and_the_scores_of_the_reranker(serve, ranked):
    body = serve("rank").post("/v1/rerank", RERANK).json()
    want = ranked("open", TEXTS, scores="sigmoid")
    assert [(r["index"], r["relevance_score"]) for r in body["results"]] == [
        (r["index"], r["score"]) for r in want
    ]
    assert body["model"] == "rank"
    assert "document" not in body["results"][0]


def test_rerank_takes_the_options_of_its_clients(serve, ranked):
    documents = [{"text": text, "id": n} for n, text in enumerate(TEXTS)]
    more = {"documents": documents, "top_n": 2, "return_documents": True, "raw_scores": True}
    body = serve("rank").post("/v2/rerank", RERANK | more).json()
    want = ranked("open", TEXTS, top_k=2)
    assert body["results"] == [
        {"index": r["index"], "relevance_score": r["score"], "document": {"text": r["text"]}}
        for r in want
    ]


def test_rerank_counts_the_tokens_that_the_model_reads(serve, tokenizer):
    rows = [len(tokenizer("open", text)["input_ids"]) for text in TEXTS]
    body = serve("rank").post("/v1/rerank", RERANK).json()
    assert body["usage"] == {"total_tokens": sum(rows)}


def test_rerank_has_the_form_of_tei_on_its_path(serve, ranked):
    request = {"query": "open", "texts": TEXTS, "return_text": True, "raw_scores": True}
    body = serve("rank").post("/rerank", request).json()
    assert body == ranked("open", TEXTS)


def test_rerank_of_a_long_text_is_an_error_or_cuts_it(serve):
    client, long = serve("rank"), {"query": "open", "texts": ["a", "file " * 99]}
    response = client.post("/rerank", long)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "texts[1]"
    rows = client.post("/rerank", long | {"truncate": True}).json()
    assert {row["index"]: row.get("cut") for row in rows} == {0: None, 1: True}
    response = client.post("/rerank", long | {"truncate": False, "on_overflow": "cut"})
    assert response.status_code == 400
    response = client.post(
        "/v1/rerank", RERANK | {"documents": long["texts"], "on_overflow": "cut"}
    )
    assert response.json()["cut"] == [1]


def test_classify_gives_all_labels(serve, pipelines_of):
    classifier = pipelines_of("labels")["classify"]
    rows = data(serve("labels").post("/classify", {"input": TEXTS}))
    assert [row["labels"] for row in rows] == classifier(TEXTS, top_k=None)


def test_classify_takes_pairs_and_options(serve, pipelines_of):
    classifier = pipelines_of("labels")["classify"]
    pair = {"text": "Open it", "text_pair": "Close it"}
    body = {"input": [pair | {"id": 7}, "alone"], "top_k": 1, "function": "sigmoid"}
    rows = data(serve("labels").post("/classify", body))
    want = classifier([("Open it", "Close it"), "alone"], top_k=1, function="sigmoid")
    assert [row["labels"] for row in rows] == [[label] for label in want]
    (row,) = data(serve("labels").post("/classify", {"input": pair}))
    assert row["labels"] == classifier(("Open it", "Close it"), top_k=None)


@pytest.mark.parametrize(
    "options", [{}, {"aggregation": "max", "ignore_labels": []}, {"stride": 2}]
)
def test_tag_gives_the_entities_of_the_tagger(serve, pipelines_of, options):
    texts = [*TEXTS, "Ada Lovelace was born in London " * 9]
    rows = data(serve("entities").post("/tag", {"input": texts, **options}))
    assert [row["entities"] for row in rows] == pipelines_of("entities")["tag"](texts, **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_k": 2, "max_answer_len": 3},
        {"handle_impossible_answer": True, "top_k": 3},
        {"max_seq_len": 16, "doc_stride": 4},
    ],
)
def test_answer_gives_the_answers_of_the_answerer(serve, pipelines_of, options):
    question = {"question": "Who?", "context": TEXTS[2] * 4}
    answerer = pipelines_of("answers")["answer"]
    want = answerer([question] * 2, **options)
    want = [answers if isinstance(answers, list) else [answers] for answers in want]
    client = serve("answers")
    rows = data(client.post("/answer", {"input": [question, question | {"id": 1}], **options}))
    assert [row["answers"] for row in rows] == want
    (row,) = data(client.post("/answer", {**question, **options}))
    assert row["answers"] == want[0]


@pytest.mark.parametrize(
    "options",
    [{}, {"threshold": 0.4, "language": "zh"}, {"max_length": 24, "cut_at_sentences": False}],
)
def test_extract_gives_what_the_extractor_finds(serve, pipelines_of, options):
    schema = ["Person", {"Place": "Time"}]
    extractor = pipelines_of("spans")["extract"]
    rows = data(serve("spans").post("/extract", {"input": TEXTS, "schema": schema, **options}))
    assert [row["result"] for row in rows] == extractor(TEXTS, schema=schema, **options)


WRONG = {
    "rerank without documents": ("/v1/rerank", {"query": "a"}, "documents"),
    "rerank of nothing": ("/v1/rerank", {"query": "a", "documents": []}, "documents"),
    "a document without text": ("/v1/rerank", {"query": "a", "documents": [{}]}, "documents[0]"),
    "top_n 0": ("/v1/rerank", RERANK | {"top_n": 0}, "top_n"),
    "a pair of one": ("/classify", {"input": {"text": "a"}, "model": "labels"}, "input"),
    "another function": (
        "/classify",
        {"input": "a", "model": "labels", "function": "x"},
        "function",
    ),
    "a stride that is too long": ("/tag", {"input": "a", "stride": 99}, "stride"),
    "no label": ("/tag", {"input": "a", "ignore_labels": ["X"]}, "ignore_labels"),
    "no context": ("/answer", {"input": {"question": "a"}}, "input"),
    "an empty context": ("/answer", {"question": "a", "context": " "}, "input"),
    "a question that is too long": ("/answer", {"question": "a b " * 40, "context": "a"}, "input"),
    "no schema": ("/extract", {"input": "a"}, "schema"),
    "an empty schema": ("/extract", {"input": "a", "schema": []}, "schema"),
    "a name twice": ("/extract", {"input": "a", "schema": ["a", "a"]}, "schema"),
    "threshold 2": ("/extract", {"input": "a", "schema": "a", "threshold": 2}, "threshold"),
    "many names": (
        "/extract",
        {"input": "a", "schema": [str(n) for n in range(MOST_NAMES + 1)]},
        "schema",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_told_what_is_wrong(serve, name):
    path, body, param = WRONG[name]
    response = serve("rank", "labels", "entities", "answers", "spans").post(path, body)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"].startswith(param)


def test_what_the_pipeline_warns_of_is_told_to_its_client_alone(serve, caplog):
    client = serve("spans")
    body = {"input": TEXTS, "schema": {"a": "b " * 40}, "threshold": 0.0}
    with warnings.catch_warnings(), caplog.at_level(logging.INFO, "erniem.serving"):
        keep_warnings()
        told = client.post("/extract", body).json()["warnings"]
        assert "warnings" not in client.post("/extract", {"input": TEXTS, "schema": "a"}).json()
    assert any("is not asked" in note for note in told)
    assert "is not asked" not in caplog.text
    assert all(set(record.fields) >= {"status"} for record in caplog.records)


def test_other_warnings_go_to_the_log_without_what_they_say(caplog):
    with warnings.catch_warnings(), caplog.at_level(logging.INFO, "erniem.serving"):
        keep_warnings()
        warnings.warn("a secret text", UserWarning, stacklevel=1)
    (record,) = caplog.records
    assert record.fields["category"] == "UserWarning"
    assert "secret" not in str(record.fields) + record.getMessage()


def test_a_schema_that_leads_to_too_many_questions_is_refused(serve, monkeypatch):
    monkeypatch.setattr(text_tasks, "MOST_QUESTIONS", 5)
    body = {"input": TEXTS, "schema": {"a": ["b", "c"]}, "threshold": 0.0}
    response = serve("spans").post("/extract", body)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "too_many_questions"
