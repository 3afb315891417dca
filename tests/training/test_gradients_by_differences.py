"""Gradients beside central differences of the loss in float64: needs no torch."""

import tracemalloc

import numpy as np
import pytest

from numpy_erniem.config import POSITION_EMBEDDING_TYPES
from numpy_erniem.models.weights import flatten
from numpy_erniem.training import trainable, value_and_grad
from numpy_erniem.training.gradients import dropout
from tests.models.conftest import HEADS, B, L, T, V
from tests.training.conftest import compare_gradients, dense, in_dtype, make

STEP = 1e-5
DROPOUT = {
    "hidden_dropout_prob": 0.3,
    "attention_probs_dropout_prob": 0.2,
    "act_dropout": 0.25,
    "classifier_dropout": 0.4,
}


def check_gradients(model, batch, seed=None, **options):
    """Along a random direction of each tensor, the loss changes as the gradient says."""

    def loss_and_gradients():
        rng = None if seed is None else np.random.default_rng(seed)
        return value_and_grad(model, batch, rng=rng, **options)

    model, rng = trainable(model), np.random.default_rng(4)
    gradients = dense(loss_and_gradients()[1])
    largest = max(np.abs(g).max() for g in gradients.values())
    for name, value in flatten(model.weights).items():
        if name not in gradients:
            continue
        direction = rng.standard_normal(value.shape)
        if name.endswith(("word_embeddings.weight", "position_embeddings.weight")):
            direction[model.config.pad_token_id] = 0  # it learns nothing, on purpose
        kept = value.copy()
        value += STEP * direction
        above = loss_and_gradients()[0]
        value[...] = kept - STEP * direction
        below = loss_and_gradients()[0]
        value[...] = kept
        got, want = np.vdot(gradients[name], direction), (above - below) / (2 * STEP)
        assert got == pytest.approx(want, rel=1e-6, abs=1e-7 * largest), name


@pytest.mark.parametrize("head", HEADS, ids=[h.name.removeprefix("ErnieMFor") for h in HEADS])
def test_every_head(head, rng):
    check_gradients(in_dtype(head.make(), "float64"), {**head.inputs(rng), **head.labels})


def tags(rng):
    return {"input_ids": rng.integers(2, V, (B, T)), "labels": rng.integers(0, 5, (B, T))}


@pytest.mark.parametrize("kind", POSITION_EMBEDDING_TYPES)
def test_dropout_masks_and_positions_together(kind, rng):
    model = make("ErnieMForTokenClassification", "float64", position_embedding_type=kind, **DROPOUT)
    batch = {**tags(rng), "attention_mask": rng.random((B, T, T)) < 0.7}
    check_gradients(model, {**batch, "head_mask": rng.random((L, 3))}, seed=8)


@pytest.mark.parametrize("kind", POSITION_EMBEDDING_TYPES)
def test_heads_that_were_pruned(kind, rng):
    sizes = {"position_embedding_type": kind, "pruned_heads": {1: [0, 2]}}
    check_gradients(make("ErnieMForTokenClassification", "float64", **sizes), tags(rng))


@pytest.mark.parametrize("name", DROPOUT)
def test_each_rate_of_dropout_is_used(name, rng):
    kind = "ErnieMForSequenceClassification"
    batch = {"input_ids": rng.integers(2, V, (B, T)), "labels": np.array([3, 1])}
    rates = {**dict.fromkeys(DROPOUT, 0.0), name: 0.5}
    losses = [
        value_and_grad(make(kind, **sizes), batch, rng=np.random.default_rng(2))[0]
        for sizes in (dict.fromkeys(DROPOUT, 0.0), rates)
    ]
    assert losses[0] != losses[1]


