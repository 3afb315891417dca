"""Padded batches in C: a text has the bits that it has alone; large features cost no accuracy."""

import numpy as np
import pytest

from numpy_erniem import ErnieMConfig, ErnieMModel, use_backend
from numpy_erniem.models.weights import flatten
from tests.models.conftest import redrawn
from tests.native.conftest import chosen_kernel, kernels_of

BASE = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}


@pytest.fixture(scope="module")
def wide():
    sizes = {**BASE, "intermediate_size": 1024, "num_hidden_layers": 1, "vocab_size": 99}
    return redrawn(ErnieMModel(ErnieMConfig(**sizes, max_position_embeddings=602))).prepare()


@pytest.fixture(params=kernels_of("float32"))
def kernel(request):
    """Run a test once per kernel of linear maps in float32 on the best instruction set."""
    yield from chosen_kernel("float32", request.param)


def outputs(model, *args):
    return list(model(*args, output_hidden_states=False).values())


@pytest.mark.parametrize("T", [1, 2, 13, 96, 129, 600])
def test_a_text_has_the_same_bits_in_a_batch_of_any_size(kernel, wide, rng, T):
    ids = rng.integers(3, 99, (32, T))
    every = outputs(wide, ids)
    for first, end in ((0, 1), (31, 32), (0, 8), (7, 9), (24, 32)):
        for got, want in zip(outputs(wide, ids[first:end]), every, strict=True):
            np.testing.assert_array_equal(got, want[first:end])


def test_a_text_has_the_same_bits_beside_any_padding(kernel, wide, rng):
    lengths = (1, 13, 97, 300, 600)
    ids, mask = rng.integers(3, 99, (5, 600)), np.zeros((5, 600), np.int64)
    for row, length in zip(mask, lengths, strict=True):
        row[:length] = 1
    padded = wide(ids, None, mask)
    for n, length in enumerate(lengths):
        alone = wide(ids[n : n + 1, :length])
        np.testing.assert_array_equal(
            padded.last_hidden_state[n, :length], alone.last_hidden_state[0]
        )
        np.testing.assert_array_equal(padded.pooler_output[n], alone.pooler_output[0])


LARGE_FEATURE, SIZE = 5, 100


def with_a_large_feature(model, rng):
    """Weights as trained models have them: every norm makes a feature large, which every weight
    that reads it makes small again."""
    flat = {name: value.copy() for name, value in flatten(model.weights).items()}
    for name, value in flat.items():
        reads = value.ndim == 2 and "_embeddings" not in name
        if reads:
            value[:] = rng.standard_normal(value.shape) / np.sqrt(value.shape[1])
        if "norm" in name and name.endswith("weight"):
            value[LARGE_FEATURE] *= SIZE
        elif reads and value.shape[1] == BASE["hidden_size"] and "out_proj" not in name:
            value[:, LARGE_FEATURE] /= SIZE
    return flat


def test_a_large_feature_read_by_small_weights_costs_no_accuracy(rng, kernels, strassen):
    """Four layers of base size against float64, beside NumPy in float32 and beside Strassen's
    algorithm, which is many times worse and so off unless asked for."""
    config = ErnieMConfig(**BASE, num_hidden_layers=4, vocab_size=99)
    model, exact = ErnieMModel(config), ErnieMModel(config, dtype="float64")
    flat = with_a_large_feature(model, rng)
    model._set_weights(flat)
    exact._set_weights({name: value.astype(np.float64) for name, value in flat.items()})
    ids = rng.integers(3, 99, (1, 128))
    want = exact(ids, return_dict=False)[0]

    def error(choice="native"):
        with use_backend(choice):
            difference = model(ids).last_hidden_state - want
        return np.sqrt(np.mean(np.delete(difference, LARGE_FEATURE, axis=-1) ** 2))

    numpy_error = error("numpy")
    for name in kernels_of("float32"):
        for _ in chosen_kernel("float32", name):
            assert error() <= 3 * numpy_error
    strassen(kernels.lib.ERNIEM_STRASSEN_LARGE)
    assert error() > 20 * numpy_error
