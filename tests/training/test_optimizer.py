import copy
import math

import numpy as np
import pytest

from numpy_erniem.backend.blas import get_blas_threads, set_blas_threads
from numpy_erniem.training.gradient_tree import SparseRows
from numpy_erniem.training.learning_rate import schedule
from numpy_erniem.training.optimizer import (
    AdamW,
    clip,
    clip_factor,
    nonfinite,
)

SHAPES = {"table": (37, 5), "deep.weight": (11, 7), "bias": (13,)}


def draw(seed):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape, np.float32) for name, shape in SHAPES.items()}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("steps", [1, 100])
@pytest.mark.parametrize("largest", [None, 3.0])
def test_steps_equal_those_of_torch(steps, largest, threads):
    torch = pytest.importorskip("torch")
    weights = draw(0)
    theirs = {k: torch.nn.Parameter(torch.from_numpy(v.copy())) for k, v in weights.items()}
    groups = [
        {"params": [theirs["table"]], "lr": 0.02 * 0.5, "weight_decay": 0.1},
        {"params": [theirs["deep.weight"]], "lr": 0.02, "weight_decay": 0.1},
        {"params": [theirs["bias"]], "lr": 0.02, "weight_decay": 0.0},
    ]
    reference = torch.optim.AdamW(groups, betas=(0.8, 0.99), eps=1e-6)
    warmup = torch.optim.lr_scheduler.LambdaLR(reference, lambda n: schedule(n, 120, 10))
    ours = AdamW(0.02, (0.8, 0.99), 1e-6, 0.1, factors={"table": 0.5})
    for n in range(steps):
        gradients = draw(n + 1)
        for k, p in theirs.items():
            p.grad = torch.from_numpy(gradients[k].copy())
        if largest:
            torch.nn.utils.clip_grad_norm_(theirs.values(), largest)
        reference.step()
        warmup.step()
        clipped, _ = clip(gradients, largest)
        ours.step(weights, clipped, schedule(n, 120, 10), threads)
    for name, value in theirs.items():
        np.testing.assert_allclose(weights[name], value.detach().numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("looked_up", [[], [3, 9], [0, 19, 20, 36]])
def test_sparse_rows_give_the_bits_of_the_dense_gradient(looked_up, threads, monkeypatch):
    monkeypatch.setattr("numpy_erniem.training.optimizer.BLOCK", 52)  # ten rows and a bit
    values = np.random.default_rng(1).standard_normal((len(looked_up), 5), np.float32)
    rows = SparseRows(np.array(looked_up, int), values, SHAPES["table"])
    weights = [{"table": draw(0)["table"]} for _ in range(2)]
    for mine, g in zip(weights, (rows, np.asarray(rows)), strict=True):
        optimizer = AdamW()
        for _ in range(3):
            optimizer.step(mine, {"table": g}, threads=threads)
    np.testing.assert_array_equal(weights[0]["table"], weights[1]["table"])


def test_a_row_that_was_looked_up_once_moves_on():
    table = np.zeros(SHAPES["table"], np.float32)
    optimizer = AdamW(weight_decay=0)
    for row in (3, 9):
        rows = SparseRows(np.array([row]), np.ones((1, 5), np.float32), table.shape)
        optimizer.step({"table": table}, {"table": rows})
    assert (table[3] < table[9]).all()
    assert not table[[0, 1, 2, 4]].any()


def test_clipping_leaves_short_gradients_alone():
    gradients = draw(0)
    copies = {k: v.copy() for k, v in gradients.items()}
    norm = math.sqrt(sum((v.astype(float) ** 2).sum() for v in gradients.values()))
    clipped, told = clip(gradients, norm * 1.01)
    assert told == pytest.approx(norm, rel=1e-6)
    for name, value in copies.items():
        np.testing.assert_array_equal(clipped[name], value)


def test_a_step_with_the_factor_has_the_bits_of_a_step_with_clipped_gradients():
    gradients = {
        **draw(1),
        "table": SparseRows(np.array([3]), np.full((1, 5), 2, np.float32), (37, 5)),
    }
    results = []
    for by_factor in (True, False):
        weights, given = draw(0), {k: copy.deepcopy(v) for k, v in gradients.items()}
        if by_factor:
            factor, norm = clip_factor(given, 0.5)
            assert factor == pytest.approx(0.5 / norm)
            AdamW().step(weights, given, gradient_factor=factor)
            np.testing.assert_array_equal(given["bias"], gradients["bias"])
        else:
            AdamW().step(weights, clip(given, 0.5)[0])
        results.append(weights)
    for name, value in results[0].items():
        np.testing.assert_array_equal(value, results[1][name])
        assert (value != draw(0)[name]).any()


def test_the_norm_does_not_depend_on_threads_nor_on_those_of_blas():
    gradients = {"w": np.random.default_rng(0).standard_normal(200_001, np.float32)}
    before, found = get_blas_threads(), set()
    try:
        for threads in (1, 2):
            set_blas_threads(threads)
            found |= {clip_factor(gradients, 1.0, threads), clip_factor(gradients, 1.0)}
    finally:
        if before is not None:
            set_blas_threads(before)
    assert len(found) == 1


def test_clipping_counts_sparse_rows():
    rows = SparseRows(np.array([0, 4]), np.full((2, 2), 3, np.float32), (9, 2))
    clipped, norm = clip({"a": rows, "b": np.full(4, 4, np.float32)}, 1.0)
    assert norm == pytest.approx(10)
    assert clipped["a"].values[0, 0] == pytest.approx(0.3, rel=1e-5)
    assert clipped["b"][0] == pytest.approx(0.4, rel=1e-5)


def test_nan_is_named():
    bad = draw(0)
    bad["bias"][2] = np.nan
    assert math.isnan(clip(bad, 1.0)[1])
    rows = SparseRows(np.array([3]), np.float32([[np.inf]]), (9, 1))
    assert nonfinite({"fine": np.ones(2), "bias": draw(0)["bias"] * np.nan, "rows": rows}) == [
        "bias",
        "rows",
    ]


def test_a_sparse_step_makes_no_dense_table(monkeypatch):
    def never(self, dtype=None, copy=None):
        raise AssertionError("the whole table was made")

    monkeypatch.setattr(SparseRows, "__array__", never)
    rows = SparseRows(np.array([3]), np.ones((1, 5), np.float32), SHAPES["table"])
    AdamW().step(draw(0), {"table": rows})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("betas", (1.0, 0.999)),
        ("betas", (0.9, 1.5)),
        ("betas", 0.9),
        ("learning_rate", -1e-3),
        ("learning_rate", math.nan),
        ("eps", 0.0),
        ("weight_decay", math.inf),
    ],
)
def test_a_number_of_adamw_out_of_its_range_is_refused(name, value):
    with pytest.raises(ValueError, match=name):
        AdamW(**{name: value})


@pytest.mark.parametrize("norm", [0.0, -1.0, math.nan, "1"])
def test_a_largest_norm_that_is_none_is_refused(norm):
    with pytest.raises(ValueError, match=r"max_norm is .*None turns clipping off"):
        clip({"w": np.ones(3, np.float32)}, norm)


def read_only(w):
    w.flags.writeable = False
    return w


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (lambda w: w, "v", "gradient of v, which is no weight"),
        (lambda w: w[:2], "w", r"w has the shape \(2, 4\), its gradient \(3, 4\)"),
        (read_only, "w", "w cannot be changed in place"),
        (np.asfortranarray, "w", "w cannot be changed in place"),
    ],
)
def test_a_weight_that_a_gradient_does_not_fit_is_refused(make, name, message):
    optimizer, weights = AdamW(), {"w": make(np.ones((3, 4), np.float32))}
    with pytest.raises(ValueError, match=message):
        optimizer.step(weights, {name: np.ones((3, 4), np.float32)})
    assert optimizer.steps == 0
    assert (weights["w"] == 1).all()
