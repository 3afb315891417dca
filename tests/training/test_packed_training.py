"""Packed batches in training: every text has the gradients that it has alone, and no padding."""

import sys
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from numpy_erniem import use_backend
from numpy_erniem.config import POSITION_EMBEDDING_TYPES
from numpy_erniem.models.inputs import prepare_inputs
from numpy_erniem.training import TrainingConfig, trainable, value_and_grad
from numpy_erniem.training import encoder as training_encoder
from numpy_erniem.training.encoder import encode
from tests.conftest import native_is_built
from tests.models.conftest import L, V
from tests.training.conftest import compare_gradients, dense, make
from tests.training.tasks import TASKS, padded, save_small
from tests.training.test_gradients_by_differences import DROPOUT, check_gradients

LENGTHS = (7, 4, 1, 5)
STARTS = np.cumsum([0, *LENGTHS])
N = int(STARTS[-1])
TAGS = "ErnieMForTokenClassification"


def some(rng, labels):
    """Labels of some tokens, of which one is in the first text."""
    labels[rng.random(labels.shape) < 0.5] = -100
    labels[0, 1] = 3
    return labels


KINDS = {
    "ErnieMForSequenceClassification": lambda rng: {"labels": np.array([3, 0, 1, 1])},
    "ErnieMForMultipleChoice": lambda rng: {"labels": np.array([1, 0])},
    TAGS: lambda rng: {"labels": some(rng, rng.integers(0, 5, (1, N)))},
    "ErnieMForMaskedLM": lambda rng: {"labels": some(rng, rng.integers(0, V, (1, N)))},
    "ErnieMForQuestionAnswering": lambda rng: {
        "start_positions": np.array([2, 3, 0, 4]),
        "end_positions": np.array([6, 3, 0, 1]),
    },
    "ErnieMForInformationExtraction": lambda rng: {
        "start_positions": rng.integers(0, 2, (1, N)),
        "end_positions": rng.integers(0, 2, (1, N)),
    },
}
SPANS = ("ErnieMForQuestionAnswering", "ErnieMForInformationExtraction")
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def packed(kind, rng):
    return {"input_ids": rng.integers(2, V, (1, N)), "starts": STARTS, **KINDS[kind](rng)}


def rows_of(batch):
    """The padded batch of a packed one."""
    mask = batch.get("attention_mask", np.ones((1, N), bool))
    rows = padded({**batch, "attention_mask": mask})
    del rows["counted"]
    return rows


def choices_of(kind, rows):
    if kind == "ErnieMForMultipleChoice":  # (B·C, T) -> (B, C, T)
        tokens = ("input_ids", "attention_mask")
        return {k: v.reshape(2, 2, -1) if k in tokens else v for k, v in rows.items()}
    return rows


def by_query(rng):
    """For each token, which tokens of its text it sees, filled up with anything."""
    mask = rng.random((1, N, max(LENGTHS))) < 0.6
    mask[0, :, 0] = True
    return mask


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in SPANS])
def test_a_packed_batch_has_the_gradients_of_a_padded_one(kind, dtype, backend, rng):
    model, batch = make(kind, dtype), packed(kind, rng)
    loss, gradients = value_and_grad(model, batch)
    want, wanted = value_and_grad(model, choices_of(kind, rows_of(batch)))
    assert loss == pytest.approx(want, rel=1e-6)
    wanted = dense(wanted)
    compare_gradients(gradients, wanted)
    largest = max(np.abs(g).max() for g in wanted.values())
    for name, value in dense(gradients).items():
        np.testing.assert_allclose(value, wanted[name], rtol=1e-5, atol=1e-5 * largest)


@pytest.mark.parametrize("kind", SPANS)
def test_the_loss_of_spans_is_that_of_each_text_alone(kind, backend, rng):
    model, batch = make(kind), packed(kind, rng)
    losses = []
    for n, (first, end) in enumerate(pairwise(STARTS)):
        spans = {k: v for k, v in batch.items() if k.endswith("positions")}
        own = {k: v[:, first:end] if v.ndim == 2 else v[[n]] for k, v in spans.items()}
        losses.append(float(model(batch["input_ids"][:, first:end], **own).loss))
    weights = LENGTHS if kind == "ErnieMForInformationExtraction" else None  # a mean over tokens
    want = np.average(losses, weights=weights)
    assert value_and_grad(model, batch)[0] == pytest.approx(want, rel=1e-5)


