"""Every primitive against loops over single numbers, on both backends."""

import math

import numpy as np
import pytest

from numpy_erniem import ops
from numpy_erniem.layers import (
    AttentionOptions,
    encoder_layer,
    feed_forward,
    self_attention,
    split_heads,
)
from numpy_erniem.quantization.numbers import BFLOAT16, rounded

B, H, T, S, D_HEAD = 2, 3, 5, 7, 4


def naive_attention(q, k, v, mask=None, head_mask=None, bias=None):
    """softmax(q kᵀ / √d + mask) v, one query at a time, in float64."""
    b, h, t, d = q.shape
    s = k.shape[2]
    context, probabilities = np.zeros((b, t, h, d)), np.zeros((b, h, t, s))
    for n, m, i in np.ndindex(b, h, t):
        scores = [float(q[n, m, i] @ k[n, m, j]) / math.sqrt(d) for j in range(s)]
        if bias is not None:
            scores = [score + bias[n, m, i, j] for j, score in enumerate(scores)]
        if mask is not None:
            seen = np.broadcast_to(mask, (b, h, t, s))[n, m, i]
            if seen.any():
                scores = [x if see else -math.inf for x, see in zip(scores, seen, strict=True)]
            else:  # nothing to see: every key counts the same
                scores = [0.0] * s
        weights = np.exp(np.array(scores) - max(scores))
        weights /= weights.sum()
        if head_mask is not None:
            weights = weights * np.broadcast_to(head_mask, (b, h, t, s))[n, m, i]
        probabilities[n, m, i] = weights
        context[n, i, m] = sum(weights[j] * v[n, m, j].astype(np.float64) for j in range(s))
    return context.astype(np.float32), probabilities.astype(np.float32)


@pytest.fixture
def qkv(rng):
    shapes = ((B, H, T, D_HEAD), (B, H, S, D_HEAD), (B, H, S, D_HEAD))
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def test_linear_is_the_triple_loop(backend, rng, close):
    x = rng.standard_normal((2, 3, 5), np.float32)
    w = {
        "weight": rng.standard_normal((7, 5), np.float32),
        "bias": rng.standard_normal(7, np.float32),
    }
    want = np.zeros((2, 3, 7))
    for b, t, n in np.ndindex(2, 3, 7):
        want[b, t, n] = w["bias"][n] + sum(
            float(x[b, t, k]) * float(w["weight"][n, k]) for k in range(5)
        )
    close(ops.linear(x, w), want.astype(np.float32), "primitive")


def test_add_norm_is_its_formula(backend, rng, close):
    x, residual = (rng.standard_normal((2, 3, 11), np.float32) * 5 + 2 for _ in range(2))
    w = {"weight": rng.standard_normal(11, np.float32), "bias": np.arange(11, dtype=np.float32)}
    v = x.astype(np.float64) + residual
    mean, variance = v.mean(-1, keepdims=True), v.var(-1, keepdims=True)
    want = (v - mean) / np.sqrt(variance + 0.1) * w["weight"] + w["bias"]
    close(ops.add_norm(x, residual, w, 0.1), want.astype(np.float32), "primitive")


def test_a_norm_follows_linear_maps(backend, rng):
    def weights(*shape):
        return {
            "weight": rng.standard_normal(shape, np.float32),
            "bias": np.arange(shape[0], dtype=np.float32),
        }

    first, second = weights(8, 5), weights(5, 8)
    x, residual = rng.standard_normal((2, 2, 3, 5), np.float32)
    norm = residual, weights(5), 0.1
    want = ops.add_norm(ops.mlp(x, first, second, "gelu"), *norm)
    np.testing.assert_array_equal(ops.mlp(x, first, second, "gelu", norm), want)
    wide = rng.standard_normal((2, 3, 8), np.float32)
    want = ops.add_norm(ops.linear(wide, second, "tanh"), *norm)
    np.testing.assert_array_equal(ops.linear(wide, second, "tanh", norm), want)


def test_layer_norm_is_add_norm_without_residual(backend, rng, close):
    x = rng.standard_normal((4, 9), np.float32)
    w = {"weight": rng.standard_normal(9, np.float32), "bias": np.ones(9, np.float32)}
    want = ops.add_norm(x, np.zeros_like(x), w, 1e-5)
    close(ops.layer_norm(x, w, 1e-5), want, "primitive")


