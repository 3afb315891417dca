"""A whole run beside torch: the same data and seed, the same losses and the same accuracy."""

import numpy as np
import pytest

from numpy_erniem.models.weights import flatten
from numpy_erniem.training import AdamW, clip, schedule, trainable, value_and_grad
from tests.models.conftest import T, V
from tests.training.conftest import make

torch = pytest.importorskip("torch")

from tests.training import oracle  # noqa: E402, it needs torch

STEPS, BATCH, CLASSES = 120, 32, 5


@pytest.fixture(autouse=True)
def one_torch_thread():
    """So small a model is slower with two, and much slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def batch(step):
    """Texts that begin with a word of their class."""
    rng = np.random.default_rng(step)
    ids = rng.integers(10, V, (BATCH, T))
    labels = rng.integers(0, CLASSES, BATCH)
    ids[:, 1] = 3 + labels
    return {"input_ids": ids, "labels": labels}


def learn_ours(model):
    model, optimizer, losses = trainable(model), AdamW(1e-2), []
    for step in range(STEPS):
        loss, gradients = value_and_grad(model, batch(step))
        flat, _ = clip(flatten(gradients), 1.0)
        optimizer.step(flatten(model.weights), flat, schedule(step, STEPS, 6))
        losses.append(loss)
    return losses, model


def learn_theirs(model):
    flat = {k: torch.nn.Parameter(torch.tensor(v)) for k, v in flatten(model.weights).items()}
    w = {k.removeprefix("ernie_m."): v for k, v in flat.items()}
    groups = [
        {"params": [v for v in flat.values() if v.ndim > 1], "weight_decay": 0.01},
        {"params": [v for v in flat.values() if v.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-2)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: schedule(n, STEPS, 6))
    losses = []
    for step in range(STEPS):
        given = {k: torch.as_tensor(v) for k, v in batch(step).items()}
        x = oracle.encode(w, model.config, given["input_ids"])
        name = "ErnieMForSequenceClassification"
        loss = oracle.head_loss(name, x, w, model.config, given)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flat.values(), 1.0)
        optimizer.step()
        decay.step()
        losses.append(loss.item())
    return losses, {k: v.detach().numpy() for k, v in flat.items()}


def accuracy(model):
    held_out = [batch(1000 + n) for n in range(20)]
    right = [model(b["input_ids"]).logits.argmax(axis=1) == b["labels"] for b in held_out]
    return np.mean(right)


def test_a_run_of_classification_goes_as_with_torch():
    start = make("ErnieMForSequenceClassification", initializer_range=0.1)
    ours, mine = learn_ours(start)
    theirs, weights = learn_theirs(start)
    np.testing.assert_allclose(ours[:20], theirs[:20], rtol=1e-3)
    other = trainable(start)
    for name, value in flatten(other.weights).items():
        value[...] = weights[name]
    assert accuracy(mine) > 0.9
    assert accuracy(mine) == pytest.approx(accuracy(other), abs=0.03)
