"""Gradients of every weight beside torch's automatic ones."""

import numpy as np
import pytest

from numpy_erniem.activations import ACTIVATIONS
from numpy_erniem.config import POSITION_EMBEDDING_TYPES
from numpy_erniem.training import value_and_grad
from tests.models.conftest import HEADS, B, D, H, L, T, V
from tests.training.conftest import RELATIVE, compare_gradients, in_dtype, make

torch = pytest.importorskip("torch")

from tests.training import oracle  # noqa: E402, it needs torch

TAGS = np.array([[-100, 1, 0, 4, 3, 2, -100], [-100, 2, 2, 0, -100, -100, -100]])


def check(model, batch, **options):
    loss, want = oracle.gradients(model, batch)
    got_loss, got = value_and_grad(model, batch, **options)
    assert got_loss == pytest.approx(loss, rel=RELATIVE[model.dtype] / 10)
    compare_gradients(got, want)


@pytest.fixture(params=HEADS, ids=[h.name.removeprefix("ErnieMFor") for h in HEADS])
def head(request):
    return request.param


@pytest.mark.parametrize("options", [{}, {"gradient_checkpointing": True}, {"threads": 2}], ids=str)
def test_every_head(head, options, dtype, rng):
    check(in_dtype(head.make(), dtype), {**head.inputs(rng), **head.labels}, **options)


def tagger(dtype, rng, **sizes):
    model = make("ErnieMForTokenClassification", dtype, **sizes)
    return model, {"input_ids": rng.integers(2, V, (B, T)), "labels": TAGS}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation, dtype, rng):
    check(*tagger(dtype, rng, hidden_act=activation))


MASKS = {
    "none": lambda rng: None,
    "of padding": lambda rng: np.arange(T)[None] < np.array([[T], [4]]),
    "per query": lambda rng: rng.random((B, T, T)) < 0.6,
    "per query, one for all heads": lambda rng: rng.random((B, 1, T, T)) < 0.6,
    "per head": lambda rng: rng.random((B, H, T, T)) < 0.6,
    "that hides all": lambda rng: np.arange(B)[:, None] < np.ones((1, T)),
}


@pytest.mark.parametrize("kind", POSITION_EMBEDDING_TYPES)
@pytest.mark.parametrize("mask", MASKS)
def test_every_mask_and_kind_of_position(mask, kind, dtype, rng):
    model, batch = tagger(dtype, rng, position_embedding_type=kind)
    visible = MASKS[mask](rng)
    check(model, batch if visible is None else {**batch, "attention_mask": visible})


@pytest.mark.parametrize("kind", POSITION_EMBEDDING_TYPES)
def test_head_mask(kind, dtype, rng):
    model, batch = tagger(dtype, rng, position_embedding_type=kind)
    check(model, {**batch, "head_mask": rng.random((L, H)).astype(dtype)})


def test_vectors_instead_of_ids(dtype, rng):
    model, batch = tagger(dtype, rng)
    del batch["input_ids"]
    batch["inputs_embeds"] = rng.standard_normal((B, T, D)).astype(dtype)
    batch["attention_mask"] = np.ones((B, T), bool)
    check(model, batch)


def test_padding_learns_nothing_from_being_looked_up(dtype, rng):
    model, batch = tagger(dtype, rng)
    batch["input_ids"][:, -2:] = model.config.pad_token_id
    check(model, {**batch, "attention_mask": np.ones((B, T), np.int64)})


@pytest.mark.parametrize(
    ("problem", "labels"),
    [
        ("regression", np.array([[0.5, -1, 2], [3, 0.1, -0.2]])),
        ("multi_label_classification", np.array([[0, 1, 1], [1, 0.25, 0]])),
        ("single_label_classification", np.array([2, -100])),
    ],
)
def test_every_problem_of_classification(problem, labels, dtype, rng):
    name = "ErnieMForSequenceClassification"
    model = make(name, dtype, num_labels=3, problem_type=problem)
    labels = labels if labels.dtype.kind == "i" else labels.astype(dtype)
    check(model, {"input_ids": rng.integers(2, V, (B, T)), "labels": labels})


def test_a_vocabulary_in_several_blocks(dtype, rng, monkeypatch):
    monkeypatch.setattr("numpy_erniem.training.masked_lm.LARGEST_SCORES", 2 * V)
    labels = np.where(rng.random((B, T)) < 0.7, rng.integers(0, V, (B, T)), -100)
    model = make("ErnieMForMaskedLM", dtype)
    check(model, {"input_ids": rng.integers(2, V, (B, T)), "labels": labels})


def test_torch_gives_a_gradient_to_scores_that_the_mask_made_equal(rng):
    """Upstream adds the lowest number to hidden scores: docs/differences.md."""
    scores = torch.tensor(rng.standard_normal((1, T)), dtype=torch.float32, requires_grad=True)
    hidden = torch.full((1, T), torch.finfo(torch.float32).min)
    values = torch.tensor(rng.standard_normal(T), dtype=torch.float32)
    P = torch.softmax(scores + hidden, dim=-1)
    assert (P == 1 / T).all()  # whatever the scores are, so the true gradient is 0
    (P @ values).backward()
    assert scores.grad.abs().max() > 0
