"""What every pipeline does: order, streams, errors, options, pickles, batches, windows."""

import copy
import itertools
import pickle
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpy_erniem.checkpoint.hub import bundled_checkpoint
from numpy_erniem.pipelines import streaming
from numpy_erniem.pipelines.base import Pipeline
from numpy_erniem.pipelines.embed import Embedder
from numpy_erniem.pipelines.packing import cut_batches, run_rows
from numpy_erniem.pipelines.streaming import Prepared
from numpy_erniem.pipelines.tokens import take_ranges
from numpy_erniem.pipelines.windows import best_window, cut_windows


class Model:
    """Any callable with a config: twice each id for a token, their sum for a text."""

    config = SimpleNamespace(pad_token_id=1, max_length=8)

    def __init__(self):
        self.shapes = []

    def __call__(self, input_ids, attention_mask, **arguments):
        self.shapes.append(input_ids.shape)
        assert (input_ids[attention_mask == 0] == 1).all()
        return {
            "doubled": 2 * input_ids,
            "total": (input_ids * attention_mask).sum(axis=1),
            "kept": (input_ids, 3 * input_ids),
        }


TOKENIZER = SimpleNamespace(truncation_side="right")


class Lengths(Pipeline[int]):
    """For each text the sum of its characters' codes, by the model."""

    text_outputs = ("total",)

    def __init__(self, model, tokenizer, *, factor=1, batch_tokens=8, on_overflow="error"):
        super().__init__(model, tokenizer, batch_tokens=batch_tokens, on_overflow=on_overflow)
        self.factor = factor

    def prepare(self, items):
        prepared = []
        for text in items:
            ranges, cut = take_ranges(self.tokenizer, len(text), self.longest, self.on_overflow)
            rows = [[ord(c) for c in text[r.start : r.stop]] or [0] for r in ranges]
            prepared.append(Prepared(rows, len(text), cut))
        return prepared

    def finish(self, item, prepared, outputs):
        return self.factor * int(sum(output["total"] for output in outputs))


def want(text):
    return sum(map(ord, text))


@pytest.fixture
def pipeline():
    return Lengths(Model(), TOKENIZER)


TEXTS = ["abc", "z", "hello", "", "ab", "abcdefgh"] * 9


def test_results_come_in_the_order_of_the_items(pipeline):
    assert pipeline(TEXTS) == [want(text) for text in TEXTS]
    assert list(pipeline.stream(iter(TEXTS))) == [want(text) for text in TEXTS]


def test_one_item_gives_one_result(pipeline):
    assert pipeline("abc") == want("abc")
    with pytest.raises(TypeError, match="texts is one item; give an iterable"):
        pipeline.stream("abc")


def test_a_stream_gives_results_before_everything_is_read(pipeline):
    read = []
    results = pipeline.stream(read.append(n) or "ab" for n in range(10**6))
    assert next(results) == want("ab")
    assert len(read) == streaming.READ_AHEAD[0]


def test_a_stream_reads_at_most_a_window_ahead(pipeline):
    read = []
    results = pipeline.stream(read.append(n) or "ab" for n in range(10**6))
    for done in range(1, 5000):
        next(results)
        assert len(read) <= done + streaming.READ_AHEAD[1]


def test_long_items_are_not_read_far_ahead(pipeline, monkeypatch):
    monkeypatch.setattr(streaming, "READ_AHEAD_CHARACTERS", 20)
    read = []
    next(pipeline.stream(read.append(n) or "abcdefgh" for n in range(100)))
    assert len(read) == 3


@pytest.mark.parametrize("wrong", [3, "nine chars"])
def test_results_before_a_wrong_item_are_given_and_then_its_error(wrong, pipeline):
    results = pipeline.stream(["ab", "c", wrong, "d"])
    assert [next(results), next(results)] == [want("ab"), want("c")]
    with pytest.raises((TypeError, ValueError), match=r"texts\[2\]"):
        next(results)


