"""Texts in, vectors out, in Python."""

import re
import shutil
from collections.abc import Sequence

import numpy as np
import pytest

from numpy_erniem import (
    ErnieMModel,
    ErnieMTokenizer,
    bundled_checkpoint,
    embed,
)
from numpy_erniem.checkpoint.folder import read_folder, write_folder
from numpy_erniem.checkpoint.sentence_settings import SentenceSettings
from numpy_erniem.pipelines import embed as module
from numpy_erniem.pipelines import progress
from numpy_erniem.pipelines.embed import Embedder
from numpy_erniem.pipelines.packing import cut_batches

TEXTS = ["Open a file", "Datei öffnen, bitte sofort", "打开文件", "", "Откройте файл 2020 года"]


@pytest.fixture(scope="module")
def embedder():
    return Embedder.from_pretrained()


def one_by_one(text, pooling):
    """The same by hand: one text, no batch."""
    folder = bundled_checkpoint()
    tokenizer, model = ErnieMTokenizer.from_pretrained(folder), ErnieMModel.from_pretrained(folder)
    output = model(tokenizer(text, return_tensors="np")["input_ids"].reshape(1, -1))
    return {
        "mean": output.last_hidden_state[0].mean(axis=0),
        "cls": output.last_hidden_state[0, 0],
        "pooler": output.pooler_output[0],
    }[pooling]


@pytest.mark.parametrize("pooling", ["mean", "cls", "pooler"])
def test_a_batch_gives_what_single_texts_give(pooling, embedder, backend, close):
    vectors = embedder(TEXTS, pooling=pooling)
    for text, vector in zip(TEXTS, vectors, strict=True):
        close(vector, one_by_one(text, pooling), "primitive", text)


@pytest.mark.parametrize("batch_tokens", [1, 9, 20, 4096])
def test_results_come_in_input_order_for_every_batch_size(batch_tokens, embedder, close):
    close(embedder(TEXTS, batch_tokens=batch_tokens), embedder(TEXTS), "primitive")


def test_batch_size_bounds_the_texts_of_a_batch(embedder, close):
    seen = []
    vectors = embedder(TEXTS, batch_size=2, progress=lambda done, _: seen.append(done))
    assert seen == [2, 4, 5]
    close(vectors, embedder(TEXTS), "primitive")
    with pytest.raises(ValueError, match="batch_size 0 is not at least 1"):
        embedder(TEXTS, batch_size=0)


def test_batches_hold_similar_lengths_and_at_most_the_tokens_given():
    lengths = [3, 9, 4, 9, 1, 30]
    batches = [b.tolist() for b in cut_batches(lengths, 20, padded=True)]
    assert batches == [[5], [1, 3], [2, 0, 4]]


def test_normalize_gives_length_one(embedder):
    vectors = embedder(TEXTS, normalize=True)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert abs(np.linalg.norm(embedder(TEXTS), axis=1) - 1).min() > 0.1


def test_prompt_is_put_before_every_text(embedder, close):
    close(embedder(["a b"], prompt="query: "), embedder(["query: a b"]), "exact")


@pytest.fixture
def prompted(embedder):
    """An embedder whose checkpoint records prompts."""
    prompts = {"query": "q: ", "none": ""}
    settings = SentenceSettings(prompts=prompts, default_prompt_name="query")
    return Embedder(embedder.model, embedder.tokenizer, settings)


def test_prompt_name_chooses_a_recorded_prompt(prompted, embedder, close):
    close(prompted(["a"]), embedder(["q: a"]), "exact")
    close(prompted(["a"], prompt_name="query"), embedder(["q: a"]), "exact")
    close(prompted(["a"], prompt_name="none"), embedder(["a"]), "exact")


def test_a_prompt_may_be_called_like_a_name_and_be_empty(prompted, embedder, close):
    close(prompted(["a"], prompt="query"), embedder(["querya"]), "exact")
    close(prompted(["a"], prompt=""), embedder(["a"]), "exact")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt_name": "quary"}, "'quary' is not recorded; did you mean 'query'?"),
        ({"prompt_name": "query", "prompt": "q: "}, "both given"),
    ],
)
def test_a_prompt_that_cannot_be_chosen_is_named(options, message, prompted):
    with pytest.raises(ValueError, match=re.escape(message)):
        prompted(["a"], **options)


def test_a_checkpoint_without_prompts_has_no_names(embedder):
    with pytest.raises(ValueError, match="records no prompts"):
        embedder(["a"], prompt_name="query")


