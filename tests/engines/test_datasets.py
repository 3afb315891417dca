"""Every pipeline over batches as `ray.data.Dataset.map_batches` gives them; without Ray."""

import numpy as np
import pytest

from numpy_erniem import (
    ChoiceRanker,
    Embedder,
    ErnieMConfig,
    ErnieMForInformationExtraction,
    ErnieMForMaskedLM,
    ErnieMForMultipleChoice,
    ErnieMForQuestionAnswering,
    ErnieMForSequenceClassification,
    ErnieMForTokenClassification,
    ErnieMModel,
    HybridEmbedder,
    InformationExtractor,
    MaskFiller,
    QuestionAnswerer,
    Reranker,
    TextClassifier,
    TokenTagger,
    ZeroShotClassifier,
    get_num_threads,
    set_num_threads,
)
from numpy_erniem.engines.datasets import MapPipeline

SIZES = {
    "hidden_size": 12,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "intermediate_size": 37,
    "initializer_range": 1.0,
}
NLI = {"id2label": {0: "contradiction", 1: "neutral", 2: "entailment"}}
CLASSES = {Reranker: 1, QuestionAnswerer: 2}  # of heads that have not as many as they like
TEXTS = ["Open the file", "Close it", "Who was it?"]
MORE = ["The file", "It is late", "Nobody"]
LISTS = [["a", "b"], ["open", "close", "c"], ["x", "y"]]
PIPELINES = [  # class, class of its model, options, columns of the items
    (Embedder, ErnieMModel, {}, "text"),
    (TextClassifier, ErnieMForSequenceClassification, {}, ("text", "more")),
    (ZeroShotClassifier, ErnieMForSequenceClassification, {"labels": ["a", "b"]}, "text"),
    (Reranker, ErnieMForSequenceClassification, {}, {"query": "text", "texts": "lists"}),
    (ChoiceRanker, ErnieMForMultipleChoice, {}, {"prompt": "text", "choices": "lists"}),
    (InformationExtractor, ErnieMForInformationExtraction, {"schema": ["name"]}, "text"),
    (MaskFiller, ErnieMForMaskedLM, {}, "masked"),
    (TokenTagger, ErnieMForTokenClassification, {}, "text"),
    (QuestionAnswerer, ErnieMForQuestionAnswering, {}, {"question": "text", "context": "more"}),
]


@pytest.fixture(scope="module")
def tokenizer():
    return Embedder.from_pretrained().tokenizer


def batch():
    lists = np.empty(3, object)
    for n, value in enumerate(LISTS):
        lists[n] = np.array(value, object)
    columns = {"text": TEXTS, "more": MORE, "masked": [f"{t} [MASK]" for t in TEXTS]}
    return {name: np.array(v, object) for name, v in columns.items()} | {"lists": lists}


@pytest.mark.parametrize(("kind", "model", "options", "column"), PIPELINES)
def test_every_pipeline_gives_what_it_gives_by_itself(kind, model, options, column, tokenizer):
    labels = NLI if kind is ZeroShotClassifier else {"num_labels": CLASSES.get(kind, 3)}
    network = model(ErnieMConfig(vocab_size=len(tokenizer), **SIZES, **labels), seed=1)
    pipeline = kind(network, tokenizer, **options)
    rows = batch()
    if isinstance(column, str):
        items = list(rows[column])
    elif isinstance(column, tuple):
        items = list(zip(*(rows[name] for name in column), strict=True))
    else:
        items = [{k: rows[c][n] for k, c in column.items()} for n in range(3)]
    want = [outcome.result for outcome in pipeline.outcomes(items)]
    got = MapPipeline(pipeline, column)(rows)
    assert list(got) == [*rows, "result"]
    for found, wanted in zip(got["result"], want, strict=True):
        np.testing.assert_equal(found, wanted)


def test_a_hybrid_embedder_keeps_its_outputs(tokenizer):
    model = ErnieMModel(ErnieMConfig(vocab_size=len(tokenizer), **SIZES), seed=1)
    pipeline = HybridEmbedder(model, tokenizer, outputs=("dense",))
    got = MapPipeline(pipeline)(batch())["result"]
    np.testing.assert_array_equal(got[1]["dense"], pipeline(TEXTS[1])["dense"])


def wrong():
    return {"text": np.array(["Open", None, "Close"], object), "n": np.arange(3)}


def test_a_wrong_row_stops_is_left_out_or_told():
    embedder = Embedder.from_pretrained()
    with pytest.raises((TypeError, ValueError), match=r"texts\[1\]"):
        MapPipeline(embedder)(wrong())
    skipped = MapPipeline(embedder, on_error="skip")(wrong())
    assert skipped["n"].tolist() == [0, 2]
    assert skipped["result"].shape == (2, 128)
    told = MapPipeline(embedder, on_error="row", result="vector")(wrong())
    assert [bool(error) for error in told["error"]] == [False, True, False]
    assert np.isnan(told["vector"][1]).all()
    assert told["vector"].dtype == np.float32


@pytest.mark.parametrize("columns", [{"text": np.array([], object)}, {}])
@pytest.mark.parametrize("on_error", ["stop", "skip", "row"])
def test_a_batch_without_rows_has_no_results(columns, on_error):
    got = MapPipeline(Embedder.from_pretrained(), on_error=on_error)(columns)
    assert list(got) == [*columns, "result", *(["error"] if on_error == "row" else [])]
    assert got["result"].shape == (0, 128)
    assert {len(values) for values in got.values()} == {0}


def test_texts_that_are_cut_are_told():
    embed = MapPipeline(Embedder.from_pretrained(), on_error="row")
    long = np.array(["file " * 3000, None, "Open"], object)
    with pytest.warns(UserWarning, match=r"texts with more than \d+ tokens were cut"):
        embed({"text": long})


def test_texts_that_are_not_cut_have_no_warning(recwarn):
    MapPipeline(Embedder.from_pretrained())(batch())
    assert not recwarn.list


def test_threads_are_set_in_the_process():
    before = get_num_threads()
    try:
        MapPipeline(Embedder.from_pretrained(), threads=1)
        assert get_num_threads() == 1
    finally:
        set_num_threads(before)


def test_wrong_options_and_columns_are_told():
    embedder = Embedder.from_pretrained()
    with pytest.raises(ValueError, match="on_error 'row_' is not one of stop, skip, row"):
        MapPipeline(embedder, on_error="row_")
    for column in ((), [], {}):
        with pytest.raises(ValueError, match="names no column"):
            MapPipeline(embedder, column)
    for column in (3, None, ("text", 3), {"query": None}, {"text"}):
        with pytest.raises(TypeError, match="is no name; give one, a list of names, or a dict"):
            MapPipeline(embedder, column)
    with pytest.raises(ValueError, match="there is no column 'body'; there are text"):
        MapPipeline(embedder, "body")(batch())
    with pytest.raises(ValueError, match="has a column 'more' already; name another result"):
        MapPipeline(embedder, result="more")(batch())
    with pytest.raises(TypeError, match="the batch is a list; leave batch_format"):
        MapPipeline(embedder)([])
