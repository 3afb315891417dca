"""Every fine-tuning task beside torch: the same batches, the same losses step by step."""

import numpy as np
import pytest

from numpy_erniem.models.weights import flatten
from numpy_erniem.training import (
    AdamW,
    TrainingConfig,
    classification_setup,
    clip,
    reranking_setup,
    tagging_setup,
    value_and_grad,
)
from numpy_erniem.training.finetuning import preparation, retrieval
from tests.training.tasks import (
    LABELLED,
    RANKED,
    TAGGED,
    TASKS,
    copied_weights,
    padded,
    save_small,
)

torch = pytest.importorskip("torch")
functional = torch.nn.functional

from tests.training import oracle  # noqa: E402, it needs torch

STEPS, RATE = 25, 3e-3


@pytest.fixture(autouse=True)
def one_torch_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=["padding", "paddle"])
def small(request, tmp_path_factory):
    return save_small(tmp_path_factory.mktemp("small"), request.param)


def weighted(weights):
    return {"class_weights": weights}


REAL = [(query, text, 3 * score - 1) for query, text, score in RANKED]
CASES = {task.name: (task.setup, task.data, {}) for task in TASKS} | {
    "classify weighted": (classification_setup, LABELLED, weighted({"B": 5.0})),
    "tag weighted": (tagging_setup, TAGGED, weighted("balanced")),
    "rerank numbers": (reranking_setup, REAL, {}),
}


def learn_ours(setup, monkeypatch):
    """The losses of our steps, and the batch of each."""
    batches, losses = [], []

    def spy(model, batch, **options):
        batches.append(padded(batch))
        return value_and_grad(model, batch, **options)

    for place in (preparation, retrieval):
        monkeypatch.setattr(place, "value_and_grad", spy)
    weights, optimizer = flatten(setup.model.weights), AdamW(RATE)
    for step in range(STEPS):
        loss, gradients = setup.loss_and_grad(setup.model, step, None)
        flat, _ = clip(flatten(gradients), 1.0)
        optimizer.step(weights, flat)
        losses.append(loss)
    return losses, batches


def learn_theirs(name, start, config, batches, weights):
    """The losses of torch's steps from the same weights, on the same batches."""
    flat = {k: torch.nn.Parameter(torch.tensor(v)) for k, v in start.items()}
    w = {k.removeprefix("ernie_m."): v for k, v in flat.items()}
    groups = [
        {"params": [v for v in flat.values() if v.ndim > 1], "weight_decay": 0.01},
        {"params": [v for v in flat.values() if v.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer, losses = torch.optim.AdamW(groups, lr=RATE), []
    for batch in batches:
        given = {k: torch.as_tensor(v) for k, v in batch.items()}
        ids, mask = given["input_ids"], given["attention_mask"].bool()
        x = encode(w, config, ids, mask, given.get("position_ids"))
        loss = torch_loss(name, x, w, given, weights)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flat.values(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses, {k: v.detach().numpy() for k, v in flat.items()}


def encode(w, config, ids, mask, positions):
    if positions is None:
        return oracle.encode(w, config, ids, mask)
    # The oracle counts positions by itself: give it vectors that hold the difference.
    table = w["embeddings.position_embeddings.weight"]
    words = w["embeddings.word_embeddings.weight"]
    vectors = functional.embedding(ids, words, config.pad_token_id)
    counted = functional.embedding(torch.arange(ids.shape[1])[None] + 2, table)
    vectors = vectors + functional.embedding(positions + 2, table) - counted
    return oracle.encode(w, config, ids, mask, vectors=vectors)


def torch_loss(name, x, w, given, weights):
    """The heads as in transformers; what is padding takes no part."""
    kind, y = name.split()[0], given.get("labels")

    def scores(layer):
        return functional.linear(x, w[f"{layer}.weight"], w[f"{layer}.bias"])

    def pooled():
        h = functional.linear(x[:, 0], w["pooler.dense.weight"], w["pooler.dense.bias"]).tanh()
        return functional.linear(h, w["classifier.weight"], w["classifier.bias"])

    if kind == "classify":
        return functional.cross_entropy(pooled(), y, weights)
    if kind == "tag":
        return functional.cross_entropy(scores("classifier").transpose(1, 2), y, weights)
    if kind == "rerank":
        loss = functional.mse_loss if "numbers" in name else oracle_bce
        return loss(pooled(), y)
    if kind == "choose":
        of_prompts = pooled()[:, 0].split(given["choices"].tolist())
        by_prompt = torch.nn.utils.rnn.pad_sequence(of_prompts, True, -torch.inf)
        return functional.cross_entropy(by_prompt, y)
    if kind == "retrieve":
        share = given["attention_mask"] | (given["input_ids"] == 0)  # [CLS] counts, hidden or not
        share = share / share.sum(1, keepdim=True)
        a, b = functional.normalize((share[..., None] * x).sum(1)).chunk(2)
        similar = a @ b.T / 0.05
        return in_batch_loss(similar, given["input_ids"])
    counted = given["counted"]
    if kind == "answer":
        both = scores("qa_outputs").masked_fill(~counted[..., None], -torch.inf)
        positions = (given["start_positions"], given["end_positions"])
        return sum(functional.cross_entropy(both[..., n], at) for n, at in enumerate(positions)) / 2
    losses = [
        oracle_bce(scores(f"linear_{which}")[..., 0][counted], given[f"{which}_positions"][counted])
        for which in ("start", "end")
    ]
    return sum(losses) / 2


def oracle_bce(scores, y):
    return functional.binary_cross_entropy_with_logits(scores, y.to(scores.dtype))


def in_batch_loss(similar, ids):
    """Symmetric cross entropy; pairs with the same source or target are no negatives."""
    sides = ids.chunk(2)
    same = sum((side[:, None] == side[None]).all(-1) for side in sides) > 0
    same.fill_diagonal_(False)
    similar, right = similar.masked_fill(same, -torch.inf), torch.arange(len(similar))
    losses = functional.cross_entropy(similar, right), functional.cross_entropy(similar.T, right)
    return sum(losses) / 2


@pytest.mark.parametrize("name", CASES)
def test_a_task_is_learned_as_with_torch(name, small, monkeypatch):
    make, data, options = CASES[name]
    config = TrainingConfig(steps=1, batch_size=8, threads=1)
    setup = make(data, data[::2], config, model=small, **options)
    start = copied_weights(setup.model)
    weights = None
    if options:
        from numpy_erniem.training.finetuning.class_weights import weights_of_classes

        ids = setup.model.config.label2id
        labels = [ids[y] for row in data for y in ([row[2]] if "classify" in name else row[1])]
        weights = weights_of_classes(options["class_weights"], list(ids), np.array(labels))
        weights = torch.as_tensor(weights, dtype=torch.float32)
    ours, batches = learn_ours(setup, monkeypatch)
    theirs, learned = learn_theirs(name, start, setup.model.config, batches, weights)
    np.testing.assert_allclose(ours[:5], theirs[:5], rtol=1e-4)
    np.testing.assert_allclose(ours, theirs, rtol=0.02)
    assert np.mean(ours[STEPS // 2 :]) < np.mean(ours[: STEPS // 2])
    mine = setup.evaluate(setup.model)
    for key, value in flatten(setup.model.weights).items():
        value[...] = learned[key]
    assert mine == pytest.approx(setup.evaluate(setup.model), abs=0.1)