def test_a_text_longer_than_the_model_takes_is_cut_with_a_warning(embedder, close):
    text = "file " * 600
    with pytest.warns(UserWarning, match="1 of 2 texts have more than 512 tokens .* text 1"):
        vectors = embedder(["short", text])
    ids = embedder.tokenizer(text, verbose=False)["input_ids"]
    want = embedder.model([ids[:511] + ids[-1:]]).last_hidden_state.mean(axis=1)
    close(vectors[1:], want, "primitive")


def test_a_pad_token_that_stands_in_a_text_is_a_token_like_others(embedder, backend, close):
    inputs = embedder.tokenizer("Open [PAD] the file", return_tensors="np")
    assert 1 in inputs["input_ids"]
    want = embedder.model(**inputs).last_hidden_state.mean(axis=1)
    close(embedder(["Open [PAD] the file"]), want, "primitive")


def test_progress_is_told_of_every_batch(embedder):
    seen = []
    embedder(TEXTS, batch_tokens=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n, 5) for n in range(1, 6)]


def test_embed_loads_the_checkpoint_it_is_given(tmp_path, close):
    close(embed(TEXTS, bundled_checkpoint()), embed(TEXTS), "exact")
    with pytest.raises(FileNotFoundError):
        embed(TEXTS, tmp_path / "nowhere")


@pytest.fixture
def copy(tmp_path):
    """A copy of the bundled checkpoint."""
    return shutil.copytree(bundled_checkpoint(), tmp_path / "copy")


@pytest.mark.parametrize("file", ["sentencepiece.bpe.model", "config.json"])
def test_a_file_that_either_thread_misses_is_named(file, copy):
    (copy / file).unlink()
    with pytest.raises(FileNotFoundError, match=file):
        Embedder.from_pretrained(copy)


def test_a_warning_about_the_weights_comes_through(copy):
    flat = {name: t.numpy().copy() for name, t in read_folder(copy).items()}
    flat["ernie_m.embeddings.layer_norm.bias"][3] = np.nan
    write_folder(copy, flat)
    with pytest.warns(
        UserWarning, match=r"NaN or infinite weights in embeddings\.layer_norm\.bias"
    ):
        Embedder.from_pretrained(copy)


def test_loading_packs_the_weights_for_the_kernels(backend):
    embedder = Embedder.from_pretrained()
    weight = embedder.model.weights["encoder"]["layers"][0]["linear1"]["weight"]
    assert (weight.base.kept is not None) == (backend == "native")


@pytest.mark.parametrize(
    ("texts", "options", "error", "message"),
    [
        ([], {}, ValueError, "texts is empty"),
        (b"one", {}, TypeError, "texts is bytes; decode it"),
        (["a", 3], {}, TypeError, r"texts\[1\] is a int"),
        ([None], {}, TypeError, r"texts\[0\] is a NoneType"),
        (["a"], {"pooling": "first"}, ValueError, "'first' is not one of mean, cls, max"),
        (["a"], {"batch_tokens": 0}, ValueError, "batch_tokens 0"),
    ],
)
def test_bad_input_is_named(texts, options, error, message):
    with pytest.raises(error, match=message):
        embed(texts, **options)


def test_pooler_of_a_checkpoint_without_one_is_named(embedder):
    with pytest.warns(UserWarning, match=r"not used: ernie_m\.pooler"):
        headless = ErnieMModel.from_pretrained(bundled_checkpoint(), add_pooling_layer=False)
    with pytest.raises(ValueError, match="no pooler"):
        module.Embedder(headless, embedder.tokenizer)(["a"], pooling="pooler")


def test_the_warning_about_long_texts_names_the_callers_line(embedder):
    with pytest.warns(UserWarning, match="cut at their end") as caught:
        embedder(["file " * 600])
    assert [w.filename for w in caught] == [__file__]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_long_text_is_tokenized_once_and_cut_as_the_tokenizer_cuts(side, embedder, monkeypatch):
    tokenizer = ErnieMTokenizer.from_pretrained(bundled_checkpoint(), truncation_side=side)
    text = " ".join(f"{n} file" for n in range(600))
    options = {"truncation": True, "max_length": 512}
    want = embedder.model([tokenizer(text, **options)["input_ids"]])
    seen, real = [], ErnieMTokenizer.__call__
    monkeypatch.setattr(
        ErnieMTokenizer, "__call__", lambda self, *a, **o: seen.append(a) or real(self, *a, **o)
    )
    end = {"right": "end", "left": "start"}[side]
    with pytest.warns(UserWarning, match=f"cut at their {end}"):
        vectors = Embedder(embedder.model, tokenizer)([text])
    np.testing.assert_array_equal(vectors, want.last_hidden_state.mean(axis=1))
    assert len(seen) == 1


class Column(Sequence):
    """A column as datasets has it: a sequence that makes its values when they are asked for."""

    def __len__(self):
        return len(TEXTS)

    def __getitem__(self, n):
        return TEXTS[n]


