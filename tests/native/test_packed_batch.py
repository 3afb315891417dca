"""Packed batches in C: beside NumPy, and each text with the bits that it has alone."""

from itertools import pairwise

import numpy as np
import pytest

from numpy_erniem import ErnieMConfig, ErnieMForMaskedLM, ErnieMModel, ops, pack_texts
from numpy_erniem.backend.independent_rows import independent_rows, rows_are_independent
from numpy_erniem.backend.unsupported import Unsupported
from tests.models.conftest import redrawn
from tests.native.test_attention import heads
from tests.native.test_linear import operands

MIXTURES = [(1,), (5,), (1, 1, 1), (13, 14, 15, 28, 29), (33, 150, 2), (64, 128, 1, 512, 7)]


def starts_of(lengths):
    return np.cumsum([0, *lengths])


def options_of(rng, N, H, longest):
    return {
        "plain": {},
        "bias": {"key_bias": rng.standard_normal((1, N), np.float32)},
        "mask": {"mask": rng.random((1, 1, 1, N)) < 0.7},
        "mask by head": {"mask": rng.random((1, H, 1, N)) < 0.7},
        "mask of nothing": {"mask": np.zeros((1, 1, 1, N), bool)},
        "mask by query": {"mask": rng.random((1, 1, N, longest)) < 0.5},
        "mask by head and query": {"mask": rng.random((1, H, N, longest)) < 0.5},
        "everything": {
            "key_bias": rng.standard_normal((1, N), np.float32),
            "mask": rng.random((1, 1, 1, N)) < 0.7,
            "head_mask": rng.standard_normal((1, H, 1, 1), np.float32),
        },
    }


NAMES = list(options_of(np.random.default_rng(0), 1, 1, 1))


def part_of(options, text):
    """The options of one text alone."""
    part = {n: value if n == "head_mask" else value[..., text] for n, value in options.items()}
    if "mask" in options and options["mask"].shape[2] > 1:  # a row for each query
        part["mask"] = options["mask"][:, :, text, : text.stop - text.start]
    return part


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lengths", MIXTURES, ids=str)
@pytest.mark.parametrize("d", [7, 64])
def test_packed_attention_equals_numpy_and_each_text_alone(isa, rng, close, lengths, name, d):
    from numpy_erniem.backend import native

    starts, H = starts_of(lengths), 3
    q, k, v = (heads(rng, 1, H, int(starts[-1]), d) for _ in range(3))
    options = options_of(rng, int(starts[-1]), H, max(lengths))[name]
    got, probabilities = native.attention(q, k, v, starts=starts, **options)
    assert probabilities is None
    close(got, ops.attention.body(q, k, v, starts=starts, **options)[0], "primitive")
    for first, end in pairwise(starts):
        text = slice(first, end)
        alone = native.attention(
            q[:, :, text], k[:, :, text], v[:, :, text], **part_of(options, text)
        )
        np.testing.assert_array_equal(got[:, text], alone[0])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")
def test_what_is_not_finite_stays_in_its_text(isa, seed):
    from numpy_erniem.backend import native

    rng = np.random.default_rng(seed)
    starts = starts_of((9, 20, 3, 15))
    q, k, v = (heads(rng, 1, 2, 47, 16) for _ in range(3))
    mask = rng.random((1, 1, 1, 47)) < 0.6
    mask[..., [0, 10, 30]] = True
    for array in (q, k, v):
        array[0, 1, rng.integers(9, 29), 3] = rng.choice([np.nan, np.inf, -np.inf])
    got = native.attention(q, k, v, starts=starts, mask=mask)[0]
    want = ops.attention.body(q, k, v, starts=starts, mask=mask)[0]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5, equal_nan=True)
    assert np.isfinite(np.delete(got, np.s_[9:29], axis=1)).all()


@pytest.mark.parametrize("shape", [(1, 40), (2, 40)])
def test_a_bias_of_keys(isa, rng, close, shape):
    from numpy_erniem.backend import native

    q, k, v = heads(rng, 2, 3, 23, 16), heads(rng, 2, 3, 40, 16), heads(rng, 2, 3, 40, 16)
    bias = 3 * rng.standard_normal(shape, np.float32)
    for mask in (None, rng.random((2, 1, 1, 40)) < 0.5, rng.random((2, 1, 23, 40)) < 0.5):
        options = {"key_bias": bias, "mask": mask, "keep_probabilities": True}
        got = native.attention(q, k, v, **options)
        for a, b in zip(got, ops.attention.body(q, k, v, **options), strict=True):
            close(a, b, "primitive")
    strided = native.attention(q, k, v, key_bias=np.repeat(bias, 2, axis=1)[:, ::2])[0]
    np.testing.assert_array_equal(strided, native.attention(q, k, v, key_bias=bias)[0])


