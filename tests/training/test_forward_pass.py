"""The forward pass of training is that of the model: the same bits on the NumPy backend.

Training has functions of its own, beside their gradients. On the C backend they differ by rounding:
there the activation is part of the kernel, but training needs its input too.
"""

import numpy as np
import pytest

from numpy_erniem import use_backend
from numpy_erniem.activations import ACTIVATIONS
from numpy_erniem.config import POSITION_EMBEDDING_TYPES
from numpy_erniem.encoder import encode
from numpy_erniem.models.inputs import prepare_inputs
from numpy_erniem.training import encoder
from numpy_erniem.training.threads import cut
from tests.models.conftest import B, D, H, L, T, V
from tests.training.conftest import make

CHECKPOINTING = pytest.mark.parametrize("checkpointing", [False, True])
DROPOUT = {
    "hidden_dropout_prob": 0.3,
    "attention_probs_dropout_prob": 0.2,
    "act_dropout": 0.25,
}
INPUTS = {
    "no mask": lambda rng: {},
    "mask of padding": lambda rng: {"attention_mask": np.arange(T) < np.array([[T], [4]])},
    "mask that hides a text": lambda rng: {"attention_mask": np.arange(B)[:, None] < np.ones(T)},
    "mask per query": lambda rng: {"attention_mask": rng.random((B, T, T)) < 0.6},
    "mask per head": lambda rng: {"attention_mask": rng.random((B, H, T, T)) < 0.6},
    "head mask per layer": lambda rng: {"head_mask": rng.random((L, H))},
    "head mask per key": lambda rng: {"head_mask": rng.random((L, B, H, 1, T))},
    "positions": lambda rng: {"position_ids": rng.integers(0, 18, (B, T))},
    "vectors": lambda rng: {
        "input_ids": None,
        "inputs_embeds": rng.standard_normal((B, T, D), np.float32),
    },
}


def both(model, arguments, **options):
    """Last hidden states of training and of the model."""
    inputs = prepare_inputs(model.config, model.dtype, **arguments)
    w = model.weights["ernie_m"]
    x, _ = encoder.encode(inputs, w, model.config, **options)
    return x, encode(inputs, w, model.config).last_hidden_state


def check(model, rng, checkpointing=False, **arguments):
    """Equal bits with NumPy, nearly equal numbers with C."""
    arguments = {"input_ids": rng.integers(2, V, (B, T)), **arguments}
    with use_backend("numpy"):
        got, want = both(model, arguments, gradient_checkpointing=checkpointing)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)
    got, want = both(model, arguments, gradient_checkpointing=checkpointing)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


@CHECKPOINTING
@pytest.mark.parametrize("kind", POSITION_EMBEDDING_TYPES)
@pytest.mark.parametrize("given", INPUTS)
def test_every_argument_and_kind_of_position(given, kind, checkpointing, rng):
    model = make("ErnieMForTokenClassification", position_embedding_type=kind, **DROPOUT)
    check(model, rng, checkpointing, **INPUTS[given](rng))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation, rng):
    check(make("ErnieMForTokenClassification", hidden_act=activation), rng)


@pytest.mark.parametrize("kind", POSITION_EMBEDDING_TYPES)
def test_pruned_heads(kind, rng):
    sizes = {"position_embedding_type": kind, "pruned_heads": {0: [1], 1: [0, 2]}}
    check(make("ErnieMForTokenClassification", **sizes), rng, head_mask=rng.random((L, H)))


@pytest.mark.parametrize("shape", [(1, 1), (1, 18), (13, 5)])
def test_every_shape(shape, rng):
    check(make("ErnieMForTokenClassification"), rng, input_ids=rng.integers(2, V, shape))


@pytest.mark.parametrize("threads", [2, 3])
def test_parts_of_a_batch_are_computed_as_if_alone(threads, rng):
    model, ids = make("ErnieMForTokenClassification"), rng.integers(2, V, (5, T))
    ids[3, 4:] = model.config.pad_token_id
    with use_backend("numpy"):
        inputs = prepare_inputs(model.config, model.dtype, ids)
        x, _ = encoder.encode(inputs, model.weights["ernie_m"], model.config, threads=threads)
        parts = np.split(np.arange(5), [s.stop for s in cut(5, threads)][:-1])
        alone = [both(model, {"input_ids": ids[part]})[1] for part in parts]
    np.testing.assert_array_equal(x, np.concatenate(alone))