def test_layer_norm_keeps_small_differences_on_a_large_mean(backend):
    x = np.float32([[1000, 1001, 1002, 1003]])
    w = {"weight": np.ones(4, np.float32), "bias": np.zeros(4, np.float32)}
    want = np.float32([[-1.5, -0.5, 0.5, 1.5]]) / math.sqrt(1.25)
    np.testing.assert_allclose(ops.layer_norm(x, w, 0.0), want, rtol=1e-6)


def test_embed_adds_word_and_position_rows(backend, rng, close):
    tables = {
        "word_embeddings": {"weight": rng.standard_normal((13, 6), np.float32)},
        "position_embeddings": {"weight": rng.standard_normal((9, 6), np.float32)},
        "layer_norm": {"weight": np.full(6, 2, np.float32), "bias": np.ones(6, np.float32)},
    }
    ids, rows = np.array([[3, 12, 0], [5, 5, 1]]), np.array([[2, 3, 8]])
    v = tables["word_embeddings"]["weight"][ids] + tables["position_embeddings"]["weight"][rows]
    want = ops.layer_norm.body(v, tables["layer_norm"], 1e-5)
    close(ops.embed(ids, rows, tables, 1e-5), want, "primitive")


def test_softmax_does_not_overflow(close):
    got = ops.softmax(np.float32([[1e30, 1e30, -1e30]]))
    close(got, np.float32([[0.5, 0.5, 0]]), "exact")


def test_attention_is_the_loop(backend, qkv, close):
    context, probabilities = ops.attention(*qkv, keep_probabilities=True)
    want = naive_attention(*qkv)
    close(context, want[0], "primitive", "context")
    close(probabilities, want[1], "primitive", "probabilities")


def test_attention_returns_probabilities_only_when_kept(backend, qkv):
    assert ops.attention(*qkv)[1] is None


@pytest.mark.parametrize("shape", [(B, 1, 1, S), (B, 1, T, S), (B, H, T, S), (1, 1, T, S)])
def test_attention_hides_keys(shape, backend, qkv, rng, close):
    mask = rng.random(shape) < 0.5
    mask[..., 0] = True
    want = naive_attention(*qkv, mask=mask)
    got = ops.attention(*qkv, mask=mask, keep_probabilities=True)
    close(got[0], want[0], "primitive", "context")
    close(got[1], want[1], "primitive", "probabilities")


def test_attention_of_a_query_that_sees_nothing_is_uniform(backend, qkv, close):
    mask = np.ones((B, 1, T, S), bool)
    mask[1, 0, 2] = False
    context, probabilities = ops.attention(*qkv, mask=mask, keep_probabilities=True)
    close(probabilities[1, :, 2], np.full((H, S), 1 / S, np.float32), "primitive")
    close(context[1, 2], qkv[2][1].mean(axis=1), "primitive")


@pytest.mark.parametrize("shape", [(1, H, 1, 1), (B, H, T, S)])
def test_attention_multiplies_by_the_head_mask(shape, backend, qkv, rng, close):
    factor = rng.random(shape, np.float32)
    want = naive_attention(*qkv, head_mask=factor)
    got = ops.attention(*qkv, head_mask=factor, keep_probabilities=True)
    close(got[0], want[0], "primitive", "context")
    close(got[1], want[1], "primitive", "probabilities")


@pytest.mark.parametrize("with_keys", [False, True])
def test_attention_adds_distance_scores(with_keys, backend, qkv, rng, close):
    q, k, _ = qkv
    table = rng.standard_normal((T + S - 1, D_HEAD), np.float32)
    bias = np.zeros((B, H, T, S))
    for b, h, i, j in np.ndindex(B, H, T, S):
        vector = table[i - j + S - 1].astype(np.float64)
        bias[b, h, i, j] = (q[b, h, i] @ vector + with_keys * (k[b, h, j] @ vector)) / 2
    got, _ = ops.attention(*qkv, query_distance=table, key_distance=table if with_keys else None)
    close(got, naive_attention(*qkv, bias=bias)[0], "primitive")