def test_dropout_is_off_without_a_generator(rng):
    model, batch = make("ErnieMForTokenClassification", **DROPOUT), tags(rng)
    assert value_and_grad(model, batch)[0] == pytest.approx(float(model(**batch).loss))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_generator_of_the_same_seed_drops_the_same(threads, rng):
    model, batch = make("ErnieMForTokenClassification", **DROPOUT), tags(rng)

    def run(seed, **options):
        generator = np.random.default_rng(seed)
        return value_and_grad(model, batch, rng=generator, threads=threads, **options)

    loss, gradients = run(3)
    again, recomputed = run(3, gradient_checkpointing=True)
    assert again == loss
    for name, value in dense(gradients).items():
        np.testing.assert_array_equal(dense(recomputed)[name], value, err_msg=name)
    assert run(4)[0] != loss


def test_dropout_keeps_the_mean(rng):
    kept, _ = dropout(np.ones((300, 400), np.float32), 0.3, rng)
    assert kept.dtype == np.float32
    assert set(np.unique(kept)) == {0, np.float32(1 / 0.7)}
    assert kept.mean() == pytest.approx(1, abs=0.01)


def test_the_table_of_words_gets_rows_not_a_table(rng):
    model = make("ErnieMForTokenClassification")
    batch = {"input_ids": np.array([[5, 9, 5]]), "labels": np.array([[1, 0, 2]])}
    _, gradients = value_and_grad(model, batch)
    words = gradients["ernie_m"]["embeddings"]["word_embeddings"]["weight"]
    assert words.rows.tolist() == [5, 9]
    assert words.values.shape == (2, 12)


def test_threads_do_not_change_the_result(rng):
    model, batch = make("ErnieMForTokenClassification", "float64"), tags(rng)
    compare_gradients(
        value_and_grad(model, batch, threads=2)[1], dense(value_and_grad(model, batch)[1])
    )


def test_recomputation_bounds_memory(rng):
    sizes = {"num_hidden_layers": 12, "intermediate_size": 96}
    model = make("ErnieMForTokenClassification", **sizes)
    ids = rng.integers(2, V, (64, T))
    batch = {"input_ids": ids, "labels": ids % 5}
    peaks = []
    for checkpointing in (False, True):
        tracemalloc.start()
        value_and_grad(model, batch, gradient_checkpointing=checkpointing)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 0.5 * peaks[0]


@pytest.mark.parametrize("name", ["past_key_values", "output_attentions", "use_cache"])
def test_what_has_no_place_in_training_is_refused(name, rng):
    with pytest.raises(ValueError, match=f"training does not take {name}"):
        value_and_grad(make("ErnieMForTokenClassification"), {**tags(rng), name: True})


def test_a_batch_without_labels_is_refused(rng):
    with pytest.raises(ValueError, match="no 'labels'"):
        value_and_grad(make("ErnieMForMaskedLM"), {"input_ids": rng.integers(2, V, (B, T))})


def test_the_model_given_stays_as_it_is(rng):
    model = make("ErnieMForTokenClassification")
    mine = trainable(model)
    mine.weights["classifier"]["bias"] += 1
    assert not np.shares_memory(
        mine.weights["classifier"]["bias"], model.weights["classifier"]["bias"]
    )
    assert (mine.weights["classifier"]["bias"] != model.weights["classifier"]["bias"]).all()


def test_a_text_that_sees_nothing_gives_no_gradient_to_queries_and_keys(rng):
    model = trainable(make("ErnieMForTokenClassification", "float64"))
    batch = {**tags(rng), "attention_mask": np.zeros((B, T), bool)}
    loss, gradients = value_and_grad(model, batch)
    flat = flatten(model.weights)
    for name, gradient in dense(gradients).items():
        if "q_proj" in name or "k_proj" in name:
            assert not gradient.any(), name
            kept = flat[name].copy()
            flat[name] += rng.standard_normal(kept.shape)  # attention stays uniform
            assert value_and_grad(model, batch)[0] == loss, name
            flat[name][...] = kept
    assert dense(gradients)["ernie_m.encoder.layers.0.self_attn.self_attn.v_proj.weight"].any()
