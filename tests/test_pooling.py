"""Vectors of texts from a packed batch of token vectors, prompts and similarities."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from numpy_erniem import Embedder, ErnieMTokenizer, SentenceSettings, bundled_checkpoint
from numpy_erniem.activations import ACTIVATIONS
from numpy_erniem.checkpoint.sentence_settings import (
    DENSE_ACTIVATIONS,
    POOLINGS,
    DenseLayer,
    read_sentence_settings,
    write_sentence_settings,
)
from numpy_erniem.pipelines.pooling import sentence_vectors
from numpy_erniem.pipelines.prompts import count_prompt_tokens
from numpy_erniem.pipelines.similarity import similarity_matrix

D, LENGTHS = 12, (3, 7, 1, 5, 96)


@pytest.fixture
def batch(rng):
    """Hidden states of all tokens, starts, pooler output."""
    starts = np.concatenate([[0], np.cumsum(LENGTHS)])
    hidden = rng.standard_normal((starts[-1], D)).astype(np.float32)
    return hidden, starts, rng.standard_normal((len(LENGTHS), D)).astype(np.float32)


def dense(rng, out, width, **options):
    weight = rng.standard_normal((out, width)).astype(np.float32)
    return DenseLayer(weight, rng.standard_normal(out).astype(np.float32), **options)


@pytest.mark.parametrize("pooling", [*POOLINGS, "cls+mean", "pooler+max+weightedmean"])
def test_a_vector_has_the_same_bits_alone_and_in_a_batch(pooling, batch, rng, backend):
    hidden, starts, pooled = batch
    layers = (dense(rng, 37, D * len(pooling.split("+")), activation="tanh"),)
    settings = SentenceSettings(pooling=pooling, dense=layers, normalize=True)
    together = sentence_vectors(*batch, settings=settings)
    for t, (a, b) in enumerate(itertools.pairwise(starts)):
        alone = sentence_vectors(
            hidden[a:b].copy(), np.array([0, b - a]), pooled[t : t + 1], settings=settings
        )
        np.testing.assert_array_equal(alone[0], together[t])


def test_the_first_dimensions_are_kept_then_scaled(batch, close):
    settings = SentenceSettings(normalize=True)
    got = sentence_vectors(*batch, settings=settings, dimensions=5)
    cut = sentence_vectors(*batch, settings=settings, normalize=False)[:, :5]
    close(got, cut / np.linalg.norm(cut, axis=1, keepdims=True), "primitive")


def test_the_pooling_of_a_call_is_used_in_place_of_the_recorded_one(batch, close):
    got = sentence_vectors(*batch, settings=SentenceSettings(pooling="max"), pooling="pooler")
    close(got, batch[2], "exact")


def test_tokens_of_the_prompt_stay_out_of_the_mean(batch, close):
    hidden, starts = batch[0], np.array([0, 3, 10])
    got = sentence_vectors(hidden[:10], starts, settings=SentenceSettings(), prompt_tokens=2)
    close(got, np.stack([hidden[2], hidden[5:10].mean(axis=0)]), "exact")


BAD = {
    "has 1 tokens, the prompt 2: none is left": {"prompt_tokens": 2},
    "dimensions 13 is not in 1..12": {"dimensions": 13},
    "dimensions 0 is not in 1..12": {"dimensions": 0},
    "pooling 'median' is not one of mean, cls": {"pooling": "median"},
    "pooling 'cls\\+cls' is not": {"pooling": "cls+cls"},
    "pooling 3 is not": {"pooling": 3},
    "there is no pooler output": {"pooling": "pooler"},
}


@pytest.mark.parametrize("message", BAD)
def test_what_cannot_be_pooled_is_named(message, batch):
    with pytest.raises(ValueError, match=message):
        sentence_vectors(*batch[:2], settings=SentenceSettings(), **BAD[message])


def test_a_dense_layer_of_another_width_is_named(batch, rng):
    settings = SentenceSettings(dense=(dense(rng, 7, 24),))
    with pytest.raises(ValueError, match=r"'mean' gives 12 numbers, the Dense layer .* takes 24"):
        sentence_vectors(*batch, settings=settings)
    with pytest.raises(ValueError, match="Dense layer 1 takes 8 numbers, layer 0 gives 7"):
        SentenceSettings(dense=(dense(rng, 7, 24), dense(rng, 5, 8)))


def test_every_activation_of_a_dense_layer_is_known():
    assert set(DENSE_ACTIVATIONS) <= set(ACTIVATIONS)


def test_prompt_tokens_are_counted_with_cls_and_without_sep():
    tokenizer = ErnieMTokenizer.from_pretrained(bundled_checkpoint())
    settings = SentenceSettings(include_prompt=False)
    pieces = tokenizer("query: ", add_special_tokens=False)["input_ids"]
    assert count_prompt_tokens(settings, tokenizer, "query: ") == 1 + len(pieces)
    assert count_prompt_tokens(settings, tokenizer, "") == 0
    assert count_prompt_tokens(SentenceSettings(), tokenizer, "query: ") == 0


def test_an_embedder_leaves_the_prompt_out_as_recorded(close):
    whole = Embedder.from_pretrained()
    without = Embedder(whole.model, whole.tokenizer, SentenceSettings(include_prompt=False))
    ids = whole.tokenizer("query: open a file")["input_ids"]
    count = len(whole.tokenizer("query:")["input_ids"]) - 1
    hidden = whole.model([ids]).last_hidden_state[0]
    close(without("open a file", prompt="query: "), hidden[count:].mean(axis=0), "primitive")
    close(without("open a file"), whole("open a file"), "exact")


def test_an_embedder_takes_several_poolings_and_dense_layers(rng, close):
    plain = Embedder.from_pretrained()
    layer = dense(rng, 7, 256, activation="relu")
    embedder = Embedder(plain.model, plain.tokenizer, SentenceSettings("cls+mean", (layer,)))
    assert embedder.width == 7
    both = np.concatenate([plain("a b", pooling="cls"), plain("a b")])
    want = np.maximum(layer.weight @ both + layer.bias, 0)
    close(embedder("a b"), want.astype(np.float32), "trained")


def test_settings_are_read_as_they_were_written(rng, tmp_path):
    settings = SentenceSettings(
        "max+cls",
        (dense(rng, 7, 24, activation="gelu"), dense(rng, 5, 7, normalize_first=True)),
        normalize=True,
        prompts={"query": "q: ", "": ""},
        default_prompt_name="",
        include_prompt=False,
        max_length=9,
        similarity="manhattan",
    )
    write_sentence_settings(tmp_path, settings)
    found = read_sentence_settings(tmp_path)
    assert found.to_dict() == settings.to_dict()
    assert found.recorded
    for a, b in zip(found.dense, settings.dense, strict=True):
        np.testing.assert_array_equal(a.weight, b.weight)
        np.testing.assert_array_equal(a.bias, b.bias)


def test_a_folder_without_settings_says_so(tmp_path):
    assert read_sentence_settings(tmp_path) == SentenceSettings(recorded=False)


BAD_FILES = {
    "unknown key 'poling'; did you mean 'pooling'": '{"poling": "cls"}',
    "pooling 'best' is not one of": '{"pooling": "best"}',
    r"pooling \['cls'\] is not one of": '{"pooling": ["cls"]}',
    "normalize 1 is not true or false": '{"normalize": 1}',
    "include_prompt None is not true": '{"include_prompt": null}',
    r"prompts \[\] is not a mapping": '{"prompts": []}',
    "prompts {'a': 3} is not a mapping": '{"prompts": {"a": 3}}',
    r"default_prompt_name \[\] is not one of the prompts": '{"default_prompt_name": []}',
    "max_length 2 is not an integer from 3": '{"max_length": 2}',
    "similarity 'best' is not one of cosine": '{"similarity": "best"}',
    "dense is not a list of objects": '{"dense": {"a": 1}}',
}


@pytest.mark.parametrize("message", BAD_FILES)
def test_a_value_that_is_not_allowed_is_named_with_its_file(message, tmp_path):
    (tmp_path / "sentence_embedding.json").write_text(BAD_FILES[message])
    with pytest.raises(ValueError, match=r"sentence_embedding.json is not valid: " + message):
        read_sentence_settings(tmp_path)


BAD_LAYERS = {
    r"\(7, 13\), in sentence_embedding.safetensors it has \(7, 12\)": ('"in_features": 12', "13"),
    "activation of a Dense layer 'exp' is not one of": ('"activation": "linear"', '"exp"'),
    "unknown keys among": ('"normalize_first": false', 'false, "gate": 1'),
}


@pytest.mark.parametrize("message", BAD_LAYERS)
def test_a_dense_layer_that_is_not_allowed_is_named(message, tmp_path, rng):
    write_sentence_settings(tmp_path, SentenceSettings(dense=(dense(rng, 7, 12),)))
    path, (old, new) = tmp_path / "sentence_embedding.json", BAD_LAYERS[message]
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, f"{old.partition(':')[0]}: {new}"))
    with pytest.raises(ValueError, match=message):
        read_sentence_settings(tmp_path)


def test_missing_weights_of_dense_layers_are_named(tmp_path, rng):
    write_sentence_settings(tmp_path, SentenceSettings(dense=(dense(rng, 7, 12),)))
    (tmp_path / "sentence_embedding.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks sentence_embedding\.safetensors"):
        read_sentence_settings(tmp_path)


@pytest.mark.parametrize("function", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarity_is_that_of_sentence_transformers(function, torch, rng, close):
    a, b = (torch.from_numpy(rng.standard_normal((n, D)).astype(np.float32)) for n in (3, 5))
    unit = torch.nn.functional.normalize
    want = {
        "cosine": lambda: unit(a) @ unit(b).T,
        "dot": lambda: a @ b.T,
        "euclidean": lambda: -torch.cdist(a, b, p=2.0),
        "manhattan": lambda: -torch.cdist(a, b, p=1.0),
    }[function]()
    close(similarity_matrix(a.numpy(), b.numpy(), function), want.numpy(), "primitive")


def test_an_embedder_compares_by_the_recorded_function(rng, close):
    plain = Embedder.from_pretrained()
    a, b = (rng.standard_normal((n, D)).astype(np.float32) for n in (3, 5))
    for function in ("cosine", "dot"):
        settings = replace(plain.settings, similarity=function)
        embedder = Embedder(plain.model, plain.tokenizer, settings)
        close(embedder.similarity(a, b), similarity_matrix(a, b, function), "exact")
    close(plain.similarity(a[0], b), similarity_matrix(a, b)[:1], "primitive")


@pytest.mark.parametrize(
    ("a", "b", "function", "message"),
    [
        ([1.0, 2.0], [1.0], "dot", "a has vectors of 2 numbers, b of 1"),
        ([[[1.0]]], [1.0], "dot", r"a must be a vector \(W,\) or vectors \(n, W\)"),
        (["x"], [1.0], "dot", "a must hold integer or float numbers"),
        ([1.0], [1.0], "jaccard", "similarity 'jaccard' is not one of cosine"),
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_named(a, b, function, message):
    with pytest.raises(ValueError, match=message):
        similarity_matrix(a, b, function)


def test_a_folder_that_records_nothing_gets_one_notice(tmp_path, recwarn):
    plain = Embedder.from_pretrained()
    plain.model.save_pretrained(tmp_path)
    plain.tokenizer.save_pretrained(tmp_path)
    recwarn.clear()
    embedder = Embedder.from_pretrained(tmp_path)
    embedder(["a"])
    embedder(["b"])
    (notice,) = recwarn.list
    assert "the mean of the token vectors is a guess" in str(notice.message)
    assert notice.filename == __file__


def test_the_bundled_checkpoint_records_its_pooling(recwarn):
    assert Embedder.from_pretrained().settings == SentenceSettings(pooling="mean")
    assert not recwarn.list
