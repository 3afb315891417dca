"""The losses: against their definitions, at the edges of float32, and on labels that are wrong."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from numpy_erniem import ErnieMConfig
from numpy_erniem.heads import answer_loss, classification_loss, extraction_loss, problem_of
from numpy_erniem.losses import bce_with_logits, cross_entropy, mse

SCORES = np.float32([[1, -2, 0.5], [0, 3, -1]])  # (N 2, C 3)


def softmax_of(row):
    powers = [math.exp(s) for s in row]
    return [p / sum(powers) for p in powers]


def close_to(value):
    return pytest.approx(value, rel=1e-6)


def test_mse_is_the_mean_of_squares():
    assert mse(SCORES, [[0, 0, 0], [1, 1, 1]]) == close_to((1 + 4 + 0.25 + 1 + 4 + 4) / 6)


def test_cross_entropy_is_minus_the_mean_log_probability():
    want = -(math.log(softmax_of(SCORES[0])[2]) + math.log(softmax_of(SCORES[1])[0])) / 2
    assert cross_entropy(SCORES, [2, 0]) == close_to(want)


def test_cross_entropy_leaves_ignored_labels_out_of_the_mean():
    assert cross_entropy(SCORES, [-100, 0]) == close_to(-math.log(softmax_of(SCORES[1])[0]))


def test_cross_entropy_has_any_number_of_axes():
    got = cross_entropy(np.stack([SCORES, SCORES[::-1]]), [[2, 0], [1, -100]])
    rows = [(SCORES[0], 2), (SCORES[1], 0), (SCORES[1], 1)]
    assert got == close_to(-sum(math.log(softmax_of(s)[y]) for s, y in rows) / 3)


def test_cross_entropy_of_labels_that_are_all_ignored_is_zero_with_a_warning():
    with pytest.warns(UserWarning, match="all labels are -100"):
        loss = cross_entropy(SCORES, [-100, -100])
    assert loss == 0
    assert loss.dtype == np.float32


def test_bce_is_minus_the_mean_log_probability():
    p = [1 / (1 + math.exp(-s)) for s in (1, -2, 0.5)]
    want = -(math.log(p[0]) + math.log(1 - p[1]) + 0.3 * math.log(p[2]) + 0.7 * math.log(1 - p[2]))
    assert bce_with_logits(SCORES[:1], [[1, 0, 0.3]]) == close_to(want / 3)


@pytest.mark.parametrize("targets", [[[1, 0, 1]], [[True, False, True]], [[1.0, 0.0, 1.0]]])
def test_bce_takes_integers_and_bools(targets):
    assert bce_with_logits(SCORES[:1], targets) == bce_with_logits(SCORES[:1], [[1.0, 0.0, 1.0]])


def test_large_scores_overflow_nowhere():
    big = np.float32([[3e38, -3e38, 0]])
    assert cross_entropy(big / 4, [0]) == 0
    assert bce_with_logits(big, [[1, 0, 1]]) == close_to(math.log(2) / 3)


def test_small_losses_do_not_cancel():
    assert bce_with_logits(np.float32([[20]]), [[1]]) == close_to(math.log1p(math.exp(-20)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_loss_has_the_dtype_of_the_scores(dtype):
    scores = SCORES.astype(dtype)
    losses = mse(scores, scores), cross_entropy(scores, [0, 1]), bce_with_logits(scores, scores > 0)
    assert {loss.dtype for loss in losses} == {np.dtype(dtype)}
    assert all(isinstance(loss.item(), float) for loss in losses)


def test_arguments_are_never_changed():
    scores, labels = SCORES.copy(), np.array([2, -100])
    targets = np.float32([[0, 1, 0.5]] * 2)
    cross_entropy(scores, labels)
    bce_with_logits(scores, targets)
    mse(scores, targets)
    answer_loss((scores, scores), np.array([9, 1]), labels := np.array([2, 9]))
    assert (scores == SCORES).all()
    assert (targets == np.float32([[0, 1, 0.5]] * 2)).all()
    assert (labels == [2, 9]).all()


floats = st.floats(-50, 50, width=32)


@settings(deadline=None)
@given(scores=hnp.arrays(np.float32, (5, 3), elements=floats), data=st.data())
def test_losses_equal_torch(torch, scores, data):
    nn = torch.nn.functional
    labels = data.draw(hnp.arrays(np.int64, 5, elements=st.sampled_from([-100, 0, 1, 2])))
    labels[0] = 1
    targets = data.draw(hnp.arrays(np.float32, (5, 3), elements=st.floats(0, 1, width=32)))
    s, y, t = (torch.from_numpy(a).double() for a in (scores, labels, targets))
    near = {"rtol": 1e-6, "atol": 1e-6}
    np.testing.assert_allclose(cross_entropy(scores, labels), nn.cross_entropy(s, y.long()), **near)
    np.testing.assert_allclose(
        bce_with_logits(scores, targets), nn.binary_cross_entropy_with_logits(s, t), **near
    )
    np.testing.assert_allclose(mse(scores, targets), nn.mse_loss(s, t), **near)


def config(num_labels=3, problem_type=None):
    return ErnieMConfig(num_labels=num_labels, problem_type=problem_type)


@pytest.mark.parametrize(
    ("num_labels", "labels", "problem"),
    [
        (1, [1, 0], "regression"),
        (1, [0.5, 1.5], "regression"),
        (3, [1, 0], "single_label_classification"),
        (3, [[1.0, 0, 0], [0, 0, 1]], "multi_label_classification"),
        (3, [[True, False, False], [False, True, True]], "multi_label_classification"),
    ],
)
def test_the_problem_is_guessed_from_the_labels(num_labels, labels, problem):
    before = config(num_labels)
    scores = SCORES[:, :num_labels]
    assert problem_of(np.asarray(labels), before) == problem
    explicit = classification_loss(scores, labels, config(num_labels, problem))
    assert classification_loss(scores, labels, before) == explicit
    assert before.problem_type is None, "upstream writes its guess into the config; we do not"


def test_a_batch_of_another_kind_is_no_problem():
    """Upstream keeps its first guess and fails here."""
    both = [classification_loss(SCORES, y, config()) for y in ([1, 2], [[1.0, 0, 0], [0, 0, 1]])]
    assert both == [cross_entropy(SCORES, [1, 2]), bce_with_logits(SCORES, [[1, 0, 0], [0, 0, 1]])]


def test_integer_labels_of_several_classes():
    loss = classification_loss(SCORES, [[1, 0, 1], [0, 0, 0]], config(3, PROBLEM[2]))
    assert loss == bce_with_logits(SCORES, [[1, 0, 1], [0, 0, 0]])


PROBLEM = ("regression", "single_label_classification", "multi_label_classification")
WRONG = {
    "too few labels": ([1], None, r"labels must have shape \(2,\), not \(1,\)"),
    "a row too many": (
        [[1, 0, 0]] * 3,
        PROBLEM[2],
        r"\(2, 3\) like the scores, not \(3, 3\)",
    ),
    "too few numbers": ([1.0, 2.0], PROBLEM[0], r"shape \(2, 3\) like the scores, not \(2,\)"),
    "class too large": ([1, 3], None, r"labels\[1\] is 3, not in 0\.\.2 or -100"),
    "class negative": ([-1, 0], None, r"labels\[0\] is -1, not in 0\.\.2"),
    "floats for one class": ([1.0, 2.0], PROBLEM[1], "labels must hold integer numbers"),
    "bools for one class": ([True, False], PROBLEM[1], "labels must hold integer numbers"),
    "strings": (["a", "b"], None, "labels must hold"),
    "ragged": ([[1], [0, 1]], None, "labels is not an array"),
    "no probability": ([[0, 1.5, 0], [0, 0, 0]], None, r"labels\[0, 1\] is 1\.5, not a prob"),
    "NaN probability": ([[0, math.nan, 0], [0, 0, 0]], None, r"labels\[0, 1\] is nan"),
    "infinite number": ([[0, math.inf, 0], [0, 0, 0]], PROBLEM[0], "finite numbers; there is inf"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_labels_are_named(case):
    labels, problem, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        classification_loss(SCORES, labels, config(3, problem))


def test_an_error_says_where_the_problem_type_came_from():
    with pytest.raises(ValueError, match="'multi_label_classification', by num_labels and the"):
        classification_loss(SCORES, [1.0, 2.0], config())
    with pytest.raises(ValueError, match="problem_type 'regression', from the config"):
        classification_loss(SCORES, [1, 2], config(3, "regression"))


SPANS = (SCORES, SCORES[::-1].copy())  # start and end, B 2, T 3


def test_positions_beyond_the_text_are_left_out():
    want = (cross_entropy(SPANS[0][:1], [2]) + cross_entropy(SPANS[1], [1, 0])) / 2
    assert answer_loss(SPANS, [2, 3], [1, 0]) == close_to(want)
    assert answer_loss(SPANS, [2, 500], [1, 0]) == close_to(want)


def test_all_positions_beyond_the_text_warn():
    with pytest.warns(UserWarning, match="all start_positions are 3"):
        loss = answer_loss(SPANS, [3, 8], [1, 0])
    assert loss == close_to(cross_entropy(SPANS[1], [1, 0]) / 2)


@pytest.mark.parametrize(
    ("starts", "ends", "message"),
    [
        ([-1, 0], [1, 1], "start_positions holds -1; positions count from 0"),
        ([0, 0], [1, -7], "end_positions holds -7"),
        ([0], [1, 1], r"start_positions must have shape \(2,\), not \(1,\)"),
        ([0.0, 1.0], [1, 1], "start_positions must hold integer"),
    ],
)
def test_wrong_positions_are_named(starts, ends, message):
    with pytest.raises(ValueError, match=message):
        answer_loss(SPANS, starts, ends)


def test_extraction_targets_may_be_integers_and_have_a_last_axis_of_one():
    starts, ends = [[0, 1, 0], [1, 0, 0]], [[0, 0, 1], [1, 1, 0]]
    want = (bce_with_logits(SPANS[0], starts) + bce_with_logits(SPANS[1], ends)) / 2
    assert extraction_loss(SPANS, starts, ends) == want
    assert extraction_loss(SPANS, np.array(starts, float)[..., None], ends) == want


def test_wrong_extraction_targets_are_named():
    with pytest.raises(ValueError, match=r"end_positions must have shape \(2, 3\)"):
        extraction_loss(SPANS, SCORES > 0, [0, 1])
    with pytest.raises(ValueError, match=r"start_positions\[1, 2\] is 2, not a probability"):
        extraction_loss(SPANS, [[0, 1, 0], [0, 0, 2]], SCORES > 0)