def test_an_answer_behind_the_end_of_its_text_does_not_count(rng):
    kind = "ErnieMForQuestionAnswering"
    model, batch = make(kind, "float64"), packed(kind, rng)
    batch["start_positions"][1] = batch["end_positions"][1] = 4
    loss, gradients = value_and_grad(model, batch)
    kept = np.r_[0:7, 11:17]
    less = {"input_ids": batch["input_ids"][:, kept], "starts": np.array([0, 7, 8, 13])}
    less |= {name: batch[name][[0, 2, 3]] for name in ("start_positions", "end_positions")}
    want, wanted = value_and_grad(model, less)
    assert loss == pytest.approx(want)
    words = ("word_embeddings", "position_embeddings")  # rows that were looked up have gradient 0
    for name, value in dense(wanted).items():
        np.testing.assert_allclose(dense(gradients)[name], value, atol=1e-12, err_msg=name)
    assert all(any(word in name for name in dense(gradients)) for word in words)


@EVERY_KIND
def test_gradients_of_every_head_by_differences(kind, rng):
    check_gradients(make(kind, "float64"), packed(kind, rng))


@pytest.mark.parametrize("kind", POSITION_EMBEDDING_TYPES)
@pytest.mark.parametrize("each", [False, True])
def test_dropout_masks_and_positions_by_differences(kind, each, rng):
    model = make(TAGS, "float64", position_embedding_type=kind, **DROPOUT)
    mask = by_query(rng) if each else rng.random((1, N)) < 0.7
    batch = {**packed(TAGS, rng), "attention_mask": mask, "head_mask": rng.random((L, 3))}
    check_gradients(model, batch, seed=8)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_dropout_of_several_threads_by_differences(threads, rng):
    batch = {**packed(TAGS, rng), "attention_mask": by_query(rng)}
    check_gradients(make(TAGS, "float64", **DROPOUT), batch, seed=8, threads=threads)


@EVERY_KIND
def test_the_kernels_have_the_gradients_of_numpy(kind, rng):
    if not native_is_built():
        pytest.skip("the C kernels are not built")
    batch = {**packed(kind, rng), "attention_mask": by_query(rng)}
    results = []
    for name in ("numpy", "native"):
        with use_backend(name):
            model = make(kind, **DROPOUT)
            results.append(value_and_grad(model, batch, rng=np.random.default_rng(7)))
    (want, wanted), (loss, gradients) = results
    assert loss == pytest.approx(want, rel=1e-5)
    compare_gradients(gradients, dense(wanted))


@pytest.mark.parametrize("kind", POSITION_EMBEDDING_TYPES)
def test_texts_of_one_length_have_the_bits_of_a_padded_batch(kind, backend, rng):
    model = make(TAGS, position_embedding_type=kind, **DROPOUT)
    ids, labels = rng.integers(2, V, (3, 6)), rng.integers(0, 5, (3, 6))
    one = {
        "input_ids": ids.reshape(1, -1),
        "starts": [0, 6, 12, 18],
        "labels": labels.reshape(1, -1),
    }
    results = [
        value_and_grad(model, batch, rng=np.random.default_rng(3))
        for batch in (one, {"input_ids": ids, "labels": labels})
    ]
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-6)  # the same elements are dropped
    compare_gradients(results[0][1], dense(results[1][1]))


@pytest.mark.parametrize("each", [False, True])
def test_a_mask_is_that_of_the_padded_batch(each, backend, rng):
    model, batch = make(TAGS), packed(TAGS, rng)
    mask = by_query(rng) if each else rng.random((1, N)) < 0.7
    rows = rows_of({**batch, "attention_mask": mask})
    if each:
        T = max(LENGTHS)
        rows["attention_mask"] &= (np.arange(T) < np.array(LENGTHS)[:, None])[:, None]
    loss, gradients = value_and_grad(model, {**batch, "attention_mask": mask})
    want, wanted = value_and_grad(model, rows)
    assert loss == pytest.approx(want, rel=1e-6)
    compare_gradients(gradients, dense(wanted))
    assert loss != pytest.approx(value_and_grad(model, batch)[0], rel=1e-4)


@pytest.mark.parametrize("each", [False, True])
def test_the_model_takes_the_same_mask(each, backend, rng):
    model, batch = make(TAGS), packed(TAGS, rng)
    batch["attention_mask"] = by_query(rng) if each else rng.random((1, N)) < 0.7
    want = float(model(**batch).loss)
    assert value_and_grad(model, batch)[0] == pytest.approx(want, rel=1e-6)