def test_attention_in_bfloat16_rounds_what_it_multiplies(qkv, rng, close):
    q, k, v = qkv
    mask = rng.random((B, 1, 1, S)) < 0.7
    scores = rounded(q / 2, BFLOAT16) @ rounded(k, BFLOAT16).swapaxes(2, 3)  # sqrt(d) is 2
    scores = np.where(mask, scores, np.finfo(np.float32).min)
    e = rounded(np.exp(scores - scores.max(axis=-1, keepdims=True)), BFLOAT16)
    want = (e / e.sum(axis=-1, keepdims=True)) @ rounded(v, BFLOAT16)
    got, _ = ops.attention.body(*qkv, mask=mask, dtype=BFLOAT16)
    close(got, np.ascontiguousarray(want.swapaxes(1, 2)), "primitive")
    assert np.abs(got - ops.attention.body(*qkv, mask=mask)[0]).max() > 1e-4


def test_packed_attention_in_bfloat16_is_that_of_each_text(rng):
    q, k, v = (rng.standard_normal((1, H, 9, D_HEAD), np.float32) for _ in range(3))
    got, _ = ops.attention.body(q, k, v, starts=np.array([0, 4, 9]), dtype=BFLOAT16)
    alone = [
        ops.attention.body(*(x[:, :, text] for x in (q, k, v)), dtype=BFLOAT16)[0]
        for text in (slice(0, 4), slice(4, 9))
    ]
    np.testing.assert_array_equal(got, np.concatenate(alone, axis=1))


def test_attention_works_in_batches_of_any_size(qkv, close, monkeypatch):
    want, _ = ops.attention.body(*qkv)
    monkeypatch.setattr(ops, "CACHE_BLOCK", 1)
    close(ops.attention.body(*qkv)[0], want, "primitive")


def test_float64_stays_float64(backend, qkv, rng):
    q, k, v = (a.astype(np.float64) for a in qkv)
    assert ops.attention(q, k, v)[0].dtype == np.float64
    w = {"weight": rng.standard_normal((4, 4)), "bias": np.zeros(4)}
    assert ops.linear(q, w, "gelu").dtype == np.float64
    assert ops.layer_norm(q, {"weight": np.ones(4), "bias": np.zeros(4)}, 1e-5).dtype == np.float64


def test_primitives_do_not_change_their_arguments(backend, qkv, rng):
    q, k, v = qkv
    mask = rng.random((B, 1, T, S)) < 0.7
    factor = rng.random((1, H, 1, 1), np.float32)
    w = {"weight": rng.standard_normal((4, 4), np.float32), "bias": np.ones(4, np.float32)}
    norm = {"weight": np.ones(4, np.float32), "bias": np.ones(4, np.float32)}
    arguments = [q, k, v, mask, factor, *w.values(), *norm.values()]
    before = [a.copy() for a in arguments]
    ops.attention(q, k, v, mask=mask, head_mask=factor)
    ops.linear(q, w, "gelu")
    ops.add_norm(q, q, norm, 1e-5)
    for now, then in zip(arguments, before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_layer_norms_what_each_step_adds(backend, rng):
    from tests.oracles import our_model

    model = our_model()
    w, config, options = model.weights["encoder"]["layers"][0], model.config, AttentionOptions()
    x = rng.standard_normal((2, 7, config.hidden_size), np.float32)
    attended, _, _ = self_attention(x, w["self_attn"], config, options)
    middle = ops.add_norm(attended, x, w["norm1"], config.layer_norm_eps)
    fed = feed_forward(middle, w, config)
    want = ops.add_norm(fed, middle, w["norm2"], config.layer_norm_eps)
    np.testing.assert_array_equal(encoder_layer(x, w, config, options)[0], want)


def test_keys_and_values_are_given_up_unless_they_are_kept(backend, rng):
    from tests.oracles import our_model

    model = our_model()
    w, config = model.weights["encoder"]["layers"][0], model.config
    x = rng.standard_normal((2, 7, config.hidden_size), np.float32)
    assert encoder_layer(x, w, config, AttentionOptions())[2] is None
    keys, values = encoder_layer(x, w, config, AttentionOptions(keep_key_value=True))[2]
    inner = w["self_attn"]["self_attn"]
    for kept, name in ((keys, "k_proj"), (values, "v_proj")):
        want = split_heads(ops.linear(x, inner[name]), config.head_dim)
        np.testing.assert_allclose(kept, want, rtol=0, atol=1e-6)
