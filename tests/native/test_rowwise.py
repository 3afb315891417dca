"""Layer norm, embeddings and activations in C, beside the plain loops and beside NumPy."""

import numpy as np
import pytest

from numpy_erniem import ops
from numpy_erniem.backend.unsupported import Unsupported
from numpy_erniem.quantization.numbers import BFLOAT16, STORED_BFLOAT16, widen
from tests.native.conftest import COLUMNS

EPS = 1e-5
LAPLACE = 4
# By the number in micro.h: the largest error in units of the last place of the result or,
# where the result is far smaller than x, of x. laplace divides by 0.28 a difference that was
# rounded, as its formula says.
ULPS = {**dict.fromkeys(range(1, 14), 4), LAPLACE: 16}


def norm_weights(rng, d):
    return {
        "weight": rng.standard_normal(d, np.float32),
        "bias": rng.standard_normal(d, np.float32),
    }


@pytest.mark.parametrize("d", [*COLUMNS, 768, 1023])
@pytest.mark.parametrize("with_residual", [False, True])
def test_add_norm_equals_the_loops(isa, kernels, unset, rng, close, d, with_residual):
    lib, of = kernels.lib, kernels.of
    x, residual = rng.standard_normal((2, 19, d), np.float32)
    w = norm_weights(rng, d)
    add = of(residual) if with_residual else kernels.null
    arguments = (19, d, of(x), add, of(w["weight"]), of(w["bias"]), EPS)
    got, want = unset(19, d), unset(19, d)
    assert lib.erniem_add_norm(*arguments, of(got)) == 0
    assert lib.erniem_add_norm_reference(*arguments, of(want)) == 0
    close(got, want, "primitive")


def test_add_norm_may_write_over_its_arguments(isa, kernels, rng, close):
    lib, of = kernels.lib, kernels.of
    x, residual = rng.standard_normal((2, 5, 37), np.float32)
    w = norm_weights(rng, 37)
    want = ops.add_norm.body(x, residual, w, EPS)
    for target in (x.copy(), residual.copy()):
        first, second = (target, residual) if (target == x).all() else (x, target)
        lib.erniem_add_norm(
            5, 37, of(first), of(second), of(w["weight"]), of(w["bias"]), EPS, of(target)
        )
        close(target, want, "primitive")


def test_add_norm_of_many_rows(isa, rng, close):
    from numpy_erniem.backend import native

    x, residual = rng.standard_normal((2, 3, 211, 96), np.float32)
    w = norm_weights(rng, 96)
    got = native.add_norm(x, residual, w, EPS)
    close(got, ops.add_norm.body(x, residual, w, EPS), "primitive")
    close(native.layer_norm(x, w, EPS), ops.layer_norm.body(x, w, EPS), "primitive")


@pytest.mark.parametrize("d", [5, 16, 37, 768])
def test_a_row_is_normed_as_alone(isa, rng, d):
    from numpy_erniem.backend import native

    x, residual = rng.standard_normal((2, 11, d), np.float32)
    w = norm_weights(rng, d)
    alone = [native.add_norm(x[i], residual[i], w, EPS) for i in range(11)]
    for rows in range(1, 12):  # several are normed side by side
        got = native.add_norm(x[:rows], residual[:rows], w, EPS)
        np.testing.assert_array_equal(got, alone[:rows])


def test_norm_of_nan_and_infinity(isa, rng):
    from numpy_erniem.backend import native

    x = rng.standard_normal((4, 40), np.float32)
    x[1, 3], x[2, 39] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        want = ops.layer_norm.body(x, norm_weights(rng, 40), EPS)
    got = native.layer_norm(x, norm_weights(rng, 40), EPS)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))


def test_what_add_norm_declines(rng):
    from numpy_erniem.backend import native

    x, w = rng.standard_normal((3, 4), np.float32), norm_weights(rng, 4)
    assert isinstance(native.add_norm(x.astype(np.float64), None, w, EPS), Unsupported)
    assert isinstance(native.add_norm(x, x[:1], w, EPS), Unsupported)
    assert isinstance(native.add_norm(x, x.astype(">f4"), w, EPS), Unsupported)
    assert isinstance(native.add_norm(x[:, :3], None, w, EPS), Unsupported)
    assert isinstance(native.add_norm(x[:0], None, w, EPS), Unsupported)
    assert isinstance(native.add_norm(x[:, :0], None, norm_weights(rng, 0), EPS), Unsupported)


def embedding_weights(rng, d):
    return {
        "word_embeddings": {"weight": rng.standard_normal((11, d), np.float32)},
        "position_embeddings": {"weight": rng.standard_normal((9, d), np.float32)},
        "layer_norm": norm_weights(rng, d),
    }


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int8, ">i8"])
@pytest.mark.parametrize("one_row", [False, True])
def test_embed_equals_the_formula(isa, rng, close, dtype, one_row):
    from numpy_erniem.backend import native

    w = embedding_weights(rng, 37)
    ids = rng.integers(0, 11, (3, 7)).astype(dtype)
    rows = rng.integers(0, 9, (1 if one_row else 3, 7)).astype(dtype)
    close(native.embed(ids, rows, w, EPS), ops.embed.body(ids, rows, w, EPS), "primitive")
    strided = np.repeat(ids, 2, axis=1)[:, ::2]
    close(native.embed(strided, rows, w, EPS), ops.embed.body(ids, rows, w, EPS), "primitive")


