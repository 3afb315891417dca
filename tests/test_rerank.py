"""A query and texts in, the texts by score out."""

from types import SimpleNamespace

import numpy as np
import pytest

from numpy_erniem import (
    ErnieMConfig,
    ErnieMForSequenceClassification,
    ErnieMTokenizer,
    Reranker,
    bundled_checkpoint,
)

TEXTS = ["Close the file", "打开文件", "Datei öffnen", "", "Open the file"]


@pytest.fixture(scope="module")
def tokenizer():
    return ErnieMTokenizer.from_pretrained(bundled_checkpoint())


@pytest.fixture(scope="module")
def model(tokenizer):
    config = ErnieMConfig(
        vocab_size=len(tokenizer),
        hidden_size=12,
        num_attention_heads=3,
        num_hidden_layers=2,
        intermediate_size=37,
        initializer_range=1.0,
        max_position_embeddings=34,
        num_labels=1,
    )
    return ErnieMForSequenceClassification(config, seed=1)


@pytest.fixture
def reranker(model, tokenizer):
    return Reranker(model, tokenizer)


def logit(model, tokenizer, query, text):
    inputs = tokenizer(query, text, return_tensors="np")
    return float(model(inputs["input_ids"]).logits[0, 0])


def test_a_query_in_an_array_without_an_axis(reranker):
    assert reranker(np.array("open"), ["a", "b"]) == reranker("open", ["a", "b"])


def test_texts_come_by_score_with_their_place(reranker, model, tokenizer, backend):
    want = [logit(model, tokenizer, "open", text) for text in TEXTS]
    results = reranker("open", TEXTS)
    assert [r["index"] for r in results] == sorted(range(5), key=lambda n: -want[n])
    for r in results:
        assert r["text"] == TEXTS[r["index"]]
        assert r["score"] == pytest.approx(want[r["index"]], abs=1e-5)


def test_top_k_keeps_the_best(reranker):
    assert reranker("open", TEXTS, top_k=2) == reranker("open", TEXTS)[:2]
    assert len(reranker("open", TEXTS, top_k=99)) == 5
    with pytest.raises(ValueError, match="top_k 0 is not at least 1"):
        reranker("open", TEXTS, top_k=0)


def constant(*numbers):
    """A model that gives these numbers to the rows, longest first."""
    numbers = iter(numbers)
    config = SimpleNamespace(num_labels=1, max_length=64, pad_token_id=1)

    def model(input_ids, attention_mask):
        return {"logits": np.array([[next(numbers)] for _ in input_ids], np.float32)}

    model.config = config
    return model


def test_equal_scores_keep_the_order_of_the_texts(tokenizer):
    results = Reranker(constant(1, 1, 1), tokenizer)("open", ["a", "b", "c"])
    assert [r["index"] for r in results] == [0, 1, 2]


def test_a_sigmoid_keeps_the_order_where_float32_would_saturate(tokenizer):
    results = Reranker(constant(20, 21, 22), tokenizer)("open", ["a", "b", "c"], scores="sigmoid")
    scores = [r["score"] for r in results]
    assert [r["index"] for r in results] == [2, 1, 0]
    assert scores == pytest.approx([1 / (1 + np.exp(-x)) for x in (22.0, 21.0, 20.0)], rel=1e-15)
    full = Reranker(constant(40, 41, 42), tokenizer)("open", ["a", "b", "c"], scores="sigmoid")
    assert [(r["index"], r["score"]) for r in full] == [(2, 1.0), (1, 1.0), (0, 1.0)]
    low = Reranker(constant(-800.0), tokenizer)("open", ["a"], scores="sigmoid")
    assert low[0]["score"] == 0.0
    with pytest.raises(ValueError, match="scores 'softmax' is not one of logit, sigmoid"):
        Reranker(constant(1), tokenizer)("open", ["a"], scores="softmax")


def test_a_long_text_is_cut_windowed_or_refused_and_the_query_never_cut(reranker, model, tokenizer):
    words = [f"word{n}" for n in range(20)]
    text = " ".join(words)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    query = tokenizer("open", add_special_tokens=False)["input_ids"]
    room = 32 - 4 - len(query)
    parts = [ids[n : n + room] for n in range(0, len(ids), room)]
    scores = [float(model([[0, *query, 2, 2, *part, 2]]).logits[0, 0]) for part in parts]
    assert len(parts) > 1
    with pytest.warns(UserWarning, match="1 of 1 queries have more than 32 tokens"):
        (cut,) = reranker("open", [text])
    assert cut["score"] == pytest.approx(scores[0], abs=1e-5)
    (best,) = reranker("open", [text], on_overflow="window")
    assert best["score"] == pytest.approx(max(scores), abs=1e-5)
    with pytest.raises(ValueError, match="more than the"):
        reranker("open", [text], on_overflow="error")
    with pytest.raises(ValueError, match="leaves no room"):
        reranker(text, ["a"])


def test_a_model_with_several_labels_is_refused(tokenizer):
    config = SimpleNamespace(num_labels=3, max_length=64, pad_token_id=1)
    with pytest.raises(ValueError, match="the model has 3 labels; a reranker has one"):
        Reranker(SimpleNamespace(config=config), tokenizer)("open", ["a"])


@pytest.mark.parametrize(
    ("query", "texts", "error", "message"),
    [
        ("open", [], ValueError, "texts is empty"),
        ("open", "a", TypeError, "texts is one str; give a list"),
        ("open", ["a", None], TypeError, r"texts\[1\] is a NoneType"),
        (3, ["a"], TypeError, "query is a int"),
    ],
)
def test_bad_input_is_named(query, texts, error, message, reranker):
    with pytest.raises(error, match=message):
        reranker(query, texts)


@pytest.mark.usefixtures("same_bits")
def test_many_queries_are_a_stream(reranker):
    items = [{"query": q, "texts": TEXTS} for q in ("open", "close", "打开")]
    assert list(reranker.stream(iter(items))) == [reranker(**item) for item in items]
    with pytest.raises(TypeError, match=r"queries\[0\] is not"):
        list(reranker.stream(["open"]))