ITERABLES = {
    "tuple": lambda: tuple(TEXTS),
    "generator": lambda: (text for text in TEXTS),
    "iterator": lambda: iter(TEXTS),
    "values of a dict": lambda: dict(enumerate(TEXTS)).values(),
    "keys of a dict": lambda: dict.fromkeys(TEXTS).keys(),
    "array of str": lambda: np.array(TEXTS),
    "array of objects": lambda: np.array(TEXTS, object),
    "column": Column,
}


@pytest.mark.parametrize("kind", ITERABLES)
def test_texts_may_be_any_iterable_of_str(kind, embedder, close):
    close(embedder(ITERABLES[kind]()), embedder(TEXTS), "exact")


@pytest.mark.parametrize("text", ["Open a file", np.str_("Open a file"), np.array("Open a file")])
def test_one_text_gives_one_vector(text, embedder, close):
    close(embedder(text), embedder(["Open a file"])[0], "exact")


class Table:
    """What tables of several libraries have in common: names of columns."""

    columns = ("text",)

    def __iter__(self):
        return iter(self.columns)

    def __len__(self):
        return 3


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        (
            Table(),
            TypeError,
            r"texts is a Table, a table; give one column, such as table\['text'\]",
        ),
        ({"text": TEXTS}, TypeError, "texts is a dict, a mapping; give a list of str"),
        ({"a", "b"}, TypeError, "texts is a set, which has no order"),
        (np.array([["a"], ["b"]]), TypeError, r"2 dimensions; give one, such as texts\[:, 0\]"),
        ([["a"], ["b"]], TypeError, r"texts\[0\] is a list, not a str; give one flat list of str"),
        ([{"text": "a"}], TypeError, r"texts\[0\] is a dict, not a str; give the column"),
        (["a", None], TypeError, r"texts\[1\] is a NoneType, not a str; a value is missing"),
        (["a", float("nan")], TypeError, r"texts\[1\] is a float, not a str; a value is missing"),
        (np.array([b"a"]), TypeError, r"texts\[0\] is a bytes, not a str; decode it"),
        (None, TypeError, "texts is a NoneType; give a str or a list of str"),
        (3, TypeError, "texts is a int; give a str or a list of str"),
        (iter(()), ValueError, "texts is empty; give at least one text"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_column_of_texts_is_refused(texts, error, message, embedder):
    with pytest.raises(error, match=message):
        embedder(texts)


@pytest.mark.parametrize(
    "options",
    [
        {"pooling": "cls"},
        {"normalize": True},
        {"prompt": "query: "},
        {"prompt_name": "none"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_the_constructor_is_told_holds_where_a_call_leaves_it_out(options, prompted, close):
    parts = (prompted.model, prompted.tokenizer, prompted.settings)
    assert not np.array_equal(prompted(TEXTS, **options), prompted(TEXTS))
    close(Embedder(*parts, **options)(TEXTS), prompted(TEXTS, **options), "exact")
    close(Embedder(*parts).set_params(**options)(TEXTS), prompted(TEXTS, **options), "exact")


def test_the_constructor_may_bound_the_tokens_of_a_batch(embedder):
    seen = []
    bounded = Embedder(embedder.model, embedder.tokenizer, batch_tokens=1)
    bounded(TEXTS, progress=lambda done, _: seen.append(done))
    assert seen == [1, 2, 3, 4, 5]


def test_a_call_overrides_the_constructor(prompted, close):
    options = {"pooling": "cls", "normalize": True, "prompt_name": "none"}
    other = Embedder(prompted.model, prompted.tokenizer, prompted.settings, **options)
    call = {"pooling": "mean", "normalize": False, "prompt": "q: "}
    close(other(TEXTS, **call), prompted(TEXTS), "exact")


def test_parameters_are_read_and_set_by_name(embedder):
    other = Embedder(embedder.model, embedder.tokenizer)
    assert other.get_params() == {
        "model": embedder.model,
        "tokenizer": embedder.tokenizer,
        "settings": SentenceSettings(),
        "pooling": None,
        "layer": None,
        "normalize": None,
        "prompt_name": None,
        "prompt": None,
        "dimensions": None,
        "on_overflow": "cut",
        "batch_tokens": 1024,
        "batch_size": None,
    }
    assert other.set_params(pooling="cls", normalize=True) is other
    assert (other.pooling, other.get_params()["normalize"]) == ("cls", True)
    with pytest.raises(ValueError, match="no parameter 'poling'; did you mean 'pooling'"):
        other.set_params(normalize=False, poling="cls")
    assert other.normalize is True


def test_the_methods_of_a_step_work_without_scikit_learn(embedder, close):
    for result in (
        embedder.fit(TEXTS).transform(TEXTS),
        embedder.fit_transform(TEXTS, [0, 1, 0, 1, 0]),
    ):
        close(result, embedder(TEXTS), "exact")
    close(embedder.transform("one"), embedder(["one"]), "exact")
    names = embedder.get_feature_names_out()
    assert (names.dtype, len(names), names[127]) == (object, 128, "embedder127")


ENCODE = {
    "nothing": ({}, {}),
    "normalize_embeddings": ({"normalize_embeddings": True}, {"normalize": True}),
    "prompt": ({"prompt": "p: "}, {"prompt": "p: "}),
    "prompt_name": ({"prompt_name": "none"}, {"prompt_name": "none"}),
    "batch_size": ({"batch_size": 2}, {"batch_size": 2}),
    "show_progress_bar": ({"show_progress_bar": False}, {}),
    "convert_to_numpy": ({"convert_to_numpy": True, "convert_to_tensor": False}, {}),
    "what is done anyway": (
        {"device": "cpu", "output_value": "sentence_embedding", "precision": "float32"},
        {},
    ),
}


@pytest.mark.parametrize("case", ENCODE)
def test_encode_gives_what_a_call_gives(case, prompted, close):
    theirs, ours = ENCODE[case]
    close(prompted.encode(TEXTS, **theirs), prompted(TEXTS, **ours), "exact")
    close(prompted.encode("one", **theirs), prompted("one", **ours), "exact")


def test_encode_takes_its_first_arguments_by_position(prompted, close):
    got = prompted.encode(TEXTS, None, "p: ", 2, False)
    close(got, prompted(TEXTS, prompt="p: ", batch_size=2), "exact")


def test_encode_hands_on_the_size_of_a_batch(embedder, monkeypatch):
    seen = []
    monkeypatch.setattr(Embedder, "__call__", lambda *_, **o: seen.append(o) or np.zeros((1, 128)))
    embedder.encode(TEXTS, batch_size=3)
    assert seen[0]["batch_size"] == 3


def test_encode_truncates_before_it_scales(embedder, close):
    close(embedder.encode(TEXTS, truncate_dim=5), embedder(TEXTS)[:, :5], "exact")
    vectors = embedder.encode(TEXTS, truncate_dim=5, normalize_embeddings=True)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert embedder.encode("one", truncate_dim=5).shape == (5,)


def test_encode_scales_as_the_checkpoint_records(embedder, close):
    scaled = Embedder(embedder.model, embedder.tokenizer, SentenceSettings(normalize=True))
    close(scaled.encode(TEXTS), embedder(TEXTS, normalize=True), "exact")


def test_encode_shows_progress(embedder, monkeypatch, capsys):
    monkeypatch.setattr(progress, "QUIET", -1)
    embedder.encode(TEXTS, batch_size=1)
    assert capsys.readouterr().err == ""
    embedder.encode(TEXTS, batch_size=1, show_progress_bar=True)
    assert "5 of 5 texts" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"convert_to_numpy": False}, ValueError, "convert_to_numpy=False: encode gives NumPy"),
        ({"convert_to_tensor": True}, ValueError, "convert_to_tensor=True"),
        ({"device": "cuda"}, ValueError, "device='cuda': .* or give None or 'cpu'"),
        ({"precision": "int8"}, ValueError, "precision='int8'"),
        ({"output_value": "token_embeddings"}, ValueError, "output_value='token_embeddings'"),
        ({"truncate_dim": 0}, ValueError, r"dimensions 0 is not in 1\.\.128"),
        ({"truncate_dim": 129}, ValueError, "dimensions 129"),
        ({"normalise_embeddings": True}, TypeError, "did you mean 'normalize_embeddings'"),
    ],
)
def test_what_encode_cannot_do_is_refused(options, error, message, embedder):
    with pytest.raises(error, match=message):
        embedder.encode(TEXTS, **options)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("dimensions", 2.0),
        ("dimensions", "2"),
        ("dimensions", True),
        ("layer", 1.5),
        ("layer", True),
        ("normalize", "no"),
        ("normalize", 0),
        ("prompt", 5),
        ("prompt", b"query: "),
    ],
)
def test_an_option_of_another_type_is_refused(option, value):
    embedder = Embedder.from_pretrained()
    for call in (embedder, embedder.stream):
        with pytest.raises(ValueError, match=f"^{option} .* is not "):
            call(["a"], **{option: value})


@pytest.mark.parametrize("spans", [5, None, [5], (0, 5), {0: 1}])
def test_spans_that_are_no_pairs_are_refused(spans):
    with pytest.raises(TypeError, match=r"not a list of pairs \(start, end\)"):
        Embedder.from_pretrained().spans("Open a file", spans)