@pytest.mark.parametrize(("B", "T"), [(5, 100), (3, 256), (2, 300)])
@pytest.mark.parametrize("one_row", [False, True])
def test_embed_goes_over_many_texts_in_parts(rng, close, B, T, one_row):
    from numpy_erniem.backend import native

    w = embedding_weights(rng, 8)
    ids, rows = rng.integers(0, 11, (B, T)), rng.integers(0, 9, (1 if one_row else B, T))
    close(native.embed(ids, rows, w, EPS), ops.embed.body(ids, rows, w, EPS), "primitive")


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "stored bfloat16", "int8"])
def test_embed_widens_every_number_of_a_narrow_table_as_numpy_does(isa, rng, kind):
    from numpy_erniem.backend import native

    every = np.arange(65536, dtype=np.uint16)
    table = {
        "float16": {"weight": every.view(np.float16)},
        "bfloat16": {"weight": every.view(BFLOAT16)},
        "stored bfloat16": {"weight": every.view(STORED_BFLOAT16)},
        "int8": {"weight": every.astype(np.int8), "scale": rng.standard_normal(2048, np.float32)},
    }[kind]
    table["weight"] = table["weight"].reshape(2048, 32)
    w = embedding_weights(rng, 32)
    narrow = {**w, "word_embeddings": table}
    wide = {**w, "word_embeddings": {"weight": widen(table["weight"], table.get("scale"))}}
    ids, rows = np.arange(2048)[None], np.arange(2048)[None] % 9
    got = native.embed(ids, rows, narrow, EPS)
    np.testing.assert_array_equal(got, native.embed(ids, rows, wide, EPS))


def test_embed_refuses_a_wrong_scale(rng):
    from numpy_erniem.backend import native

    ids, rows = np.array([[1]]), np.array([[2]])
    w = embedding_weights(rng, 8)
    table = np.ones((11, 8), np.int8)
    for scale in (np.ones(10, np.float32), np.ones(11), np.ones((11, 1), np.float32)):
        wrong = {**w, "word_embeddings": {"weight": table, "scale": scale}}
        assert isinstance(native.embed(ids, rows, wrong, EPS), Unsupported)


def test_embed_never_reads_outside_its_tables(rng):
    from numpy_erniem.backend import native

    w = embedding_weights(rng, 8)
    ids, rows = np.zeros((2, 3), np.int64), np.zeros((1, 3), np.int64)
    for bad in (-1, 11, 1 << 40):
        wrong = ids.copy()
        wrong[1, 2] = bad
        assert isinstance(native.embed(wrong, rows, w, EPS), Unsupported)
    for bad in (-1, 9):
        wrong = rows.copy()
        wrong[0, 2] = bad
        assert isinstance(native.embed(ids, wrong, w, EPS), Unsupported)
    assert isinstance(native.embed(ids.astype(np.float32), rows, w, EPS), Unsupported)
    assert isinstance(native.embed(ids[:, :0], rows[:, :0], w, EPS), Unsupported)
    assert isinstance(native.embed(ids, rows[:, :2], w, EPS), Unsupported)
    table = {"weight": w["word_embeddings"]["weight"][:, ::2]}
    assert isinstance(native.embed(ids, rows, {**w, "word_embeddings": table}, EPS), Unsupported)


@pytest.mark.parametrize("number", range(1, 14))
def test_activations_are_exact_to_a_few_ulp(isa, kernels, number):
    lib, of = kernels.lib, kernels.of
    x = np.concatenate([np.linspace(-30, 30, 120_007), [0, -0.0, 1e-30, 1e-42, 90, -110]])
    got, want = x.astype(np.float32), x.astype(np.float32)
    x = got.copy()
    assert lib.erniem_activate(number, got.size, of(got)) == 0
    assert lib.erniem_activate_reference(number, want.size, of(want)) == 0
    unit = np.spacing(np.maximum(np.abs(want), np.minimum(np.abs(x), 8)).astype(np.float32))
    assert (np.abs(got.astype(np.float64) - want) / unit).max() <= ULPS[number]


@pytest.mark.parametrize("number", range(14))
def test_activations_of_infinity_and_nan(isa, kernels, number):
    lib, of = kernels.lib, kernels.of
    for size in (1, 3, 20):  # in whole vectors and in the rest
        got = np.full(size, np.nan, np.float32)
        lib.erniem_activate(number, size, of(got))
        assert np.isnan(got).all()
    got = np.array([np.inf] * 21, np.float32)
    want = got.copy()
    lib.erniem_activate(number, 21, of(got))
    lib.erniem_activate_reference(number, 21, of(want))
    np.testing.assert_array_equal(got, want)
