"""Sentences that find their translations: the loss, its gradient, the score."""

import shutil
import sys
import warnings

import numpy as np
import pytest

from numpy_erniem import ErnieMConfig, ErnieMModel
from numpy_erniem.checkpoint.hub import bundled_checkpoint
from numpy_erniem.checkpoint.sentence_settings import (
    SentenceSettings,
    read_sentence_settings,
    write_sentence_settings,
)
from numpy_erniem.models.weights import flatten
from numpy_erniem.training import (
    TrainingConfig,
    retrieval_setup,
    trainable,
    value_and_grad,
)
from numpy_erniem.training.batches import collate
from numpy_erniem.training.finetuning.contrastive import contrastive_head, find_duplicates
from numpy_erniem.training.finetuning.retrieval import (
    precision_at_1,
    retrieval_scores,
    sentence_vectors,
)
from tests.models.conftest import SMALL, redrawn
from tests.training.conftest import compare_gradients, dense, in_dtype
from tests.training.tasks import padded

SOURCES = [[0, 5, 6, 2], [0, 7, 2], [0, 8, 9, 10, 2]]
TARGETS = [[0, 50, 60, 61, 62, 2], [0, 70, 2], [0, 80, 2]]


def model(dtype="float64"):
    bare = ErnieMModel(ErnieMConfig(**SMALL), add_pooling_layer=False, seed=3)
    return in_dtype(redrawn(bare), dtype)


def loss_and_grad(mine, sources=SOURCES, targets=TARGETS, temperature=0.05, threads=1, count=False):
    """Of a batch of pairs; `count` counts duplicates as negatives."""
    texts = [*sources, *targets]
    duplicates = None if count else find_duplicates(sources, targets)
    head = contrastive_head(None, temperature, duplicates)
    return value_and_grad(mine, collate(texts, mine.config), head=head, threads=threads)


def test_the_loss_is_symmetric_cross_entropy_of_cosines():
    mine = model()
    loss, _ = loss_and_grad(mine, temperature=0.3)
    a, b = (
        np.stack([mine([row]).last_hidden_state[0].mean(axis=0) for row in rows])
        for rows in (SOURCES, TARGETS)
    )
    cosines = (a @ b.T) / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    p = np.exp(cosines / 0.3)
    both = -np.log(p / p.sum(axis=1)[:, None]) - np.log(p / p.sum(axis=0))
    assert loss == pytest.approx(np.diag(both).mean() / 2, rel=1e-9)


def test_gradients_equal_torch(dtype):
    torch = pytest.importorskip("torch")
    from tests.training import oracle

    mine, batch = model(dtype), padded(collate([*SOURCES, *TARGETS], ErnieMConfig(**SMALL)))
    flat = {k: torch.tensor(v, requires_grad=True) for k, v in flatten(mine.weights).items()}
    real = torch.as_tensor(batch["attention_mask"])
    x = oracle.encode(flat, mine.config, torch.as_tensor(batch["input_ids"]), real)
    pooled = (x * real[..., None]).sum(1) / real.sum(1, keepdim=True)
    unit = torch.nn.functional.normalize(pooled)
    scores, right = unit[:3] @ unit[3:].T / 0.3, torch.arange(3)
    ce = torch.nn.functional.cross_entropy
    ((ce(scores, right) + ce(scores.T, right)) / 2).backward()
    _, got = loss_and_grad(mine, temperature=0.3, threads=2)
    compare_gradients(got, {k: v.grad.numpy() for k, v in flat.items()})


def test_a_repeated_text_is_no_negative():
    sources, targets = [*SOURCES, SOURCES[0]], [*TARGETS, [0, 51, 2]]
    want = np.zeros((4, 4), bool)
    want[0, 3] = want[3, 0] = True
    np.testing.assert_array_equal(find_duplicates(sources, targets), want)
    assert find_duplicates(SOURCES, TARGETS) is None
    mine = model()
    loss, gradients = loss_and_grad(mine, sources, targets)
    counted, _ = loss_and_grad(mine, sources, targets, count=True)
    assert np.isfinite(loss)
    assert loss < counted
    assert all(np.isfinite(g).all() for g in dense(gradients).values())


def test_it_can_be_learned():
    from numpy_erniem.training.optimizer import AdamW

    mine = trainable(model("float32"))
    optimizer = AdamW(1e-2)
    for _ in range(30):
        _, gradients = loss_and_grad(mine)
        optimizer.step(flatten(mine.weights), flatten(gradients))
    assert loss_and_grad(mine)[0] < 0.1
    pairs = [("xx", a, b) for a, b in zip(SOURCES, TARGETS, strict=True)]
    assert retrieval_scores(mine, pairs) == {"P@1": 1.0, "P@1 xx": 1.0}


def test_vectors_do_not_depend_on_what_else_is_embedded():
    mine = model("float32")
    together = sentence_vectors(mine, [*SOURCES, *TARGETS])
    alone = np.concatenate([sentence_vectors(mine, [row]) for row in [*SOURCES, *TARGETS]])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-6)