def test_what_is_unsupported(rng):
    from numpy_erniem.backend import native

    q = heads(rng, 1, 3, 9, 16)
    wrong = ([0, 8], [1, 9], [0, 4, 4, 9], [0, 5, 4, 9], [0, 12, 9], [0, -1, 9], [9], [], [[0, 9]])
    unsupported = [native.attention(q, q, q, starts=np.array(starts, int)) for starts in wrong]
    starts, bias, two = np.array([0, 4, 9]), np.ones((1, 9), np.float32), np.concatenate([q, q])
    unsupported += [
        native.attention(q, q, q, starts=starts.astype(float)),
        native.attention(two, two, two, starts=starts),
        native.attention(q[:, :, :8], q, q, starts=starts),
        native.attention(q, q, q, starts=starts, keep_probabilities=True),
        native.attention(q, q, q, starts=starts, mask=np.ones((1, 1, 9, 9), bool)),
        native.attention(q, q, q, key_bias=bias.astype(float)),
        native.attention(q, q, q, key_bias=bias[:, :8]),
        native.attention(q, q, q, key_bias=bias[0]),
        native.attention(q, q, q, key_bias=np.ones((2, 9), np.float32)),
    ]
    assert all(isinstance(result, Unsupported) for result in unsupported)
    int32 = native.attention(q, q, q, starts=starts.astype(np.int32))[0]
    np.testing.assert_array_equal(int32, native.attention(q, q, q, starts=starts)[0])


# n and k: no whole panel, several panels, every way to read rows, more than a block of k.
SHAPES = [(5, 17), (97, 64), (33, 512), (520, 770), (70, 1543)]


@pytest.mark.parametrize(("n", "k"), SHAPES)
@pytest.mark.parametrize("activation", [None, "gelu", "tanh"])
def test_a_row_has_the_same_bits_beside_any_number_of_rows(float32_kernel, rng, n, k, activation):
    from numpy_erniem.backend import native

    x, weight, bias = operands(rng, 200, n, k)
    w = {"weight": weight, "bias": bias}
    every = range(1, 201) if n * k < 100_000 else (1, 2, 13, 31, 32, 33, 95, 96, 97, 141, 200)
    want = native.linear(x, w, activation)
    for m in every:
        np.testing.assert_array_equal(native.linear(x[:m], w, activation), want[:m])
        np.testing.assert_array_equal(native.linear(x[-m:], w, activation), want[-m:])
    for y in native.linears(x, [w, w]):
        np.testing.assert_array_equal(y, native.linear(x, w))


def test_strassens_algorithm_is_used_if_asked_for_and_never_where_rows_are_independent(
    kernels, rng, strassen
):
    from numpy_erniem.backend import native

    x, weight, bias = operands(rng, 150, 545, 770)
    w = {"weight": weight, "bias": bias}
    classical = native.linear(x, w)
    strassen(kernels.lib.ERNIEM_STRASSEN_LARGE)
    outside = native.linear(x, w)
    assert np.abs(outside - classical).max() > 0
    with independent_rows():
        assert rows_are_independent()
        np.testing.assert_array_equal(native.linear(x, w), classical)
        np.testing.assert_array_equal(native.linears(x, [w])[0], classical)
    assert not rows_are_independent()
    np.testing.assert_array_equal(native.linear(x, w), outside)


WIDE = {
    "vocab_size": 599,
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 1024,
    "num_hidden_layers": 2,
}


@pytest.fixture(scope="module")
def wide():
    return redrawn(ErnieMForMaskedLM(ErnieMConfig(**WIDE))).prepare()


def kinds():
    from tests.conftest import native_is_built

    if not native_is_built():
        return ["none"]
    from numpy_erniem.backend import settings

    return settings.available_threading()


def run(model, texts, kept=False):
    ids, starts = pack_texts(texts)
    return model(ids, starts=starts, output_hidden_states=kept)


@pytest.mark.parametrize(
    ("kind", "count", "which"),
    [*((kind, count, "OFF") for kind in kinds() for count in (1, 2)), (kinds()[0], 2, "LARGE")],
)
def test_a_text_has_the_same_bits_in_any_packed_batch(
    wide, rng, kernels, threads, strassen, kind, count, which
):
    """At base width, in one chunk or several, also where Strassen's algorithm is asked for."""
    from numpy_erniem.backend import settings

    strassen(getattr(kernels.lib, f"ERNIEM_STRASSEN_{which}"))

    before = settings.get_threading()
    settings.set_threading(kind)
    threads(count)
    try:
        texts = [rng.integers(3, 599, n) for n in (120, 1, 40, 512, 97, 300, 14, 130)]
        alone = [run(wide, [t], True) for t in texts]
        for order in (range(8), (5, 2), (7, 6, 5, 4, 3, 2, 1, 0)):
            chosen = [texts[n] for n in order]
            starts = starts_of(map(len, chosen))
            for kept in (False, True):  # with hidden states there is one chunk
                got = run(wide, chosen, kept)
                for n, first, end in zip(order, starts[:-1], starts[1:], strict=True):
                    np.testing.assert_array_equal(got.logits[:, first:end], alone[n].logits)
                    if kept:
                        for a, b in zip(got.hidden_states, alone[n].hidden_states, strict=True):
                            np.testing.assert_array_equal(a[:, first:end], b)
    finally:
        settings.set_threading(before)


def test_a_pooled_vector_has_the_same_bits_in_any_packed_batch(float32_kernel, rng):
    sizes = {**WIDE, "num_hidden_layers": 1}
    model = redrawn(ErnieMModel(ErnieMConfig(**sizes)))
    texts = [rng.integers(3, 599, n) for n in rng.integers(1, 6, 100)]
    pooled = run(model, texts).pooler_output
    for text, row in list(zip(texts, pooled, strict=True))[::7]:
        np.testing.assert_array_equal(run(model, [text]).pooler_output[0], row)