def test_steps_have_the_same_bits_for_any_number_of_threads(rng):
    if not native_is_built():
        pytest.skip("NumPy divides the batch among threads")
    model, batch = make(TAGS, **DROPOUT), {**packed(TAGS, rng), "attention_mask": by_query(rng)}
    with use_backend("native"):
        one, *others = (
            value_and_grad(
                model, batch, rng=np.random.default_rng(1), threads=n, gradient_checkpointing=n == 3
            )
            for n in (1, 2, 3)
        )
    for loss, gradients in others:
        assert loss == one[0]
        for name, value in dense(gradients).items():
            np.testing.assert_array_equal(value, dense(one[1])[name], err_msg=name)


@pytest.mark.parametrize("threads", [2, 3, 9])
def test_numpy_divides_the_texts_among_threads(threads, rng):
    model, batch = make(TAGS, "float64"), packed(TAGS, rng)
    with use_backend("numpy"):
        want, wanted = value_and_grad(model, batch)
        loss, gradients = value_and_grad(model, batch, threads=threads)
    assert loss == pytest.approx(want)
    compare_gradients(gradients, dense(wanted))


def test_the_parts_of_a_batch_have_nearly_as_many_tokens(rng):
    lengths = rng.integers(1, 18, 40)
    starts = np.cumsum([0, *lengths])
    model = make(TAGS)
    ids = rng.integers(2, V, (1, starts[-1]))
    inputs = prepare_inputs(model.config, model.dtype, ids, starts=starts)
    parts = training_encoder._parts(inputs, 4)
    tokens = [part.starts[-1] for part, _ in parts]
    assert len(parts) == 4
    assert max(tokens) - min(tokens) < 2 * 18
    np.testing.assert_array_equal(np.concatenate([ids[at] for _, at in parts], axis=1), ids)


def test_packed_batches_need_no_more_memory(rng):
    lengths = np.array([18, 3, 5, 2, 12, 4, 3, 7, 2, 2])
    starts = np.cumsum([0, *lengths])
    sizes = {"num_hidden_layers": 6, "intermediate_size": 96}
    model = trainable(make(TAGS, **sizes))
    ids = rng.integers(2, V, (1, starts[-1]))
    batch = {"input_ids": ids, "starts": starts, "labels": ids % 5}
    rows = padded({**batch, "attention_mask": np.ones_like(ids)})
    del rows["counted"]
    peaks = []
    with use_backend("numpy"):
        for given in (batch, rows):
            tracemalloc.start()
            value_and_grad(model, given, rng=np.random.default_rng(0))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[0] < 0.6 * peaks[1]  # a third of the padded batch is tokens


def test_a_bias_of_keys_is_refused(rng):
    model = make("ErnieMForSequenceClassification")
    ids, bias = rng.integers(2, V, (1, 5)), {"key_bias": np.ones((1, 5))}
    with pytest.raises(ValueError, match="training does not take key_bias"):
        value_and_grad(model, {"input_ids": ids, "labels": [0], **bias})
    inputs = prepare_inputs(model.config, model.dtype, ids, **bias)
    with pytest.raises(ValueError, match="training takes no key_bias"):
        encode(inputs, model.weights["ernie_m"], model.config)


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        (TAGS, {"starts": [0, 5]}, "end with the number of tokens, 17"),
        (TAGS, {"attention_mask": np.ones((1, N, 6))}, "with starts"),
        (TAGS, {"labels": np.zeros((4, 7), int)}, r"must have shape \(1, 17\)"),
        ("ErnieMForMultipleChoice", {"labels": [0, 1, 1]}, "4 packed choices .* 3 labels"),
        ("ErnieMForQuestionAnswering", {"end_positions": [0]}, "1 positions for 4 packed texts"),
        ("ErnieMForQuestionAnswering", {"end_positions": [0, -1, 0, 0]}, "holds -1"),
    ],
)
def test_what_does_not_fit_is_refused(kind, wrong, message, rng):
    with pytest.raises(ValueError, match=message):
        value_and_grad(make(kind), {**packed(kind, rng), **wrong})


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_no_padding_is_computed_in_fine_tuning(task, tmp_path, monkeypatch):
    seen = []

    def spy(inputs, *arguments, **options):
        seen.append(inputs)
        return encode(inputs, *arguments, **options)

    monkeypatch.setattr(sys.modules["numpy_erniem.training.value_and_grad"], "encode", spy)
    config = TrainingConfig(steps=1, batch_size=5, threads=1)
    setup = task.setup(task.data, task.data, config, model=save_small(tmp_path))
    for step in range(setup.batches_per_epoch):
        setup.loss_and_grad(setup.model, step, np.random.default_rng(step))
    padding = setup.model.config.pad_token_id
    assert all(inputs.starts is not None for inputs in seen)
    assert max(len(inputs.starts) for inputs in seen) > 5
    assert all((inputs.input_ids != padding).all() for inputs in seen)