def test_results_before_a_reading_error_are_given_and_then_the_error(pipeline):
    def texts():
        yield from ("ab", "c")
        raise OSError("the disk is gone")

    results = pipeline.stream(texts())
    assert [next(results), next(results)] == [want("ab"), want("c")]
    with pytest.raises(OSError, match="the disk is gone"):
        next(results)


def test_outcomes_tell_of_each_item_what_became_of_it(pipeline):
    outcomes = list(pipeline.outcomes(["ab", None, "nine chars", "c"]))
    assert [o.result for o in outcomes] == [want("ab"), None, None, want("c")]
    assert [type(o.error) for o in outcomes] == [type(None), TypeError, ValueError, type(None)]
    assert "10 tokens are more than the 8" in str(outcomes[2].error)
    cut = next(iter(pipeline.outcomes(["nine chars"], on_overflow="cut")))
    assert (cut.result, cut.tokens, cut.cut) == (want("nine cha"), 10, 2)


def test_what_is_too_long_is_windowed_cut_or_refused(pipeline):
    assert pipeline("nine chars", on_overflow="window") == want("nine chars")
    with pytest.warns(UserWarning, match="1 of 2 texts have more than 8 tokens .* end.* text 1"):
        assert pipeline(["a", "nine chars"], on_overflow="cut") == [97, want("nine cha")]
    with pytest.raises(ValueError, match="10 tokens are more than the 8"):
        pipeline("nine chars")
    with pytest.raises(ValueError, match="on_overflow 'split' is not one of window, cut, error"):
        pipeline("a", on_overflow="split")


def test_an_option_of_a_call_holds_for_that_call(pipeline):
    assert pipeline("a", factor=3) == 3 * 97
    assert pipeline("a") == 97
    assert pipeline.with_options(factor=2)("a") == 2 * 97
    assert list(pipeline.stream(["a"], factor=2)) == [2 * 97]
    with pytest.raises(TypeError, match="no option 'factr'; did you mean 'factor'"):
        pipeline("a", factr=3)
    with pytest.raises(ValueError, match="batch_tokens 0 is not at least 1"):
        pipeline("a", batch_tokens=0)


def test_progress_is_told_after_every_batch(pipeline):
    seen = []
    pipeline(["abcdefgh", "abc", "ab"], progress=lambda *pair: seen.append(pair))
    assert seen == [(1, 3), (3, 3)]


def test_no_items_are_an_error_of_a_call_and_an_empty_stream(pipeline):
    with pytest.raises(ValueError, match="texts is empty; give at least one text"):
        pipeline([])
    assert list(pipeline.stream([])) == []


def test_a_foreign_model_gets_padded_batches_and_its_outputs_come_back_row_by_row():
    model = Model()
    rows = [[5, 6], [7], [2, 3, 4]]
    outputs = run_rows(
        model, rows, token_outputs=("doubled", "kept.1"), text_outputs=("total",), batch_tokens=6
    )
    assert model.shapes == [(2, 3), (1, 1)]
    for row, output in zip(rows, outputs, strict=True):
        np.testing.assert_array_equal(output["doubled"], [2 * i for i in row])
        np.testing.assert_array_equal(output["kept.1"], [3 * i for i in row])
        assert output["total"] == sum(row)


def test_batch_size_bounds_the_rows_of_a_batch():
    model = Model()
    run_rows(model, [[5]] * 5, text_outputs=("total",), batch_tokens=100, batch_size=2)
    assert model.shapes == [(2, 1), (2, 1), (1, 1)]


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 50), st.booleans())
def test_batches_have_every_row_once_and_keep_to_the_budget(lengths, most, padded):
    batches = [b.tolist() for b in cut_batches(lengths, most, padded=padded)]
    assert sorted(r for b in batches for r in b) == list(range(len(lengths)))
    for batch in batches:
        sizes = [lengths[r] for r in batch]
        tokens = len(sizes) * max(sizes) if padded else sum(sizes)
        assert tokens <= most or len(batch) == 1
    longest_first = [lengths[r] for b in batches for r in b]
    assert longest_first == sorted(lengths, reverse=True)


