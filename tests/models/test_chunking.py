"""A large batch in chunks: the same results, in less memory."""

import tracemalloc

import numpy as np
import pytest

from numpy_erniem import (
    ErnieMConfig,
    ErnieMForSequenceClassification,
    ErnieMModel,
    use_backend,
)
from numpy_erniem.models import chunking

B, T, H, L = 5, 6, 3, 2
SIZES = {"hidden_size": 12, "num_attention_heads": H, "num_hidden_layers": L}


@pytest.fixture(scope="module")
def model():
    return ErnieMModel(ErnieMConfig(vocab_size=99, intermediate_size=16, **SIZES), seed=1)


@pytest.fixture
def batch_sizes(monkeypatch):
    """The batch of every forward pass; a chunk has two texts at most."""
    seen, encode = [], chunking.encode

    def watched(inputs, w, config):
        seen.append(len(inputs.inputs_embeds if inputs.input_ids is None else inputs.input_ids))
        return encode(inputs, w, config)

    monkeypatch.setattr(chunking, "encode", watched)
    monkeypatch.setattr(chunking, "CHUNK_SIZE", 2 * T * 16)
    return seen


def options(rng, model):
    """One set of arguments for each thing that has to be cut along the batch."""
    ids = rng.integers(3, 99, (B, T))
    padded = np.where(np.arange(T) < rng.integers(2, T + 1, (B, 1)), ids, model.config.pad_token_id)
    seen = rng.random((B, 1, T, T)) < 0.7
    past = model(rng.integers(3, 99, (B, 2)), use_cache=True).past_key_values
    return {
        "ids": {"input_ids": ids},
        "padding": {"input_ids": padded},
        "mask of texts": {"input_ids": ids, "attention_mask": (padded != 1)},
        "mask of queries": {"input_ids": ids, "attention_mask": seen},
        "positions of each text": {"input_ids": ids, "position_ids": rng.integers(0, 9, (B, T))},
        "positions of all": {"input_ids": ids, "position_ids": rng.integers(0, 9, (1, T))},
        "heads of all": {"input_ids": ids, "head_mask": rng.random((L, H))},
        "heads of each text": {"input_ids": ids, "head_mask": rng.random((L, B, H, 1, 1))},
        "vectors": {"inputs_embeds": rng.standard_normal((B, T, 12))},
        "past": {"input_ids": ids, "past_key_values": past},
    }


NAMES = list(options(np.random.default_rng(0), ErnieMModel(ErnieMConfig(vocab_size=99, **SIZES))))


@pytest.mark.parametrize("name", NAMES)
def test_chunks_give_what_the_whole_batch_gives(
    name, model, rng, close, backend, batch_sizes, monkeypatch
):
    arguments = options(rng, model)[name]
    batch_sizes.clear()
    got = model(**arguments, use_cache=False)
    assert batch_sizes == [2, 2, 1]
    monkeypatch.setattr(chunking, "CHUNK_SIZE", 1 << 20)
    want = model(**arguments, use_cache=False)
    assert batch_sizes == [2, 2, 1, 5]
    # C adds positions to the vectors of one text, NumPy to those of several: not the same bits
    tolerance = "exact" if backend == "native" and name != "vectors" else "primitive"
    close(got.last_hidden_state, want.last_hidden_state, tolerance)
    close(got.pooler_output, want.pooler_output, tolerance)


def test_chunks_are_of_about_one_size(model, rng, batch_sizes, monkeypatch):
    monkeypatch.setattr(chunking, "CHUNK_SIZE", 4 * T * 16)
    model(rng.integers(3, 99, (B, T)))
    assert batch_sizes == [3, 2], "not four texts and one"


def test_a_text_is_never_cut(model, rng, batch_sizes, monkeypatch):
    monkeypatch.setattr(chunking, "CHUNK_SIZE", 1)
    assert model(rng.integers(3, 99, (B, T))).last_hidden_state.shape == (B, T, 12)
    assert batch_sizes == [1] * B


@pytest.mark.parametrize("kept", ["use_cache", "output_hidden_states", "output_attentions"])
def test_what_keeps_its_layers_is_not_cut(kept, model, rng, batch_sizes):
    output = model(rng.integers(3, 99, (B, T)), **{kept: True})
    assert batch_sizes == [B]
    layers = output.past_key_values or output.hidden_states or output.attentions
    assert len(layers) >= L


def test_a_model_without_a_vector_per_text(rng, batch_sizes):
    config = ErnieMConfig(vocab_size=99, intermediate_size=16, **SIZES)
    model = ErnieMModel(config, add_pooling_layer=False)
    assert model(rng.integers(3, 99, (B, T))).pooler_output is None
    assert batch_sizes == [2, 2, 1]


def test_heads_see_the_whole_batch(rng, batch_sizes):
    model = ErnieMForSequenceClassification(
        ErnieMConfig(vocab_size=99, intermediate_size=16, num_labels=4, **SIZES)
    )
    assert model(rng.integers(3, 99, (B, T))).logits.shape == (B, 4)
    assert batch_sizes == [2, 2, 1]


def test_memory_grows_by_the_result_alone(rng):
    """Four times the texts: NumPy's temporaries stay as large as they were."""
    config = ErnieMConfig(
        vocab_size=99, hidden_size=12, num_attention_heads=3, intermediate_size=4096
    )
    model = ErnieMModel(config)

    def peak_without_result(texts):
        ids = rng.integers(3, 99, (texts, 64))
        tracemalloc.start()
        result = model(ids).last_hidden_state
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak - 2 * result.nbytes  # the chunks, and what they are joined to

    with use_backend("numpy"):
        texts = chunking.CHUNK_SIZE // (4096 * 64)
        assert peak_without_result(4 * texts) < 1.2 * peak_without_result(texts)