def test_the_score_counts_both_directions():
    a = np.eye(4)
    b = np.array([[1, 0, 0, 0], [0.9, 0.1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    # every a finds its b; b[1] takes a[0] for its own
    assert precision_at_1(a, b) == (1 + 0.75) / 2


def test_the_mean_is_over_languages():
    mine = model("float32")
    pairs = [
        ("xx", [0, 5, 2], [0, 5, 2]),
        ("yy", [0, 5, 2], [0, 6, 2]),
        ("yy", [0, 7, 2], [0, 9, 2]),
    ]
    scores = retrieval_scores(mine, pairs)
    assert scores["P@1 xx"] == 1
    assert scores["P@1"] == pytest.approx((1 + scores["P@1 yy"]) / 2)


def paddle_model(dtype="float32"):
    """A model that hides [CLS] (id 0) and not the padding, where no mask is given."""
    config = ErnieMConfig(**SMALL, attention_mask_convention="paddle")
    return in_dtype(redrawn(ErnieMModel(config, add_pooling_layer=False, seed=3)), dtype)


@pytest.mark.parametrize("make_model", [model, paddle_model])
def test_training_and_evaluation_have_the_same_vectors(make_model):
    mine = make_model("float64")
    loss, _ = loss_and_grad(mine, temperature=0.3)
    a, b = (sentence_vectors(mine, rows) for rows in (SOURCES, TARGETS))
    p = np.exp(a @ b.T / 0.3)
    both = -np.log(p / p.sum(axis=1)[:, None]) - np.log(p / p.sum(axis=0))
    assert loss == pytest.approx(np.diag(both).mean() / 2, rel=1e-9)


def test_with_paddles_convention_a_vector_is_that_of_its_text_alone():
    mine = paddle_model()
    together = sentence_vectors(mine, [*SOURCES, *TARGETS])
    for row, vector in zip([*SOURCES, *TARGETS], together, strict=True):
        alone = mine([row]).last_hidden_state[0].mean(axis=0)
        np.testing.assert_allclose(vector, alone / np.linalg.norm(alone), rtol=0, atol=1e-6)


def test_evaluation_keeps_nothing_for_a_backward_pass(monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("the training path ran")

    for module in ("encoder", "value_and_grad"):
        monkeypatch.setattr(sys.modules[f"numpy_erniem.training.{module}"], "encode", never)
    pairs = [("xx", a, b) for a, b in zip(SOURCES, TARGETS, strict=True)]
    assert 0 <= retrieval_scores(model("float32"), pairs)["P@1"] <= 1


def test_evaluation_computes_no_padding(monkeypatch):
    monkeypatch.setattr("numpy_erniem.training.batches.BATCH_TOKENS", 18)
    mine, shapes = model("float32"), []
    forward = type(mine).forward

    def spy(self, input_ids, attention_mask, starts):
        assert attention_mask.shape == input_ids.shape
        shapes.append((input_ids.shape, np.diff(starts).tolist()))
        return forward(self, input_ids, attention_mask=attention_mask, starts=starts)

    monkeypatch.setattr(type(mine), "forward", spy)
    sentence_vectors(mine, [[0, *[5] * n, 2] for n in (1, 16, 2, 3, 1, 4)])
    assert shapes == [((1, 18), [18]), ((1, 18), [6, 5, 4, 3]), ((1, 3), [3])]


def test_the_temperature_has_to_be_positive():
    pairs = [("", "a", "b")] * 2
    with pytest.raises(ValueError, match="temperature is 0, not a number in"):
        retrieval_setup(pairs, pairs, TrainingConfig(steps=1), temperature=0)


def test_the_temperature_changes_the_loss():
    pairs = [("de", "Open", "Öffnen"), ("de", "Save", "Speichern"), ("de", "File", "Datei")]
    config = TrainingConfig(steps=1, threads=1)
    losses = []
    for temperature in (0.05, 0.5):
        setup = retrieval_setup(pairs, pairs, config, temperature=temperature)
        losses.append(setup.loss_and_grad(setup.model, 0, None)[0])
    assert losses[0] != losses[1]


def test_the_pooling_of_training_is_saved_beside_the_model(tmp_path):
    pairs = [("en", "a", "b"), ("en", "c", "d")]
    retrieval_setup(pairs, pairs, TrainingConfig(steps=1, batch_size=2)).save(tmp_path)
    assert read_sentence_settings(tmp_path) == SentenceSettings(pooling="mean")


def test_what_training_leaves_out_of_the_recorded_settings_is_told(tmp_path):
    folder = shutil.copytree(bundled_checkpoint(), tmp_path / "model")
    config = TrainingConfig(steps=1, batch_size=2)
    pairs = [("", "open", "öffnen"), ("", "close", "schließen")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        retrieval_setup(pairs, pairs, config, model=folder)
    settings = SentenceSettings(pooling="cls", prompts={"query": "Q: "}, similarity="dot")
    write_sentence_settings(folder, settings)
    with pytest.warns(UserWarning, match="records pooling, prompts for its vectors; this training"):
        retrieval_setup(pairs, pairs, config, model=folder)