@given(st.integers(0, 300), st.integers(1, 40), st.data())
def test_windows_cover_every_token_and_overlap_as_asked(length, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    windows = cut_windows(length, size, overlap)
    assert windows[0].start == 0
    assert windows[-1].stop == length
    assert all(len(w) <= size for w in windows)
    for a, b in itertools.pairwise(windows):
        assert a.stop - b.start == overlap
        assert b.stop > a.stop
    best = best_window(length, windows)
    for token, n in enumerate(best):
        edges = [min(token - w.start, w.stop - 1 - token) if token in w else -1 for w in windows]
        assert n == np.argmax(edges)


def test_an_overlap_as_large_as_a_window_is_refused():
    with pytest.raises(ValueError, match=r"overlap of 4 tokens is not in 0\.\.3"):
        cut_windows(9, 4, 4)


def test_a_pipeline_from_a_folder_pickles_as_its_path_and_options():
    embedder = Embedder.from_pretrained(pooling="cls")
    small = pickle.dumps(embedder)
    assert len(small) < 1000
    again, third = pickle.loads(small), pickle.loads(small)
    assert again.pooling == "cls"
    assert again.model is third.model
    np.testing.assert_array_equal(again(["a", "b"]), embedder(["a", "b"]))


def test_a_pipeline_with_another_model_pickles_whole():
    embedder = Embedder.from_pretrained()
    other = Embedder(embedder.model, embedder.tokenizer, embedder.settings)
    again = pickle.loads(pickle.dumps(other))
    assert again.model is not other.model
    np.testing.assert_array_equal(again(["a"]), other(["a"]))


def test_copies_share_the_model():
    embedder = Embedder.from_pretrained()
    for other in (copy.copy(embedder), copy.deepcopy(embedder), embedder.with_options()):
        assert other is not embedder
        assert other.model is embedder.model


def test_a_checkpoint_without_the_head_is_refused_by_name():
    class Classifier(Lengths):
        model_class = "ErnieMForTokenClassification"
        checkpoints = "some/checkpoint"

    with pytest.raises(
        ValueError, match=r"no head for it; Classifier needs an .*Token.*, such as some/check"
    ):
        Classifier.from_pretrained()


def test_a_checkpoint_of_another_family_is_refused_with_the_remedy(tmp_path):
    class Classifier(Lengths):
        model_class = "ErnieMForSequenceClassification"

    config = '{"model_type": "xlm-roberta", "architectures": ["XLMRobertaForTokenClassification"]}'
    (tmp_path / "config.json").write_text(config)
    shutil.copy(bundled_checkpoint() / "model.safetensors", tmp_path)
    shutil.copy(bundled_checkpoint() / "sentencepiece.bpe.model", tmp_path)
    with pytest.raises(ValueError, match="'xlm-roberta' is not 'ernie_m'; `erniem convert` makes"):
        Classifier.from_pretrained(tmp_path)


@pytest.mark.parametrize("model", ["folder", None, TOKENIZER])
def test_what_is_no_model_is_refused_with_the_remedy(model):
    with pytest.raises(TypeError, match=r"has no config; give a model, or load a folder with Len"):
        Lengths(model, TOKENIZER)("a")


def test_settings_of_another_type_are_refused():
    loaded = Embedder.from_pretrained()
    with pytest.raises(TypeError, match="settings is a str, not SentenceSettings"):
        Embedder(loaded.model, loaded.tokenizer, "cls")("a")


def test_from_pretrained_checks_options_before_it_loads(tmp_path):
    with pytest.raises(TypeError, match="no option 'poling'; did you mean 'pooling'"):
        Embedder.from_pretrained(tmp_path / "nowhere", poling="cls")


def test_a_spawned_process_loads_the_model_once():
    code = (
        "import pickle, sys; data = sys.stdin.buffer.read();"
        "a, b = pickle.loads(data), pickle.loads(data); print(a.model is b.model, a('x').shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(Embedder.from_pretrained()),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().strip() == "True (128,)"
